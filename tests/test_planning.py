import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_med import Data, Final, Holdout, Image, KFold, Model, Recipe, Regression, Train, planning
from keras_med.data import costs
from keras_med.data.costs import Files
from keras_med.errors import EnvironmentProblem
from keras_med.recipe.opening import Options
from keras_med.search import ahead
from keras_med.search.ahead import Cost, Fit, Phase
from keras_med.search.measuring import Measured


def index(root: Path) -> Any:
    return None


def network(image: Any) -> Any:
    return image


def recipe(size: int = 16, **train: Any) -> Recipe:
    return Recipe(
        target=Regression(),
        data=Data(index),
        image=Image(size=(size, size)),
        split=Holdout(),
        model=Model(network),
        train=Train(batch_size=4, epochs=3, **train),
    )


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    for number in range(10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((9, 9), number, np.uint8))
    paths = sorted(map(str, tmp_path.glob("*.png")))
    return pd.DataFrame({"id": list("abcdefghij"), "path": paths, "labelled": [True] * 8 + [False] * 2})


@pytest.fixture
def files(table: pd.DataFrame, tmp_path: Path) -> Files:
    return costs.look_at(table, recipe().image, tmp_path / "cache")


SPLITS = pd.DataFrame({"id": list("abcdefgh"), "fold": "0", "split": ["train"] * 6 + ["validation", "test"]})
MEASURED = Measured(
    costs=(Cost((1, 4), (0.1, 0.4), 0.2),),
    memory=2**30,
    batch=4,
    shape=None,
    seconds_an_image=0.0,
    batches=[],
    parameters=1000,
    shared=900,
)
OPTIONS = Options("recipe.py")


def test_files_are_counted_and_a_few_are_read(files: Files, tmp_path: Path) -> None:
    assert (files.examples, files.unlabelled) == (8, 2)
    assert files.bytes_to_read == sum(path.stat().st_size for path in tmp_path.glob("*.png"))
    assert files.prepared_bytes == 10 * 16 * 16 * 2
    assert files.seconds_a_file > 0
    assert [image[0, 0, 0] for image in files.images[:4]] == [0, 0, 0, 1]  # 24 places among ten files


def test_a_plan_counts_rows_steps_and_time(files: Files) -> None:
    plan = planning.estimate(files, SPLITS, recipe(), MEASURED, OPTIONS)
    assert plan.fits == {"0": {"steps": 1, "train": 6, "validation": 1, "test": 1}}
    assert plan.steps == {"fit": 3}
    # Three steps of 0.4 s; a watched batch in each of three epochs and two predicted ones, 0.2 s each; start and end.
    trained = 3 * 0.4 + 5 * 0.2 + ahead.START
    assert plan.seconds(1) == pytest.approx(10 * files.seconds_a_file + trained)
    assert plan.seconds(4) == pytest.approx(10 * files.seconds_a_file / 4 + trained)
    assert any("1 steps an epoch: 6 train" in line for line in plan.lines())
    assert plan.to_json()["seconds_with_workers"].keys() == {"2", "4", "8"}


def test_frozen_features_count_with_their_views(files: Files) -> None:
    frozen = replace(MEASURED, shape=(5,), seconds_an_image=0.5)
    plan = planning.estimate(files, SPLITS, recipe(views=3), frozen, OPTIONS)
    assert plan.passes == 10 + 3 * 6
    assert plan.features_bytes == 28 * 5 * 4
    assert plan.seconds(1) - plan.seconds(2) == pytest.approx(28 * 0.25 + 10 * files.seconds_a_file / 2)


def test_repeats_second_stages_and_final_networks_are_steps_too() -> None:
    asked = replace(
        recipe(repeats=2, fine_tune_from="all", fine_tune_epochs=7), split=KFold(folds=2), final=Final(share=0.9)
    )
    parts = [("train", 8), ("validation", 1), ("out_of_fold", 3), ("test", 2)]
    rows = [(fold, place) for fold in ("0", "1") for place, count in parts for _ in range(count)]
    rows += [("final", "train")] * 12 + [("final", "validation")] * 2
    splits = pd.DataFrame(rows, columns=["fold", "split"])
    found = ahead.phases(asked, splits, [], with_test=True)
    assert [(phase.name, len(phase.fits), phase.fits[0].stage, phase.fits[0].steps) for phase in found] == [
        ("folds", 4, 0, 3 * 2),
        ("folds", 4, 1, 7 * 2),
        ("final", 2, 0, 3 * 3),
        ("final", 2, 1, 7 * 3),
    ]


def test_an_ensemble_trains_nothing_more_and_its_size_is_told(files: Files) -> None:
    asked = replace(recipe(), split=KFold(folds=2), final=Final(ensemble=True))
    rows = pd.concat([SPLITS, SPLITS.assign(fold="1"), SPLITS.assign(fold="final")])
    plan = planning.estimate(files, rows, asked, MEASURED, OPTIONS)
    assert list(plan.steps) == ["folds"]
    assert list(plan.fits) == ["0", "1"]
    assert plan.export_bytes == 4 * (900 + 2 * 100)
    (line,) = (line for line in plan.lines() if line.startswith("export"))
    assert line.endswith("4 KiB of weights: the mean of the folds' networks, 4 KiB each, of which they share 4 KiB")


def test_the_fits_of_a_search_have_batches_and_epochs_of_their_own() -> None:
    plan = {"fold": "search", "validation": "validation", "predict": ("validation",), "epochs": 5, "patience": None}
    plan |= {"keep": "best", "seed": 1, "start": None, "examples": 4, "head": None}
    batches = [{"trials": ["t001"], "stages": [[{**plan, "batch_size": 2}]]}]
    rows = [("0", "train")] * 8 + [("0", "validation")] + [("search", "train")] * 6 + [("search", "validation")] * 3
    first, _ = ahead.phases(recipe(), pd.DataFrame(rows, columns=["fold", "split"]), batches, with_test=True)
    assert first == Phase("search", (Fit(stage=0, batch_size=2, steps=5 * 2, passes=5 * 2 + 2),))


def test_mirrored_copies_come_with_the_pictures_that_are_drawn() -> None:
    assert ahead.steps_of_epoch(12, None, 4) == 3
    assert ahead.steps_of_epoch(12, 3, 2) == 1
    assert ahead.steps_of_epoch(12, 3, 2, copies=2) == 3


def test_workers_share_the_fits_of_a_phase_and_wait_for_its_last() -> None:
    fit = Fit(0, 4, steps=20, passes=0)
    cost = Cost((1, 4), (0.1, 0.4), 0.2)  # 20 steps of 0.4 s, and the start
    phases = [Phase("folds", (fit,) * 5), Phase("final", (fit,))]
    one = 8 + ahead.START
    assert [ahead.seconds_with(phases, [cost], count) / one for count in (1, 2, 4, 8)] == pytest.approx([6, 4, 3, 2])


def test_a_step_of_another_batch_lies_on_the_line_through_those_that_were_measured() -> None:
    cost = Cost((8, 32), (0.2, 0.5), 0.2)
    assert [cost.step(size) for size in (8, 16, 32, 64)] == pytest.approx([0.2, 0.3, 0.5, 0.9])
    assert cost.step(1) == 0.2  # no step is known to be faster


def test_a_plan_that_does_not_fit_the_disk_is_refused_with_a_size_that_would(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    image = Image(size=(400, 200))
    files = replace(costs.look_at(table, image, tmp_path), free_bytes=100 * 50 * 2 * 10)
    plan = planning.estimate(files, SPLITS, replace(recipe(), image=image), MEASURED, OPTIONS)
    with pytest.raises(EnvironmentProblem, match=re.escape("are free")) as caught:
        planning.check(plan, OPTIONS, tmp_path)
    assert caught.value.remedy == 'Name a larger disk with --cache DIR, or --set "image.size=(100, 50)".'


def test_a_plan_that_does_not_fit_the_memory_is_refused_with_a_batch_that_would(files: Files, tmp_path: Path) -> None:
    plan = planning.estimate(files, SPLITS, recipe(), replace(MEASURED, batch=2, memory=2**50), OPTIONS)
    with pytest.raises(EnvironmentProblem, match=r"batch of 4 needs about 1048576\.0 GiB") as caught:
        planning.check(plan, OPTIONS, tmp_path)
    assert caught.value.remedy == "--set train.batch_size=2"
    none = replace(plan, measured=replace(plan.measured, batch=0))
    with pytest.raises(EnvironmentProblem, match="batch of 4") as caught:
        planning.check(none, OPTIONS, tmp_path)
    assert "image.size" in caught.value.remedy


def test_more_fits_side_by_side_than_fit_are_refused_with_how_many_do(files: Files, tmp_path: Path) -> None:
    options = Options("recipe.py", fits_at_once=5)
    made = planning.estimate(files, SPLITS, recipe(), MEASURED, options)
    plan = replace(made, limit_bytes=made.memory_bytes - 2 * 2**30 + 2**20)  # room for three
    with pytest.raises(EnvironmentProblem, match="5 fits at once") as caught:
        planning.check(plan, options, tmp_path)
    assert caught.value.remedy == "--fits-at-once 3"
