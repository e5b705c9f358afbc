"""EfficientNetB2 is the published graph, whether its weights are loaded or not."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_med.models import efficientnet_b2, weights

MEAN = np.array([0.485, 0.456, 0.406], "float32")
DEVIATION = np.array([0.229, 0.224, 0.225], "float32")


@pytest.fixture(scope="module")
def published() -> keras.Model:
    """The graph of keras.applications with weights as they are published: the deviation in the variance's place."""
    keras.utils.set_random_seed(1)
    model = keras.applications.EfficientNetB2(include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg")
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, array.shape) for array in layer.get_weights()])
    normalisation = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    normalisation.set_weights([MEAN, DEVIATION, normalisation.get_weights()[2]])
    normalisation.finalize_state()
    return model


@pytest.fixture
def weights_file(tmp_path, published, write_legacy_h5) -> Path:
    write_legacy_h5(tmp_path / "b2.h5", [layer for layer in published.layers if layer.weights])
    return tmp_path / "b2.h5"


def _pixels(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(2).uniform(0, 255, (2, 64, 64, channels)).astype("float32")


def test_loaded_weights_give_what_keras_gives_for_imagenet(weights_file, monkeypatch):
    # Keras adds its second Rescaling only for "imagenet", so it must think that it downloaded the file.
    files = keras.src.applications.efficientnet.file_utils
    monkeypatch.setattr(files, "get_file", lambda *_args, **_settings: str(weights_file))
    theirs = keras.applications.EfficientNetB2(
        include_top=False, weights="imagenet", input_shape=(64, 64, 3), pooling="avg"
    )
    with weights.policy(weights_file):
        image = keras.Input((64, 64, 3))
        ours = keras.Model(image, efficientnet_b2(image))
    expected = keras.ops.convert_to_numpy(theirs(_pixels(), training=False))
    features = keras.ops.convert_to_numpy(ours(_pixels(), training=False))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("source", ["file", "random"])
def test_pixels_are_normalised_by_mean_and_deviation_in_every_case(weights_file, source):
    with weights.policy(weights_file if source == "file" else None, allow_random=True, allow_download=False):
        image = keras.Input((64, 64, 3))
        model = keras.Model(image, efficientnet_b2(image))
    normalised = keras.Model(image, model.get_layer("stem_conv_pad").input)
    result = keras.ops.convert_to_numpy(normalised(_pixels()))
    np.testing.assert_allclose(result, (_pixels() / 255 - MEAN) / DEVIATION, atol=1e-5)


def test_a_grey_image_is_taken_with_weights_of_three_channels(weights_file, published):
    with weights.policy(weights_file):
        image = keras.Input((64, 64, 1))
        model = keras.Model(image, efficientnet_b2(image))
    kernel = model.get_layer("stem_conv").get_weights()[0]
    np.testing.assert_array_equal(kernel, published.get_layer("stem_conv").get_weights()[0])
