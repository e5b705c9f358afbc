"""BatchNorm in one kernel trains as Keras' layer does, and the network that is saved has the layer."""

from typing import Any

import keras
import numpy as np
import pytest

from keras_med.models import graph
from keras_med.training import batch_norm
from keras_med.training.batch_norm import OneKernel


def network(shape: tuple[int, ...], **settings: Any) -> keras.Model:
    """Return two convolutions with BatchNorm, of pictures or volumes."""
    keras.utils.set_random_seed(3)
    image = keras.Input(shape)
    kind, axis = (keras.layers.Conv2D, -1) if len(shape) == 3 else (keras.layers.Conv3D, 4)  # the last, both ways
    x = image
    for filters in (4, 6):
        x = kind(filters, 3, use_bias=False)(x)
        x = keras.layers.BatchNormalization(axis=axis, momentum=0.8, epsilon=1e-2, **settings)(x)
        x = keras.layers.Activation("relu")(x)
    return keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(x)))


def trained(model: keras.Model, steps: int = 8) -> list[np.ndarray]:
    """Return the weights and statistics after some steps; the batches are of 5 and of 3."""
    model.compile(keras.optimizers.SGD(0.003), loss="mse", jit_compile=False)
    draw = np.random.default_rng(5)
    for step in range(steps):
        images = draw.normal(1, 2, (5 - 2 * (step % 2), *model.inputs[0].shape[1:])).astype(np.float32)
        model.train_on_batch(images, images.mean(axis=tuple(range(1, images.ndim))))
    return model.get_weights()


def kinds(model: keras.Model) -> list[str]:
    return [type(step.operation).__name__ for step in graph.steps(model)]


@pytest.mark.parametrize("shape", [(9, 9, 2), (7, 8, 9, 1)], ids=["pictures", "volumes"])
@pytest.mark.parametrize("settings", [{}, {"scale": False}, {"center": False}])
def test_weights_and_statistics_are_those_of_keras(shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    wanted, model = trained(network(shape, **settings)), network(shape, **settings)
    begun = model.get_weights()
    replaced = batch_norm.with_kernels(model)
    assert kinds(replaced).count("OneKernel") == 2
    found = trained(replaced)
    for one, other, before in zip(found, wanted, begun, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
        assert np.abs(one - before).max() > 1e-3, "every variable was trained"


def test_the_network_itself_is_trained_and_keeps_keras_layers() -> None:
    model = network((9, 9, 2))
    replaced = batch_norm.with_kernels(model)
    weights = trained(replaced)
    assert "OneKernel" not in kinds(model)
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
    images = np.random.default_rng(1).normal(size=(4, 9, 9, 2)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(images, verbose=0), replaced.predict(images, verbose=0))


def test_a_batch_is_normalised_and_followed_by_hand() -> None:
    layer = keras.layers.BatchNormalization(momentum=0.75, epsilon=0.0)
    layer.build((None, 1, 2, 1))
    layer.gamma.assign([2.0])
    layer.beta.assign([10.0])
    images = np.array([1, 3, 5, 7], np.float32).reshape(2, 1, 2, 1)  # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5
    found = np.asarray(OneKernel(layer)(images, training=True)).ravel()
    np.testing.assert_allclose(found, 10 + 2 * np.array([-3, -1, 1, 3]) / np.sqrt(5), rtol=1e-6)
    assert float(layer.moving_mean[0]) == pytest.approx(0.25 * 4)
    assert float(layer.moving_variance[0]) == pytest.approx(0.75 * 1 + 0.25 * 5)


def test_one_value_a_channel_has_no_variance() -> None:
    layer = keras.layers.BatchNormalization(momentum=0.0)
    layer.build((None, 1, 1, 3))
    found = OneKernel(layer)(np.array([1, 2, 3], np.float32).reshape(1, 1, 1, 3), training=True)
    np.testing.assert_allclose(found, np.zeros((1, 1, 1, 3)), atol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0)


def test_in_bfloat16_the_statistics_are_float32() -> None:
    layer = keras.layers.BatchNormalization(momentum=0.0, dtype="mixed_bfloat16")
    layer.build((None, 8, 8, 1))
    images = np.random.default_rng(2).normal(100, 1, (4, 8, 8, 1)).astype(np.float32)
    rounded = np.asarray(keras.ops.cast(keras.ops.cast(images, "bfloat16"), "float32"))
    found = OneKernel(layer)(images, training=True)
    assert found.dtype.name == "bfloat16"
    np.testing.assert_allclose(layer.moving_mean, rounded.mean(), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, rounded.var(), rtol=1e-4)
    expected = (rounded - rounded.mean()) / np.sqrt(rounded.var() + 1e-3)
    np.testing.assert_allclose(np.asarray(keras.ops.cast(found, "float32")), expected, atol=0.02)


def test_outside_of_training_and_where_frozen_it_is_keras_layer() -> None:
    layer = keras.layers.BatchNormalization()
    layer.build((None, 4, 4, 2))
    layer.moving_mean.assign([1.0, 2.0])
    images = np.random.default_rng(2).normal(size=(3, 4, 4, 2)).astype(np.float32)
    still = np.asarray(layer(images, training=False))
    np.testing.assert_array_equal(OneKernel(layer)(images, training=False), still)
    layer.trainable = False
    np.testing.assert_array_equal(OneKernel(layer)(images, training=True), still)
    np.testing.assert_allclose(layer.moving_mean, [1, 2])


def test_a_layer_called_twice_and_a_network_within_a_network_are_found() -> None:
    keras.utils.set_random_seed(1)
    inner_image = keras.Input((6, 6, 2))
    inner = keras.Model(inner_image, keras.layers.BatchNormalization()(inner_image), name="inner")
    image = keras.Input((6, 6, 2))
    shared = keras.layers.BatchNormalization()
    x = keras.layers.Add()([shared(inner(image)), shared(keras.ops.flip(image, axis=2))])
    model = keras.Model(image, keras.layers.Dense(1)(keras.layers.GlobalMaxPooling2D()(x)))
    replaced = batch_norm.with_kernels(model)
    steps = graph.steps(replaced)
    (within,) = [step.operation for step in steps if step.operation.name == "inner"]
    assert kinds(within) == ["OneKernel"]
    twice = [step.operation for step in steps if isinstance(step.operation, OneKernel)]
    assert len(twice) == 2
    assert twice[0] is twice[1]
    assert len(replaced.weights) == len(model.weights) == 10
    trained(replaced)
    for one, other in zip(
        sorted(model.weights, key=lambda weight: weight.path),
        sorted(replaced.weights, key=lambda weight: weight.path),
        strict=True,
    ):
        assert one is other


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.BatchNormalization(axis=1),
        keras.layers.BatchNormalization(renorm=True),
        keras.layers.BatchNormalization(dtype="bfloat16"),
        keras.layers.LayerNormalization(),
        type("Own", (keras.layers.BatchNormalization,), {})(),
    ],
    ids=["another axis", "renormalised", "bfloat16 variables", "another layer", "a subclass"],
)
def test_other_layers_are_left_alone(layer: keras.Layer) -> None:
    image = keras.Input((6, 6, 2))
    model = keras.Model(image, keras.layers.Flatten()(layer(image)))
    assert batch_norm.with_kernels(model) is model


def test_vectors_are_left_alone() -> None:
    image = keras.Input((6,))
    model = keras.Model(image, keras.layers.BatchNormalization()(image))
    assert batch_norm.with_kernels(model) is model


def test_masked_images_go_the_way_of_keras() -> None:
    layer = keras.layers.BatchNormalization(momentum=0.0)
    layer.build((None, 2, 2, 1))
    images = np.array([[1, 3, 5, 100]], np.float32).reshape(1, 2, 2, 1)
    mask = np.array([[True, True, True, False]]).reshape(1, 2, 2)
    OneKernel(layer)(keras.ops.convert_to_tensor(images), training=True, mask=keras.ops.convert_to_tensor(mask))
    assert float(layer.moving_mean[0]) == pytest.approx(3, rel=1e-5)
