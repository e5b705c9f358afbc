"""A network to its frozen prefix, computed once for each example, and the rest, which is trained."""

import hashlib
import json
from collections import Counter
from typing import Any

import keras

from keras_med.models import graph


def split_frozen(model: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """Cut a functional model at the last tensor that training cannot change and through which everything passes.

    The prefix holds every layer all of whose ancestors are frozen or weightless and not random. Both parts share their
    weights with `model`, which therefore is the whole again: train `rest` on what `prefix` gives, and `model` is
    trained. None when no frozen weights come before the first layer that is trained or random, or nothing comes after.
    """
    cut = _last_cut(model)
    if cut is None:
        return None
    outputs = model.outputs if len(model.outputs) > 1 else model.outputs[0]
    return keras.Model(model.inputs, cut, name="prefix"), keras.Model(cut, outputs, name="rest")


def _last_cut(model: keras.Model) -> keras.KerasTensor | None:
    """Find the cut: going through the steps, the places where a single tensor is still waited for."""
    steps = graph.steps(model)
    readers = Counter(tensor for step in steps for tensor in step.inputs)
    readers.update(id(tensor) for tensor in model.outputs)
    fixed = {id(tensor) for tensor in model.inputs}
    waited_for = {tensor for tensor in fixed if readers[tensor]}
    cut, frozen_weights = None, False
    for step in steps:
        if is_fixed(step.operation) and fixed.issuperset(step.inputs):
            fixed.update(step.outputs)
            frozen_weights = frozen_weights or _has_frozen_weights(step.operation)
        readers.subtract(step.inputs)
        waited_for.update(step.outputs)
        waited_for = {tensor for tensor in waited_for if readers[tensor] > 0}
        if frozen_weights and len(waited_for) == 1 and waited_for <= fixed and waited_for.issubset(step.outputs):
            cut = next(result for result in step.results if id(result) in waited_for)
    return None if cut is None or any(cut is output for output in model.outputs) else cut


def is_fixed(operation: keras.Operation) -> bool:
    """Tell whether an operation gives the same in training as in inference, and stays so through training."""
    if not isinstance(operation, keras.Layer):
        return True
    return all(_is_fixed_alone(layer) for layer in operation._flatten_layers())


def _is_fixed_alone(layer: keras.Layer) -> bool:
    """Judge one layer without those nested in it.

    A layer that draws random numbers owns a seed. A Dropout of rate 0 draws none. Normalization holds non-trainable
    weights that only `adapt` changes, BatchNormalization those that training changes.
    """
    if _draws(layer) or layer.trainable_variables:
        return False
    return not layer.trainable or not layer.non_trainable_weights or isinstance(layer, keras.layers.Normalization)


def _draws(layer: keras.Layer) -> bool:
    if getattr(layer, "rate", None) == 0:
        return False
    return any("seed_generator" in variable.path for variable in layer.variables)


def _has_frozen_weights(operation: keras.Operation) -> bool:
    return isinstance(operation, keras.Layer) and bool(operation.weights) and not operation.trainable


def graph_hash(model: keras.Model) -> str:
    """Hash what a model computes: its layers' settings, their connections and their weights.

    Names are left out, because Keras numbers layers by what the process built before.
    """
    positions = {id(tensor): f"input {index}" for index, tensor in enumerate(model.inputs)}
    digest = hashlib.sha256()
    digest.update(repr([(tensor.shape, tensor.dtype) for tensor in model.inputs]).encode())
    for number, step in enumerate(graph.steps(model)):
        digest.update(json.dumps(_described(step, positions), sort_keys=True, default=repr).encode())
        positions.update({tensor: f"{number}.{index}" for index, tensor in enumerate(step.outputs)})
        if isinstance(step.operation, keras.Layer):
            for weight in step.operation.weights:
                digest.update(keras.ops.convert_to_numpy(weight).tobytes())
    digest.update(repr([positions[id(tensor)] for tensor in model.outputs]).encode())
    return digest.hexdigest()


def _described(step: graph.Step, positions: dict[int, str]) -> dict[str, Any]:
    def position(value: Any) -> Any:
        return positions[id(value)] if isinstance(value, keras.KerasTensor) else value

    return {
        "class": type(step.operation).__name__,
        "settings": _without_names(step.operation.get_config()),
        "call": keras.tree.map_structure(position, [list(step.arguments), step.keywords]),
    }


def _without_names(settings: Any) -> Any:
    """Drop what does not change the numbers: names (but for a precision's), seeds, and the mark of being trainable."""
    if isinstance(settings, dict):
        if str(settings.get("class_name")).endswith("DTypePolicy"):
            return settings["config"]
        kept = {key: value for key, value in settings.items() if key not in ("name", "seed", "trainable")}
        return {key: _without_names(value) for key, value in kept.items()}
    return [_without_names(value) for value in settings] if isinstance(settings, list | tuple) else settings
