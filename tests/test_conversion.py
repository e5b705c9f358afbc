from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_med import conversion

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")


def frozen(model: keras.Model) -> Any:
    def twice(pixels: Any) -> dict[str, Any]:
        return {name: model(pixels, training=False) + shift for name, shift in (("one", 0.0), ("two", 1.0))}

    given = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, "pixels")
    return conversion.frozen(tf.function(twice, autograph=False).get_concrete_function(given))


def test_a_large_matrix_comes_back_once_and_only_the_pixels_are_asked_for() -> None:
    keras.utils.set_random_seed(2)
    image = keras.Input((32, 32, 1))
    hidden = keras.layers.Dense(1100, activation="relu")(keras.layers.Flatten()(image))  # 1,024 x 1,100: 4.5 MB
    model = keras.Model(image, keras.layers.Dense(3)(hidden))
    function = frozen(model)
    names = {function.inputs[0].name: "pixels"} | dict(
        zip((tensor.name for tensor in function.outputs), ("one", "two"), strict=True)
    )
    content = conversion.to_onnx(function, names)
    graph = onnx.load_from_string(content).graph
    assert [given.name for given in graph.input] == ["pixels"]
    assert len(content) < 1.1 * 4 * model.count_params()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).uniform(0, 1, (5, 32, 32, 1)).astype(np.float32)
    one, two = session.run(["one", "two"], {"pixels": pixels})
    expected = model.predict(pixels, verbose=0)
    np.testing.assert_allclose(one, expected, atol=1e-5)
    np.testing.assert_allclose(two, expected + 1, atol=1e-5)


def test_a_large_matrix_that_something_else_reads_too_is_converted_with_the_rest() -> None:
    keras.utils.set_random_seed(2)
    kernel = keras.random.normal((1024, 1100))
    weights = tf.Variable(kernel)

    def answer(pixels: Any) -> Any:
        return tf.matmul(pixels, weights) + tf.reduce_sum(weights, axis=0)

    given = tf.TensorSpec((None, 1024), tf.float32, "pixels")
    function = conversion.frozen(tf.function(answer, autograph=False).get_concrete_function(given))
    session = onnxruntime.InferenceSession(conversion.to_onnx(function), providers=["CPUExecutionProvider"])
    (asked,) = session.get_inputs()
    pixels = np.random.default_rng(0).uniform(0, 1, (2, 1024)).astype(np.float32)
    (found,) = session.run(None, {asked.name: pixels})
    wide = np.asarray(kernel, np.float64)
    np.testing.assert_allclose(found, pixels @ wide + wide.sum(axis=0), atol=1e-2)
