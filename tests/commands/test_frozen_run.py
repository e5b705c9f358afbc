"""A run on a frozen backbone: engine, kept views of changed images, and what the preflight found, by the command."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_med import Augment
from keras_med.data import augmentation
from keras_med.data.dataset import read_index
from keras_med.recipe.seeds import seed_for
from keras_med.runfolder import RunFolder

Command = Callable[..., "subprocess.CompletedProcess[str]"]

RECIPE = '''"""The width of stripes, from means of a frozen grid."""

from keras_med import Augment, Data, Image, KFold, Model, Recipe, Regression, Train, tables


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
    seed=5,
)
'''


@pytest.fixture(scope="module")
def run(stripes: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, str]:
    """Return a run of two folds, without a final network and so without an export, and what it said."""
    folder = tmp_path_factory.mktemp("frozen")
    (folder / "frozen.py").write_text(RECIPE)
    typed = [sys.executable, "-m", "keras_med.run", "frozen.py", "--data", str(stripes / "data")]
    environment = {**os.environ, "KERAS_MED_CACHE": str(cache)}
    made = subprocess.run(typed, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stderr
    return RunFolder((folder / "runs" / "frozen" / "latest").resolve()), made.stderr


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
