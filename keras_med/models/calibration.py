"""A frozen backbone of random weights to one that a head can learn from: its BatchNorm statistics set once."""

from typing import Any

import keras
import numpy as np

from keras_med.models import graph

IMAGES = 32


def calibrate(model: keras.Model, images: np.ndarray) -> int:
    """Set the statistics of every frozen BatchNorm from the first 32 images, and return how many were set.

    With statistics of 0 and 1 the features of a random EfficientNetB2 have a mean size of 1e-5, and no head learns from
    them. The graph is walked layer by layer: each BatchNorm takes the exact mean and variance of what reaches it, when
    all before it have been set. The result depends on the images alone.

    Args:
        images: training images, prepared as the model takes them.
    """
    frozen = {id(layer) for layer in model.layers if _is_frozen_normalisation(layer)}
    steps = graph.steps(model)
    last = max((index for index, step in enumerate(steps) if id(step.operation) in frozen), default=-1)
    steps = steps[: last + 1]
    values = graph.Values({id(model.inputs[0]): keras.ops.convert_to_tensor(images[:IMAGES], "float32")}, steps)
    for step in steps:
        if id(step.operation) in frozen:
            _set_statistics(step.operation, values[step.inputs[0]])
        values.run(step)
    return len(frozen)


def _is_frozen_normalisation(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization) and not layer.trainable


def _set_statistics(layer: keras.layers.BatchNormalization, value: Any) -> None:
    axes = [axis for axis in range(len(value.shape)) if axis != layer.axis % len(value.shape)]
    mean, variance = keras.ops.moments(keras.ops.cast(value, "float32"), axes)
    layer.moving_mean.assign(mean)
    layer.moving_variance.assign(variance)
