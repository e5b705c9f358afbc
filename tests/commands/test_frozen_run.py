"""A run on a frozen backbone: kept views of changed images, the mean of its folds, and what the preflight found."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest

from keras_med import Augment
from keras_med.data import augmentation
from keras_med.data.dataset import read_index
from keras_med.export.verify import verify
from keras_med.inference.load import load_model
from keras_med.inference.predict import predict
from keras_med.recipe.seeds import seed_for
from keras_med.runfolder import RunFolder

Command = Callable[..., "subprocess.CompletedProcess[str]"]

RECIPE = '''"""The width of stripes, from means of a frozen grid."""

from keras_med import Augment, Data, Final, Image, KFold, Model, Recipe, Regression, Train, tables


def index(root):
    return tables.labelled(tables.files(root, "*.png"), root / "labels.csv", key="name", label="width")


def network(image):
    import keras

    grid = keras.layers.DepthwiseConv2D(4, strides=4, depthwise_initializer="ones", use_bias=False, trainable=False)
    x = keras.layers.Flatten()(grid(keras.layers.Rescaling(1 / 16 / 255)(image)))
    return keras.layers.Dense(16, activation="relu")(x)


recipe = Recipe(
    target=Regression(unit="pixels"),
    data=Data(index),
    image=Image(size=(24, 24)),
    split=KFold(folds=2, validation=0.2, test=0.2),
    model=Model(network),
    train=Train(epochs=3, batch_size=16, learning_rate=1e-2, threads=1, views=3),
    augment=Augment(flip="horizontal", brightness=0.2),
    final=Final(ensemble=True),
    seed=5,
)
'''


@pytest.fixture(scope="module")
def run(stripes: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, str]:
    """Return a run that exports the mean of its two folds' networks, and what it said."""
    folder = tmp_path_factory.mktemp("frozen")
    (folder / "frozen.py").write_text(RECIPE)
    typed = [sys.executable, "-m", "keras_med.run", "frozen.py", "--data", str(stripes / "data")]
    environment = {**os.environ, "KERAS_MED_CACHE": str(cache)}
    made = subprocess.run(typed, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stderr
    return RunFolder((folder / "runs" / "frozen" / "latest").resolve()), made.stderr + made.stdout


def pooled(images: np.ndarray) -> np.ndarray:
    """Return what the frozen grid gives: the mean of each 4x4 cell, as a share of white."""
    return images.reshape(len(images), 6, 4, 6, 4).mean(axis=(2, 4)).reshape(len(images), 36) / 255


def test_the_features_of_each_view_are_those_of_its_changed_images(run: tuple[RunFolder, str]) -> None:
    folder, said = run
    found = json.loads((folder.features / "done.json").read_text())
    table = read_index(folder.index)
    splits = pd.read_csv(folder.splits, dtype=str)
    trained = table[table["id"].isin(splits.loc[splits["split"] == "train", "id"])]
    assert 0 < len(trained) < len(table), "the test split has no views"
    assert f"frozen features: {len(table)} x [36] and 3 views of the training images" in said

    stack = {name: np.load(name) for name in table["array"].unique()}
    images = np.stack([stack[row.array][row.array_row] for row in table.itertuples()]).reshape(-1, 24, 24, 1)
    images = images.astype(np.float32)
    plain = np.load(Path(found["folder"]) / "block-00000.npy")
    np.testing.assert_allclose(plain, pooled(images), atol=1e-5)

    changes, seed = Augment(flip="horizontal", brightness=0.2), seed_for(5, "views")
    for number, view in enumerate(found["views"]):
        changed = [augmentation.augment(images[at], changes, seed, number, table["id"][at]) for at in trained.index]
        kept = np.load(Path(view) / "block-00000.npy")
        np.testing.assert_allclose(kept, pooled(np.stack(changed)), atol=1e-5)
        assert np.abs(kept - plain[trained.index]).max() > 0.05
    assert len(found["views"]) == len(set(found["views"])) == 3


def test_the_mean_of_the_folds_is_scored_on_the_test_and_exported(
    run: tuple[RunFolder, str], stripes: Path, tmp_path: Path
) -> None:
    folder, said = run
    rows = pd.read_csv(folder.predictions)
    assert {role: set(part["fit"]) for role, part in rows.groupby("role")} == {
        "validation": {"t000-fold0", "t000-fold1"},
        "out_of_fold": {"t000-fold0", "t000-fold1"},
        "test": {"t000-ensemble"},
    }
    test = rows[rows["role"] == "test"].set_index("id")["predicted"]
    pictures = [str(stripes / "data" / f"{name}.png") for name in test.index]
    images = np.stack([cv2.imread(picture, cv2.IMREAD_GRAYSCALE) for picture in pictures]).astype(np.float32)
    members = [keras.models.load_model(folder.fit(f"t000-fold{fold}").best) for fold in (0, 1)]
    assert not any(member.compiled for member in members), "a file holds the network, and no optimizer"
    own = np.hstack([member.predict_on_batch(pooled(images[..., None])) for member in members])
    np.testing.assert_allclose(test, own.mean(axis=1), rtol=1e-5)

    export = Path(json.loads(folder.settings.read_text())["export"])
    predict(load_model(export), pictures, tmp_path / "predictions.csv", tmp_path / "cache")
    found = pd.read_csv(tmp_path / "predictions.csv")
    np.testing.assert_allclose(found["predicted"], own.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(found["spread"], np.abs(own[:, 0] - own[:, 1]) / np.sqrt(2), atol=1e-4)
    assert {check.output for check in verify(export).checks} == {"serve", "members"}

    head = 36 * 16 + 16 + 17
    assert json.loads(folder.metrics.read_text())["ensemble"]["parameters"] == 16 + 2 * head
    assert keras.models.load_model(folder.model).count_params() == 16 + 2 * head, "the frozen grid is there once"
    assert "is the mean of the 2 folds' networks: 1\u202f234 parameters, 16 of them in the frozen part" in said


def test_a_fit_that_trains_nothing_is_not_trained_anew(run: tuple[RunFolder, str], command: Command) -> None:
    ended = command("fit", run[0].fit("t000-ensemble").path)
    assert (ended.returncode, "its settings.json plans no training" in ended.stderr) == (2, True)


def test_views_without_changes_are_refused(command: Command, stripes: Path, tmp_path: Path) -> None:
    (tmp_path / "frozen.py").write_text(RECIPE.replace('    augment=Augment(flip="horizontal", brightness=0.2),\n', ""))
    made = command("run", "frozen.py", "--data", stripes / "data")
    assert made.returncode == 2
    assert "train.views=3 keeps the features of changed images; this recipe changes none." in made.stderr


def test_the_preflight_says_what_is_ahead_and_leaves_its_file(run: tuple[RunFolder, str]) -> None:
    folder, said = run
    found = json.loads(folder.preflight.read_text())
    assert found["checks"] == []
    assert "preflight: first loss" in said
    assert f"preflight: {found['seconds_a_step']:.3g} s a step, so at most about" in said
