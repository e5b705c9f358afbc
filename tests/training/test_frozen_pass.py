"""Frozen features are the same, to the bit, whoever makes which part of them."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_med import runfolder
from keras_med.jobs.job import Job
from keras_med.recipe.loading import load_recipe
from keras_med.recipe.settings import values_of
from keras_med.runfolder import RunFolder
from keras_med.training import blocks, extract, frozen_pass
from keras_med.training.features import Features

ROWS = 23
RECIPE = '''"""Noise."""

from keras_med import Augment, Binary, Data, Holdout, Image, Model, Recipe, Train


def index(root):
    raise NotImplementedError


def network(image):
    import keras

    x = keras.layers.Conv2D(3, 3, activation="relu", trainable=False)(image)
    return keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x))


recipe = Recipe(
    target=Binary(),
    data=Data(index),
    image=Image(size=(8, 8)),
    split=Holdout(),
    model=Model(network),
    augment=Augment(rotate=20),
    train=Train(views=2, engine="tensorflow"),
)
'''


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """Return a run whose images are prepared; blocks have four rows, and jobs are done in this process."""
    monkeypatch.setattr(blocks, "ROWS", 4)
    made = RunFolder(tmp_path / "run")
    made.path.mkdir()
    made.recipe.write_text(RECIPE)
    values = values_of(load_recipe(f"{made.recipe}:recipe").recipe)
    runfolder.write_json(made.settings, {"recipe": {"name": "recipe"}, "settings": values})
    images = np.random.default_rng(0).integers(0, 256, (ROWS, 8, 8, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    names = [f"p{number:02d}" for number in range(ROWS)]
    places = ["train"] * 14 + ["validation"] * 5 + ["test"] * 4
    index = pd.DataFrame({"id": names, "label": [0, 1] * 11 + [0], "labelled": True, "pixel_hash": names})
    index = index.assign(array=str(tmp_path / "images.npy"), array_row=range(ROWS), stack=False)
    runfolder.write_csv(made.index, index)
    runfolder.write_csv(made.splits, pd.DataFrame({"id": names, "group": "", "split": places, "fold": "0"}))
    return made


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let jobs run in this process; the names of their folders."""
    names: list[str] = []

    def run_jobs(jobs: Sequence[Job], *, at_once: int = 1, watch: Callable[[list[Path]], None]) -> None:
        for job in (job for job in jobs if not job.done):
            names.append(job.folder.name)
            getattr(extract, job.action.partition(":")[2])(job.folder)
            watch([job.folder])

    monkeypatch.setattr(frozen_pass, "run_jobs", run_jobs)
    return names


def compute(run: RunFolder, cache: Path, name: str, at_once: int, reach: Callable[[int], None] = print) -> Features:
    common: dict[str, Any] = {"changes": {}, "features": "features", "weights": None, "demo": True, "weights_seed": 5}
    common |= {"runtime": {"backend": "tensorflow", "devices": "cpu"}, "cache": str(cache)}
    made = Features.of(frozen_pass.run(run, name, common, "0", at_once=at_once, reach=reach).folder)
    assert made is not None
    return made


def written(made: Features) -> list[bytes]:
    return [file.read_bytes() for folder in (made.folder, *made.views) for file in sorted(folder.glob("block-*.npy"))]


def test_parts_are_together_what_one_job_makes(run: RunFolder, begun: list[str], tmp_path: Path) -> None:
    whole = written(compute(run, tmp_path / "one", "features", at_once=1))
    assert begun == ["features"]
    assert len(whole) == 6 + 2 * 4  # 23 rows, and the 14 training rows in two views
    told: list[int] = []
    parts = written(compute(run, tmp_path / "two", "features-shared", at_once=3, reach=told.append))
    assert parts == whole
    assert len(begun) == 2 + 3 + 2 * 2  # three parts of six blocks, and two of each view's four
    assert told[-1] == ROWS + 2 * 14


def test_only_what_is_missing_is_made_again(run: RunFolder, begun: list[str], tmp_path: Path) -> None:
    made = compute(run, tmp_path / "cache", "features", at_once=2)
    before = written(made)
    begun.clear()
    compute(run, tmp_path / "cache", "features", at_once=2)
    assert begun == []
    (made.folder / "block-00001.npy").unlink()
    shutil.rmtree(made.views[1])
    shutil.copytree(made.views[0], made.views[1])
    for block in made.views[1].glob("block-*.npy"):
        block.unlink()
    kept = (made.folder / "block-00000.npy").stat().st_mtime_ns
    compute(run, tmp_path / "cache", "features", at_once=2)
    assert written(made) == before
    assert (made.folder / "block-00000.npy").stat().st_mtime_ns == kept
    assert len(begun) == 1 + 2
