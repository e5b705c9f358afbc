"""What no simple measure sees (the other tests here), networks do learn: in seconds, on few pictures."""

from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_med.phantoms import brain_mr, chest_xray, head_ct, knee_mr

HELD_OUT = 80


def random_features(pictures: np.ndarray, *, seed: int) -> np.ndarray:
    """Pool a frozen, randomly initialised EfficientNetB2 whose BatchNorm statistics come from 48 pictures.

    One pass in training mode with momentum 0 is exact: each layer sees what the calibrated layers before it give.
    """
    keras.utils.set_random_seed(seed)
    network = keras.applications.EfficientNetB2(
        include_top=False, weights=None, pooling="avg", input_shape=(260, 260, 3)
    )
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(pictures[:48], training=True)
    return np.asarray(network.predict(pictures, batch_size=24, verbose=0))


def test_features_of_a_random_efficientnet_predict_the_age_far_better_than_the_mean(tmp_path: Path) -> None:
    chest_xray.spr_age(tmp_path / "spr", seed=10, train=200, test=0)
    ages = pd.read_csv(tmp_path / "spr" / "train_age.csv")["age"].to_numpy()
    files = sorted((tmp_path / "spr" / "kaggle" / "kaggle" / "train").iterdir())
    films = [cv2.resize(cv2.imread(str(file)), (260, 260), interpolation=cv2.INTER_AREA) for file in files]
    features = random_features(np.stack(films).astype(np.float32), seed=0)
    head = make_pipeline(StandardScaler(), RidgeCV(np.logspace(1, 6, 11)))
    folds = KFold(5, shuffle=True, random_state=0)
    predicted, mean = (cross_val_predict(head, x, ages, cv=folds) for x in (features, np.zeros((len(ages), 1))))
    assert np.abs(predicted - ages).mean() < 0.6 * np.abs(mean - ages).mean()


def slices_of_ct(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Brain windows of slices, one of each patient, and which of them bleed."""
    rng = np.random.default_rng(1)
    planned = [head_ct._patient(rng, slices=1, side=96)[0] for _ in range(2 * count)]
    planned = [item for item in planned if item.shape == (96, 96)][:count]
    units = [head_ct._hounsfield(item, np.random.default_rng([1, number])) for number, item in enumerate(planned)]
    return np.clip(np.stack(units) / 80.0, 0, 1)[..., None], np.array([bool(item.bleeding) for item in planned])


def slices_of_mr(count: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    brain_mr.brain_tumor(folder, seed=1, heads=count, slices=1)
    table = pd.read_csv(folder / "Brain Tumor.csv")
    files = [folder / "Brain Tumor" / "Brain Tumor" / f"{name}.jpg" for name in table["Image"]]
    small = [cv2.resize(cv2.imread(str(file), 0), (120, 120), interpolation=cv2.INTER_AREA) for file in files]
    return np.stack(small)[..., None] / 255.0, table["Class"].to_numpy() == 1


def volumes_of_knees(count: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """One visit of each knee, in random order, each volume scaled to 0-1."""
    knee_mr.oai(folder, seed=1, normal=count, abnormal=count, size=(32, 32, 16))
    volumes = np.concatenate([np.load(folder / knee_mr.FILES[kind])[::2] for kind in ("normal", "abnormal")])
    order = np.random.default_rng(0).permutation(len(volumes))
    volumes = volumes / volumes.max(axis=(1, 2, 3), keepdims=True)
    return volumes[order][..., None], order >= len(order) // 2


def auroc_of_a_small_network(images: np.ndarray, positive: np.ndarray, epochs: int) -> float:
    """Train three convolutions on all but the last examples and score those."""
    keras.utils.set_random_seed(0)
    solid = images.ndim == 5
    convolution = keras.layers.Conv3D if solid else keras.layers.Conv2D
    layers: list[keras.Layer] = [keras.Input(images.shape[1:])]
    for filters in (8, 16, 32):
        layers.append(convolution(filters, 3, padding="same", use_bias=False))
        layers.append(keras.layers.BatchNormalization(momentum=0.8))
        layers.append(keras.layers.ReLU())
        layers.append(keras.layers.MaxPooling3D() if solid else keras.layers.MaxPooling2D())
    layers.append(keras.layers.GlobalAveragePooling3D() if solid else keras.layers.GlobalAveragePooling2D())
    network = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
    network.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy")
    network.fit(images[:-HELD_OUT], positive[:-HELD_OUT].astype(float), batch_size=16, epochs=epochs, verbose=0)
    return float(roc_auc_score(positive[-HELD_OUT:], network.predict(images[-HELD_OUT:], verbose=0)[:, 0]))


def films(label: str) -> Callable[[Path], tuple[np.ndarray, np.ndarray]]:
    """Films of the class folders, and which of them have this label."""

    def of(folder: Path) -> tuple[np.ndarray, np.ndarray]:
        chest_xray.chest_folders(folder, seed=1)
        files = sorted(folder.glob("*/*"), key=lambda file: file.stem)
        small = [cv2.resize(cv2.imread(str(file), 0), (112, 112), interpolation=cv2.INTER_AREA) for file in files]
        return np.stack(small)[..., None] / 255.0, np.array([file.parent.name == label for file in files])

    return of


@pytest.mark.parametrize(
    ("data", "epochs"),
    [
        pytest.param(lambda folder: slices_of_ct(320), 8, id="head_ct"),
        pytest.param(lambda folder: slices_of_mr(280, folder), 8, id="brain_mr"),
        pytest.param(lambda folder: volumes_of_knees(240, folder), 6, id="knee_mr"),
        pytest.param(films("covid"), 8, id="chest_folders"),
    ],
)
def test_a_small_network_tells_the_classes_apart(
    tmp_path: Path, data: Callable[[Path], tuple[np.ndarray, np.ndarray]], epochs: int
) -> None:
    images, positive = data(tmp_path / "data")
    assert auroc_of_a_small_network(images.astype(np.float32), positive, epochs) > 0.85
