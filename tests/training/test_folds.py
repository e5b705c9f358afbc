from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from keras_med import Data, Final, Holdout, Image, KFold, Model, Recipe, Regression, Train, runfolder
from keras_med.recipe.words import Split
from keras_med.runfolder import RunFolder
from keras_med.training import folds


def index(root: Path) -> Any:
    return None


def network(image: Any) -> Any:
    return image


def recipe(split: Split, final: Final | None = None) -> Recipe:
    plain = {"target": Regression(), "data": Data(index), "image": Image(size=(8, 8)), "model": Model(network)}
    return Recipe(**plain, split=split, final=final, train=Train(epochs=9, patience=2))  # type: ignore[arg-type]


SPLITS = pd.DataFrame(
    [
        (name, place, fold)
        for fold in ("0", "1", "final")
        for name, place in [("a", "train"), ("b", "validation"), ("c", "test")]
        + ([("d", "out_of_fold")] if fold != "final" else [("e", "unlabelled")])
    ],
    columns=["id", "split", "fold"],
)


def test_folds_are_scored_out_of_fold_and_the_final_network_alone_sees_the_test() -> None:
    plans = folds.fold_plans(recipe(KFold(folds=2), Final()), SPLITS, with_test=True)
    assert list(plans) == ["t000-fold0", "t000-fold1"]
    assert all(plan.predict == ("validation", "out_of_fold") for plan in plans.values())
    assert plans["t000-fold0"].patience == 2
    assert plans["t000-fold0"].seed != plans["t000-fold1"].seed


def test_a_holdout_is_one_fit_that_is_scored_on_the_test_unless_told_not_to() -> None:
    rows = SPLITS[SPLITS["fold"] == "0"]
    assert folds.fold_plans(recipe(Holdout()), rows, with_test=True)["t000-fold0"].predict[-1] == "test"
    assert "test" not in folds.fold_plans(recipe(Holdout()), rows, with_test=False)["t000-fold0"].predict


def test_without_a_validation_part_the_fold_itself_is_watched() -> None:
    rows = SPLITS[SPLITS["split"] != "validation"]
    plans = folds.fold_plans(recipe(KFold(folds=2, validation=0)), rows, with_test=True)
    assert plans["t000-fold0"].validation == "out_of_fold"


@pytest.mark.parametrize(("start", "expected"), [("new", None), ("best_fold", "t000-fold1")])
def test_the_final_network_trains_for_the_median_best_epoch(tmp_path: Path, start: Any, expected: str | None) -> None:
    run = RunFolder(tmp_path)
    for fold, (epoch, loss) in enumerate([(3, 0.5), (8, 0.2), (5, 0.4)]):
        runfolder.write_json(run.fit(f"t000-fold{fold}").done, {"best_epoch": epoch, "best_loss": loss})
    final = Final(start=start)
    names = [f"t000-fold{fold}" for fold in range(3)]
    plan = folds.final_plans(recipe(KFold(), final), final, run, names, with_test=True)["t000-final"]
    assert (plan.epochs, plan.patience, plan.keep, plan.start) == (5, None, "last", expected)
    assert plan.predict == ("validation", "unlabelled", "test")


def test_only_a_holdout_or_a_final_network_is_exported() -> None:
    assert folds.exported_fold(recipe(Holdout())) == "0"
    assert folds.exported_fold(recipe(KFold())) is None
    assert folds.exported_fold(recipe(KFold(), Final())) == "final"


def test_a_fit_s_settings_are_written_once_and_read_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    runfolder.write_json(run.settings, {"settings": {"seed": 1}})
    run.splits.write_text("id\n")
    run.index.write_text("id,pixel_hash\na,ff\n")
    (plan, _) = folds.fold_plans(recipe(KFold(folds=2), Final()), SPLITS, with_test=True).values()
    job = folds.write_fit(run, "t000-fold0", plan, {"demo": False})
    before = (job.folder / "settings.json").read_bytes()
    folds.write_fit(run, "t000-fold0", plan, {"demo": True})
    assert (job.folder / "settings.json").read_bytes() == before
    assert folds.read_plan(job.folder) == plan


def test_the_network_for_blocks_of_files_is_tested_apart_and_decides_nothing(tmp_path: Path) -> None:
    rows = pd.concat([SPLITS, SPLITS[SPLITS["fold"] == "final"].assign(fold="blocks")])
    plans = folds.fold_plans(recipe(KFold(folds=2), Final()), rows, with_test=True)
    assert list(plans) == ["t000-fold0", "t000-fold1", "t000-blocks"]
    assert (plans["t000-blocks"].fold, plans["t000-blocks"].predict) == ("blocks", ("test",))
    assert "t000-blocks" not in folds.fold_plans(recipe(KFold(folds=2), Final()), rows, with_test=False)
    run = RunFolder(tmp_path)
    for name, epoch in zip(plans, (3, 5, 90), strict=True):
        runfolder.write_json(run.fit(name).done, {"best_epoch": epoch, "best_loss": 0.1 if epoch == 90 else 0.5})
    final = Final(start="best_fold")
    last = folds.final_plans(recipe(KFold(), final), final, run, list(plans), with_test=True)["t000-final"]
    assert (last.epochs, last.start) == (4, "t000-fold0")
    predicted = folds.with_roles(pd.DataFrame({"fit": ["t000-final", "t000-blocks"], "role": ["test", "test"]}))
    assert predicted["role"].tolist() == ["test", "blocks"]


def test_repeats_are_the_same_fits_from_other_seeds_and_so_are_their_final_networks(
    tmp_path: Path,
) -> None:
    three = replace(recipe(KFold(folds=2), Final()), train=Train(epochs=9, patience=2, repeats=3))
    plans = folds.fold_plans(three, SPLITS, with_test=True)
    assert list(plans) == [f"t000-fold{fold}{end}" for end in ("", "-seed2", "-seed3") for fold in (0, 1)]
    assert len({plan.seed for plan in plans.values()}) == 6
    assert plans["t000-fold1-seed3"].predict == ("out_of_fold",)
    once = folds.fold_plans(recipe(KFold(folds=2), Final()), SPLITS, with_test=True)
    assert {name: plans[name] for name in once} == once
    run = RunFolder(tmp_path)
    for name in plans:
        found = {"best_epoch": 90, "best_loss": 0.1} if "seed" in name else {"best_epoch": 4, "best_loss": 0.5}
        runfolder.write_json(run.fit(name).done, found)
    last = folds.final_plans(three, Final(), run, list(plans), with_test=True)
    assert [(name, plan.epochs, plan.predict) for name, plan in last.items()] == [
        ("t000-final", 4, ("validation", "unlabelled", "test")),
        ("t000-final-seed2", 90, ("test",)),
        ("t000-final-seed3", 90, ("test",)),
    ]
    rows = pd.DataFrame({"fit": list(plans), "role": "out_of_fold"})
    assert list(folds.with_roles(rows)["role"]) == [
        f"out_of_fold{end}" for end in ("", ", seed 2", ", seed 3") for _ in (0, 1)
    ]


def test_a_second_stage_follows_every_fit_and_alone_predicts() -> None:
    plain = recipe(KFold(folds=2), Final())
    two = replace(plain, train=replace(plain.train, fine_tune_from="all", fine_tune_epochs=4))
    plans = folds.fold_plans(two, SPLITS, with_test=True)
    assert folds.stages(plans, plain) == [plans]
    first, second = folds.stages(plans, two)
    assert [plan.predict for plan in first.values()] == [(), ()]
    assert list(second) == ["t000-fold0-tuned", "t000-fold1-tuned"]
    tuned = second["t000-fold1-tuned"]
    assert (tuned.head, tuned.epochs, tuned.predict) == ("t000-fold1", 4, ("validation", "out_of_fold"))
    assert tuned.seed != plans["t000-fold1"].seed
    assert folds.exported_fit(two) == "t000-final-tuned"
    assert folds.exported_fit(plain) == "t000-final"


def test_an_ensemble_is_the_mean_of_the_folds_of_its_seed_in_their_last_stage() -> None:
    plain = recipe(KFold(folds=2), Final(ensemble=True))
    two = replace(plain, train=Train(repeats=2, fine_tune_from="all"))
    assert (folds.exported_fold(two), folds.exported_fit(two)) == ("final", "t000-ensemble")
    rows = pd.concat([SPLITS, SPLITS[SPLITS["fold"] == "final"].assign(fold="blocks")])
    *_, last = folds.stages(folds.fold_plans(two, rows, with_test=True), two)
    plans = folds.ensemble_plans(two, list(last), with_test=True)
    assert [(name, plan.fold, plan.predict, plan.members) for name, plan in plans.items()] == [
        ("t000-ensemble", "final", ("unlabelled", "test"), ("t000-fold0-tuned", "t000-fold1-tuned")),
        ("t000-ensemble-seed2", "final", ("test",), ("t000-fold0-seed2-tuned", "t000-fold1-seed2-tuned")),
    ]
    assert list(folds.ensemble_plans(two, list(last), with_test=False)) == ["t000-ensemble"]
    predicted = pd.DataFrame({"fit": list(plans), "role": "test"})
    assert folds.with_roles(predicted)["role"].tolist() == ["test", "test, seed 2"]


def test_the_final_network_has_the_usual_epochs_of_the_folds_in_each_stage(tmp_path: Path) -> None:
    run, scored = RunFolder(tmp_path), []
    for fold, epochs in enumerate([(3, 2), (8, 1), (5, 4)]):
        for ending, epoch in zip(("", "-tuned"), epochs, strict=True):
            done = {"best_epoch": epoch, "best_loss": 0.1}
            runfolder.write_json(run.fit(f"t000-fold{fold}{ending}").done, done)
        scored.append(f"t000-fold{fold}-tuned")
    plain = recipe(KFold(folds=3), final := Final())
    two = replace(plain, train=replace(plain.train, fine_tune_from="all"))
    first, second = folds.final_stages(two, final, run, scored, with_test=True)
    assert (first["t000-final"].epochs, second["t000-final-tuned"].epochs) == (5, 2)
    assert (first["t000-final"].keep, second["t000-final-tuned"].keep) == ("last", "last")
    assert "test" in second["t000-final-tuned"].predict
