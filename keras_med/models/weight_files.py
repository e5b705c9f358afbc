"""A file of weights to the layers of a graph, every shape checked before the first value is set."""

from pathlib import Path

import h5py
import keras
import numpy as np

from keras_med.errors import EnvironmentProblem
from keras_med.models import backbone

SUFFIXES = (".h5", ".safetensors", ".npz")
HDF5_BEGINS = b"\x89HDF\r\n\x1a\n"

Arrays = dict[str, list[np.ndarray]]


def load(path: Path, name: str, start: keras.KerasTensor, end: keras.KerasTensor, *, remedy: str) -> None:
    """Set the weights of the layers between two tensors from a .h5, .weights.h5, .safetensors or .npz file."""
    refuse_other_formats(path, remedy=remedy)
    layers = [layer for layer in backbone.layers_between(start, end) if layer.weights]
    if path.name.endswith(".weights.h5"):
        _load_keras_3(path, name, keras.Model(start, end), remedy)
        return
    try:
        if path.suffix == ".h5":
            arrays = _read_hdf5(path, layers)
        else:
            from keras_med.models import torch_layout

            arrays = torch_layout.read(path, layers)
    except KeyError as problem:
        raise unusable(path, f"does not hold weights as Keras writes them ({_short(problem)})", remedy) from problem
    except (OSError, ValueError) as problem:
        raise unusable(path, f"cannot be read, it may be cut short ({_short(problem)})", remedy) from problem
    _set(layers, arrays, path=path, name=name, remedy=remedy)


def _load_keras_3(path: Path, name: str, model: keras.Model, remedy: str) -> None:
    """Load what `save_weights` of Keras 3 wrote; it names layers by class and number, so Keras itself reads it."""
    try:
        model.load_weights(path)
    except (OSError, KeyError, ValueError) as problem:
        why = f"does not hold the weights of {name}, or is cut short ({_short(problem)})"
        raise unusable(path, why, remedy) from problem


def refuse_other_formats(path: Path, *, remedy: str) -> None:
    """Refuse a file whose first bytes are not those of its format, above all a saved error page."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.lstrip()[:1] == b"<":
        raise unusable(path, "is a web page saved under this name, not weights", remedy)
    if path.suffix not in SUFFIXES:
        raise unusable(path, f"is none of {', '.join(SUFFIXES)}; other formats can run code when they are read", remedy)
    if path.suffix == ".h5" and not head.startswith(HDF5_BEGINS):
        raise unusable(path, "is not an HDF5 file", remedy)


def unusable(path: Path, why: str, remedy: str) -> EnvironmentProblem:
    """Say in one sentence why a file of weights cannot serve."""
    return EnvironmentProblem(f"{path} {why}.", remedy=remedy)


def _read_hdf5(path: Path, layers: list[keras.Layer]) -> Arrays:
    """Read the layout in which keras.applications publishes: arrays by layer name."""
    with h5py.File(path, "r") as file:
        group = file.get("model_weights", file)
        names = _attribute(group, "layer_names")
        stored = {name: _layer_arrays(group[name]) for name in names}
    return _renamed({name: arrays for name, arrays in stored.items() if arrays}, layers)


def _layer_arrays(group: h5py.Group) -> list[np.ndarray]:
    return [np.asarray(group[name]) for name in _attribute(group, "weight_names")]


def _attribute(group: h5py.Group, name: str) -> list[str]:
    """Read a list of names, which Keras cuts into name0, name1... when it is too long for one HDF5 attribute."""
    if name in group.attrs:
        chunks = [group.attrs[name]]
    else:
        chunks = []
        while f"{name}{len(chunks)}" in group.attrs:
            chunks.append(group.attrs[f"{name}{len(chunks)}"])
        if not chunks:
            raise KeyError(name)
    return [text.decode() if isinstance(text, bytes) else str(text) for chunk in chunks for text in chunk]


def _renamed(stored: Arrays, layers: list[keras.Layer]) -> Arrays:
    """Key arrays by the graph's layer names; where some names differ (a `normalization_3`), those go by position."""
    wanted = [layer.name for layer in layers]
    spare = [name for name in stored if name not in set(wanted)]
    absent = [name for name in wanted if name not in stored]
    if len(spare) != len(absent):
        return stored
    return stored | {name: stored[other] for name, other in zip(absent, spare, strict=True)}


def _set(layers: list[keras.Layer], arrays: Arrays, *, path: Path, name: str, remedy: str) -> None:
    for layer in layers:
        if layer.name not in arrays:
            why = f"holds the weights of another model: {name} needs {layer.name}, which is not in it"
            raise unusable(path, why, remedy)
        shapes = [array.shape for array in arrays[layer.name]]
        expected = [tuple(weight.shape) for weight in layer.weights]
        if shapes != expected:
            why = f"holds the weights of another model: {layer.name} has shapes {shapes}, {name} needs {expected}"
            raise unusable(path, why, remedy)
        if not all(np.isfinite(array).all() for array in arrays[layer.name]):
            raise unusable(path, f"holds values that are not finite, in {layer.name}", remedy)
    for layer in layers:
        layer.set_weights(arrays[layer.name])


def _short(problem: Exception) -> str:
    return str(problem).splitlines()[0][:120] if str(problem) else type(problem).__name__
