import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_med import Data, Holdout, Image, Model, Recipe, Regression, Train, planning
from keras_med.errors import EnvironmentProblem


def index(root: Path) -> Any:
    return None


def network(image: Any) -> Any:
    return image


def recipe(size: int) -> Recipe:
    return Recipe(
        target=Regression(),
        data=Data(index),
        image=Image(size=(size, size)),
        split=Holdout(),
        model=Model(network),
        train=Train(batch_size=4, epochs=3),
    )


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    for number in range(10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((9, 9), number, np.uint8))
    paths = sorted(map(str, tmp_path.glob("*.png")))
    return pd.DataFrame({"id": list("abcdefghij"), "path": paths, "labelled": [True] * 8 + [False] * 2})


SPLITS = pd.DataFrame({"id": list("abcdefgh"), "fold": "0", "split": ["train"] * 6 + ["validation", "test"]})


def test_a_plan_counts_rows_bytes_and_steps(table: pd.DataFrame, tmp_path: Path) -> None:
    plan = planning.estimate(table, SPLITS, recipe(16), tmp_path / "cache")
    assert (plan.examples, plan.unlabelled) == (8, 2)
    assert plan.bytes_to_read == sum(path.stat().st_size for path in tmp_path.glob("*.png"))
    assert plan.prepared_bytes == 10 * 16 * 16 * 2
    assert plan.fits == {"0": {"steps": 1, "train": 6, "validation": 1, "test": 1}}
    assert plan.seconds_a_file > 0
    assert any("1 steps an epoch: 6 train" in line for line in plan.lines())


def test_a_plan_that_does_not_fit_the_disk_is_refused_with_the_setting(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=re.escape("--cache DIR, or lower image.size")):
        planning.estimate(table, SPLITS, recipe(10_000_000), tmp_path)
