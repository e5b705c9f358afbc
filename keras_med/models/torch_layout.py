"""Tensors under PyTorch's names and in its order of axes to a Keras graph's weights."""

import contextlib
import zipfile
from pathlib import Path

import keras
import numpy as np

from keras_med.errors import EnvironmentProblem

Arrays = dict[str, list[np.ndarray]]


def read(path: Path, layers: list[keras.Layer]) -> Arrays:
    """Read a .safetensors or .npz file into arrays by layer name; layers whose tensors are not there are left out.

    A layer is named as its module in PyTorch, with _ for each dot: layer1_0_conv1 for layer1.0.conv1.
    """
    tensors = {name.replace(".", "_"): tensor for name, tensor in _tensors(path).items()}
    arrays = {}
    for layer in layers:
        with contextlib.suppress(KeyError):
            arrays[layer.name] = _of_layer(layer, tensors)
    return arrays


def _tensors(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".npz":
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                return dict(archive)
        except zipfile.BadZipFile as problem:
            raise ValueError(str(problem)) from problem
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as problem:
        raise EnvironmentProblem(
            f"{path.name} needs the package safetensors.", remedy="Type: pip install safetensors"
        ) from problem
    try:
        return dict(safetensors.numpy.load_file(path))
    except safetensors.SafetensorError as problem:
        raise ValueError(str(problem)) from problem


def _of_layer(layer: keras.Layer, tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Pick and turn the tensors of one layer, in the order of its Keras weights."""
    name = layer.name
    if isinstance(layer, keras.layers.Embedding):
        return [_resized(tensors[name][0], layer.input_dim)]
    if isinstance(layer, keras.layers.BatchNormalization):
        return [tensors[f"{name}_{leaf}"] for leaf in ("weight", "bias", "running_mean", "running_var")]
    if isinstance(layer, keras.layers.LayerNormalization):
        return [tensors[f"{name}_weight"], tensors[f"{name}_bias"]]
    kernel = tensors[f"{name}_weight"]
    turned = np.transpose(kernel, (2, 3, 1, 0)) if kernel.ndim == 4 else kernel.T
    return [turned, tensors[f"{name}_bias"]] if layer.use_bias else [turned]


def _resized(positions: np.ndarray, rows: int) -> np.ndarray:
    """Interpolate a transformer's positions, one for the class token and a square of patches, to another square."""
    if len(positions) == rows:
        return positions
    old, new = round((len(positions) - 1) ** 0.5), round((rows - 1) ** 0.5)
    if (old * old, new * new) != (len(positions) - 1, rows - 1):
        raise ValueError("positions can be resized between square images only")
    grid = positions[1:].reshape(1, old, old, -1)
    grid = keras.ops.image.resize(grid, (new, new), interpolation="bicubic", antialias=True)
    return np.concatenate([positions[:1], keras.ops.convert_to_numpy(grid).reshape(new * new, -1)])
