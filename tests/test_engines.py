"""A network without gradient by each engine: TensorFlow's numbers, or not used."""

import importlib.util
from typing import Any

import keras
import numpy as np
import pytest

from keras_med import engines
from keras_med.engines import Engine
from keras_med.errors import EnvironmentProblem, RecipeError

OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(name not in engines.installed(), reason=f"{name} is not installed"))
    for name in (engines.OPENVINO, engines.ONNXRUNTIME)
]


def flat() -> keras.Model:
    """Return a small convolutional network whose answers span about 10 units."""
    keras.utils.set_random_seed(1)
    image = keras.Input((12, 10, 1))
    x = keras.layers.Rescaling(1 / 8)(image)
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(6, 3, padding="same", activation="swish")(x))
    return keras.Model(image, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(x)))


def deep() -> keras.Model:
    keras.utils.set_random_seed(1)
    volume = keras.Input((8, 6, 4, 1))
    x = keras.layers.MaxPooling3D(2)(keras.layers.Conv3D(4, 3, padding="same", activation="relu")(volume))
    return keras.Model(volume, keras.layers.Flatten()(x))


def transformed() -> keras.Model:
    """Return a network with an exact GELU, whose graph holds an operation that ONNX has not."""
    keras.utils.set_random_seed(1)
    image = keras.Input((6, 6, 1))
    x = keras.layers.Activation(keras.activations.gelu)(keras.layers.Dense(8)(keras.layers.Rescaling(1 / 8)(image)))
    return keras.Model(image, keras.layers.Dense(5)(keras.layers.Flatten()(x)))


def images(model: keras.Model, count: int = 4) -> np.ndarray:
    noise = np.random.default_rng(0).uniform(0, 255, (count, *model.input_shape[1:]))
    return (noise * np.linspace(0.1, 1, count).reshape(-1, *[1] * (noise.ndim - 1))).astype(np.float32)


@pytest.mark.parametrize("build", [flat, deep, transformed])
@pytest.mark.parametrize("name", OTHERS)
def test_an_engine_gives_tensorflows_numbers(build: Any, name: str) -> None:
    model = build()
    given = images(model)
    expected = model.predict(given, verbose=0)
    assert np.ptp(expected) > 4, "the check would pass on numbers that are all alike"
    for batch in (4, None):
        run = engines.Compiler(model, batch).run(Engine(name=name, threads=1))
        first, second = run(given), run(given[::-1].copy())
        assert first.dtype == np.float32
        assert engines.difference(expected, first) <= 1e-4
        assert engines.difference(expected[::-1], second) <= 1e-4, "the first answer must not be overwritten"


def test_the_frozen_graph_of_tensorflow_gives_the_models_numbers() -> None:
    model = flat()
    given = images(model)
    found = engines.Compiler(model, 4).run(Engine(threads=1))(given)
    assert engines.difference(model.predict(given, verbose=0), found) <= 1e-5


def test_the_bound_is_absolute_below_one_and_relative_above() -> None:
    assert engines.difference(np.array([0.5]), np.array([0.25])) == 0.25
    assert engines.difference(np.array([200.0]), np.array([150.0])) == 0.25
    assert engines.difference(np.array([1.0]), np.array([np.nan])) == float("inf")
    assert engines.difference(np.zeros(2), np.zeros(3)) == float("inf")


def slow(run: engines.Run) -> engines.Run:
    def later(given: np.ndarray) -> np.ndarray:
        __import__("time").sleep(0.05)
        return run(given)

    return later


def chosen(monkeypatch: pytest.MonkeyPatch, other: Any, name: engines.Name = "auto", rows: int = 10**9) -> Any:
    """Choose between TensorFlow, made slow, and an OpenVINO that is `other`."""
    model = flat()
    plain = engines._tensorflow
    monkeypatch.setattr(engines, "installed", lambda: ["tensorflow", "openvino"])
    monkeypatch.setattr(engines, "_tensorflow", lambda frozen: slow(plain(frozen)))
    monkeypatch.setattr(engines, "_openvino", lambda frozen, engine: other(plain(frozen)))
    return engines.choose(engines.Compiler(model, 4), name, "float32", 1, images(model), rows)


def test_the_faster_engine_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    found = chosen(monkeypatch, lambda run: run)
    assert found.engine == Engine(name="openvino", threads=1)
    assert found.rates["openvino"] > found.rates["tensorflow"]
    assert found.told == ""


def test_a_conversion_that_saves_less_than_it_costs_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, lambda run: run, rows=100).engine.name == "tensorflow"


def test_a_faster_engine_with_other_numbers_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = chosen(monkeypatch, lambda run: lambda given: run(given) * np.float32(1.001), name="openvino")
    assert found.engine.name == "tensorflow"
    assert "openvino differs from TensorFlow by 0.00" in found.told


def test_an_engine_that_fails_is_no_failed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(run: engines.Run) -> engines.Run:
        raise RuntimeError("no such operation\nand much more")

    found = chosen(monkeypatch, fails)
    assert found.engine.name == "tensorflow"
    assert found.told == "openvino cannot run this network (no such operation); TensorFlow does."


def test_what_cannot_be_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"bfloat16 is OpenVINO's alone; train.engine is tensorflow"):
        engines.check("tensorflow", "bfloat16", "tensorflow")
    with pytest.raises(RecipeError, match=r"train.engine=openvino converts TensorFlow's graph; the backend is jax"):
        engines.check("auto", "bfloat16", "jax")
    engines.check("auto", "float32", "jax")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentProblem, match=r"onnxruntime needs onnxruntime, tf2onnx.*\n.*keras_med\[onnx\]"):
        engines.check("onnxruntime", "float32", "tensorflow")
