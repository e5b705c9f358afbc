"""Random frozen backbones get the statistics of their images."""

import keras
import numpy as np
import pytest

from keras_med.models import efficientnet_b2, resnet50
from keras_med.models.calibration import calibrate


def _small(*, frozen: bool = True) -> keras.Model:
    image = keras.Input((8, 8, 2))
    maps = keras.layers.Conv2D(4, 3, padding="same")(image)
    maps = keras.layers.ReLU()(keras.layers.BatchNormalization(name="first")(maps))
    left = keras.layers.BatchNormalization(name="left")(keras.layers.Conv2D(4, 3, padding="same")(maps))
    joined = keras.layers.Add()([left, maps])
    model = keras.Model(image, keras.layers.BatchNormalization(name="last", epsilon=1e-6)(joined))
    for layer in model.layers:
        layer.trainable = not frozen
    return model


def _images(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, 8, 8, 2)).astype("float32")


@pytest.mark.parametrize("name", ["first", "left", "last"])
def test_each_normalisation_takes_the_exact_statistics_of_what_reaches_it(name):
    model = _small()
    assert calibrate(model, _images()) == 3
    layer = model.get_layer(name)
    reaching = np.asarray(keras.Model(model.input, layer.input)(_images(), training=False), "float64")
    mean, variance = (np.asarray(weight) for weight in layer.get_weights()[2:])
    np.testing.assert_allclose(mean, reaching.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(variance, reaching.var(axis=(0, 1, 2)), rtol=1e-3)


def test_statistics_that_are_trained_are_left_to_training():
    model = _small(frozen=False)
    before = model.get_weights()
    assert calibrate(model, _images()) == 0
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_same_images_give_the_same_statistics():
    model = _small()
    calibrate(model, _images())
    first = model.get_weights()
    calibrate(model, _images())
    for old, new in zip(first, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("random_weights")
def test_random_features_that_were_dead_come_alive():
    image = keras.Input((64, 64, 1))
    model = keras.Model(image, efficientnet_b2(image))
    images = np.random.default_rng(0).uniform(0, 255, (8, 64, 64, 1)).astype("float32")
    assert np.abs(model(images, training=False)).mean() < 1e-4
    calibrate(model, images)
    assert 0.03 < np.abs(model(images, training=False)).mean() < 1.0


@pytest.mark.usefixtures("random_weights")
@pytest.mark.parametrize("frozen", [True, False])
def test_blocks_of_frozen_random_weights_are_weak_beside_their_shortcuts(frozen):
    image = keras.Input((32, 32, 1))
    layers = keras.Model(image, resnet50(image, frozen=frozen)).layers
    scales = {layer.name: float(np.ptp(layer.gamma) + layer.gamma[0]) for layer in layers if "_bn" in layer.name}
    last = {name for name in scales if name.endswith("_3_bn")}
    assert len(last) == 16
    assert {round(scales[name], 6) for name in last} == {0.2 if frozen else 1.0}
    assert {value for name, value in scales.items() if name not in last} == {1.0}
