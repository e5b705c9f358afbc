"""Networks of one task to one that says the mean of what they say; each member can be had from it again.

The mean is one of probabilities, or of numbers. Where the members have logits, the whole has them too: those whose
sigmoid or softmax is the mean of the members' probabilities, by sums of logarithms, exact also where all are next to 1.
"""

from collections.abc import Mapping

import keras

from keras_med.models import graph

MEMBERS = "ensemble_members"  # the layer that puts their outputs side by side, by which an ensemble is known


def joined(
    start: keras.KerasTensor, networks: Mapping[str, keras.Model], activation: str | None, name: str
) -> keras.KerasTensor:
    """Return the mean of what several networks say of the same tensor, as one un-nested graph over their own layers.

    Args:
        start: what each of them takes.
        networks: by the prefix that the names of their layers get; up to the logits where there is an activation.
        activation: sigmoid or softmax; without one the outputs themselves are averaged.
        name: of the layer that gives the mean.
    """
    outputs = []
    for prefix, network in networks.items():
        _rename(network, prefix)
        outputs.append(graph.again(graph.steps(network), {id(network.inputs[0]): start})[id(network.outputs[0])])
    together = keras.layers.Concatenate(name=MEMBERS, dtype="float32")(outputs)
    rows = keras.layers.Reshape((len(outputs), outputs[0].shape[-1]), name=f"{MEMBERS}_rows")(together)
    if activation is None:
        return keras.layers.GlobalAveragePooling1D(name=name, dtype="float32")(rows)
    logits = _logits_of_mean(rows, binary=activation == "sigmoid")
    _rename(keras.Model(rows, logits), MEMBERS)
    return keras.layers.Activation(activation, name=name, dtype="float32")(logits)


def members(network: keras.Model) -> list[keras.Model]:
    """Return each member as a network of its own, which shares its layers with the whole; none of a single network."""
    if MEMBERS not in (layer.name for layer in network.layers):
        return []
    steps = graph.steps(network)
    (outputs,) = next(step.arguments for step in steps if step.operation.name == MEMBERS)
    last = steps[-1].operation
    if isinstance(last, keras.layers.Activation):
        ends = [keras.layers.Activation(last.activation, name=f"{MEMBERS}_{place}") for place in range(len(outputs))]
        outputs = [end(output) for end, output in zip(ends, outputs, strict=True)]
    return [keras.Model(network.inputs, output) for output in outputs]


def each(network: keras.Model) -> keras.Model | None:
    """Return a network that says what every member says, one after the other; None for a single network."""
    said = [member.outputs[0] for member in members(network)]
    together = keras.layers.Concatenate(name=f"{MEMBERS}_said", dtype="float32")
    return keras.Model(network.inputs, together(said)) if said else None


def _logits_of_mean(rows: keras.KerasTensor, *, binary: bool) -> keras.KerasTensor:
    """Return log p of the mean of several distributions, or log(p / (1 - p)) of two classes, from their logits."""
    if binary:  # the other class has the logit 0
        rows = keras.ops.pad(rows, [[0, 0], [0, 0], [1, 0]])
    sums = keras.ops.logsumexp(keras.ops.log_softmax(rows, axis=-1), axis=1)
    return sums[:, 1:] - sums[:, :1] if binary else sums


def _rename(network: keras.Model, prefix: str) -> None:
    """Put a prefix before the name of each layer and operation: a model has no two of one name."""
    for operation in {id(step.operation): step.operation for step in graph.steps(network)}.values():
        operation.name = f"{prefix}_{operation.name}"
