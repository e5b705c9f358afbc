"""A network's features to those of an image and its mirror image together, as part of the network itself.

Mirroring at prediction alone would make another network than the one that was trained, scored and chosen. As a part of
the graph it is in all of them: whatever runs, verifies or exports the network has it.
"""

import keras

from keras_med.models import graph

_COLUMNS = 2  # the axis that left and right lie on, behind the batch and the rows


def both_ways(image: keras.KerasTensor, features: keras.KerasTensor) -> keras.KerasTensor:
    """Return the mean of the features of an image and of its mirror image; both come from the same layers."""
    turned = {id(image): keras.ops.flip(image, axis=_COLUMNS)}
    values = graph.again(graph.steps(keras.Model(image, features)), turned)
    return keras.layers.Average(name="both_ways")([features, values[id(features)]])


def own_side(network: keras.Model) -> tuple[list[graph.Step], bool]:
    """Return the steps that see the image as it is, and whether others see it mirrored."""
    own, turned = list[graph.Step](), set[int]()
    for step in graph.steps(network):
        flips = type(step.operation).__name__ == "Flip" and step.inputs == (id(network.inputs[0]),)
        if flips or not turned.isdisjoint(step.inputs):
            turned.update(step.outputs)
        else:
            own.append(step)
    return own, bool(turned)
