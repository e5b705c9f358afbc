"""A tiny data set and its recipe, and the real command in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_med.runfolder import RunFolder

RECIPE = '''"""The width of stripes."""

from keras_med import Data, Final, Image, KFold, Model, Recipe, Regression, Train, tables


def index(root):
    return tables.labelled(tables.files(root, "*.png"), root / "labels.csv", key="name", label="width")


def network(image, *, units: int = 8):
    import keras

    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.Conv2D(8, 5, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.layers.Dropout(0.2)(keras.layers.Dense(units, activation="relu")(x))


recipe = Recipe(
    target=Regression(unit="pixels"),
    data=Data(index),
    image=Image(size=(24, 24)),
    split=KFold(folds=2, validation=0.2, test=0.2),
    model=Model(network),
    train=Train(epochs=6, batch_size=16, learning_rate=1e-2, patience=3, threads=1),
    final=Final(share=0.9),
    seed=3,
)
'''


WIDE = (
    RECIPE.replace('label="width")', 'label="width").assign(label=lambda rows: rows["label"] > 7)')
    .replace("KFold(folds=2, validation=0.2, test=0.2)", "Holdout(validation=0.3, test=0.3)")
    .replace('Regression(unit="pixels")', "Binary(positive=True)")
    .replace("    final=Final(share=0.9),\n", "    evaluate=Evaluate(sensitivity=0.8, assurance=None),\n")
    .replace("    seed=3,", '    export=Export(formats=("onnx", "litert", "litert_int8")),\n    seed=3,')
    .replace("Data(index)", 'Data(index, balance="undersample")')
    .replace(
        "Data, Final, Image, KFold, Model, Recipe, Regression",
        "Binary, Data, Evaluate, Export, Holdout, Image, Model, Recipe",
    )
)


def draw_stripes(folder: Path, count: int = 120) -> None:
    """Write pictures of stripes, and labels.csv with their widths."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    rows, columns = np.mgrid[:24, :24]
    lines = ["name,width"]
    for number in range(count):
        width = draw.uniform(2, 10)
        angle, phase = draw.uniform(0, np.pi, 2)
        wave = np.sin((rows * np.cos(angle) + columns * np.sin(angle)) * 2 * np.pi / width + phase)
        picture = np.clip(128 + 90 * wave + draw.normal(0, 10, wave.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"p{number:03d}.png"), picture)
        lines.append(f"p{number:03d},{width:.3f}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="session")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with stripes/ and stripes.py."""
    folder = tmp_path_factory.mktemp("stripes")
    draw_stripes(folder / "data")
    (folder / "stripes.py").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[RunFolder, str]:
    """Return a run that tells wide stripes from narrow ones, and what it printed."""
    folder = tmp_path_factory.mktemp("wide")
    draw_stripes(folder / "data")
    (folder / "wide.py").write_text(WIDE)
    typed = [sys.executable, "-m", "keras_med.run", "wide.py", "--data", "data", "--set", "train.epochs=12"]
    variables = {**os.environ, "KERAS_MED_CACHE": str(cache)}
    ended = subprocess.run(typed, cwd=folder, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    return RunFolder((folder / "runs" / "wide" / "latest").resolve()), ended.stdout


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path, cache: Path) -> Command:
    """Return a function that types `python -m keras_med.<name> ...` in an empty folder."""

    def run(name: str, *arguments: object, cwd: Path = tmp_path, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "KERAS_MED_CACHE": str(cache), **variables}
        typed = [sys.executable, "-m", f"keras_med.{name}", *map(str, arguments)]
        return subprocess.run(typed, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False)

    return run
