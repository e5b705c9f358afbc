"""Each backbone of keras.applications sees pixels as its own preprocess_input makes them."""

import keras
import numpy as np
import pytest

import keras_med.models

CASES = {
    "resnet50": ("conv1_pad", keras.applications.resnet50.preprocess_input),
    "mobilenet_v2": ("Conv1", keras.applications.mobilenet_v2.preprocess_input),
}


@pytest.mark.usefixtures("random_weights")
@pytest.mark.parametrize("name", CASES)
def test_the_first_layer_sees_what_keras_prepares(name):
    first, prepare = CASES[name]
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, getattr(keras_med.models, name)(image))
    pixels = np.tile(np.array([10, 100, 200], "float32"), (1, 32, 32, 1))
    seen = keras.Model(image, model.get_layer(first).input)(pixels)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(seen), prepare(pixels.copy()), atol=1e-5)
