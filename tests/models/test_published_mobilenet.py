"""Real MobileNetV2 weights load and tell pictures apart; skipped where KERAS_MED_REAL_DATA is not set."""

import os
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from keras_med.models import mobilenet_v2, weights

REAL = Path(os.environ.get("KERAS_MED_REAL_DATA", "absent"))
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="KERAS_MED_REAL_DATA names no folder")

FILES = {
    0.35: "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
    1.0: "mobilenet_v2_1.0_224_no_top_DEQUANTISED_from_tflite_int8.h5",
}


@pytest.mark.parametrize("alpha", FILES)
def test_the_file_fills_the_whole_network(alpha):
    with weights.policy(REAL / "weights" / FILES[alpha], allow_download=False):
        image = keras.Input((96, 96, 1))
        model = keras.Model(image, mobilenet_v2(image, alpha=alpha))
    variances = [
        layer.moving_variance.numpy() for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert not any((variance == 1).all() for variance in variances)


def _pictures(split: str) -> tuple[np.ndarray, np.ndarray]:
    files = sorted((REAL / "chest_xray_3class" / split).glob("*/*"))
    read = [cv2.resize(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), (224, 224), interpolation=3) for file in files]
    return np.array(read, "float32")[..., None], np.array([file.parent.name for file in files])


def test_features_of_real_weights_tell_chest_x_rays_apart():
    with weights.policy(REAL / "weights", allow_download=False):
        image = keras.Input((224, 224, 1))
        model = keras.Model(image, mobilenet_v2(image, alpha=0.35))
    (train, train_labels), (validation, validation_labels) = _pictures("train"), _pictures("val")
    probe = RidgeClassifier().fit(model.predict(train, verbose=0), train_labels)
    assert probe.score(model.predict(validation, verbose=0), validation_labels) >= 0.85
