"""Builders with random weights, and files of weights in the published layouts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from keras_med.models import weights


@pytest.fixture(autouse=True)
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty Keras cache."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras_home"))
    return tmp_path / "keras_home" / "models"


@pytest.fixture
def random_weights() -> Iterator[weights.Policy]:
    with weights.policy(allow_random=True, allow_download=False) as record:
        yield record


@pytest.fixture
def write_legacy_h5() -> Callable[[Path, list[keras.Layer]], None]:
    """Return a function that writes layers as the files of keras.applications hold them."""

    def write(path: Path, layers: list[keras.Layer]) -> None:
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
            for layer in layers:
                group = file.create_group(layer.name)
                names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
                group.attrs["weight_names"] = [name.encode() for name in names]
                for name, array in zip(names, layer.get_weights(), strict=True):
                    group[name] = array

    return write


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
