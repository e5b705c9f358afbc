"""Splits to fits: which folders a run needs, what stands in their settings, and the final network after the folds."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from keras_med import runfolder
from keras_med.data.dividing import BLOCKS
from keras_med.evaluation.repeats import role_of
from keras_med.jobs.job import Job
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Column, Final, KFold, Recipe
from keras_med.runfolder import RunFolder

RUN_FIT = "keras_med.training.fit:run_fit"
RUN_ENSEMBLE = "keras_med.training.ensemble:run_ensemble"
RUN_EXTRACTION = "keras_med.training.extract:run_extraction"
RUN_PART = "keras_med.training.extract:run_part"
RUN_ASSEMBLY = "keras_med.training.assemble:run_assembly"
RUN_PROBE = "keras_med.training.runtime:probe"
TRIAL = "t000"
FINAL = "final"
ENSEMBLE = f"{TRIAL}-ensemble"
_REPEAT = "-seed"
_TUNED = "-tuned"


@dataclass(frozen=True)
class FitPlan:
    """The input of a fit, as its settings.json holds it.

    fold: of splits.csv.
    validation: the place whose loss is watched.
    predict: the places to be predicted.
    epochs: most epochs.
    patience: epochs without a better validation loss after which it stops; None for never.
    keep: restore the best epoch's weights, or keep the last.
    start: a fit whose best weights this one starts from.
    seed: of initial weights, dropout and the order of examples.
    examples: most training examples; None for all.
    head: the fit of the first stage that this one goes on with, on images and with layers set free; None in that stage.
    after: a fit of fewer epochs that this one goes on after, as if it had been one.
    members: fits whose mean this one is, without any training.
    """

    fold: str
    validation: str
    predict: tuple[str, ...]
    epochs: int
    patience: int | None
    keep: str
    seed: int
    start: str | None = None
    examples: int | None = None
    head: str | None = None
    after: str | None = None
    members: tuple[str, ...] = ()


def fit_name(fold: str) -> str:
    """Return the folder name of a fold's fit."""
    return f"{TRIAL}-fold{fold}" if fold.isdecimal() else f"{TRIAL}-{fold}"


def repeat_of(fit: str) -> int:
    """Tell by a fit's name which of its division's networks it is; the first is 1."""
    _, _, number = fit.removesuffix(_TUNED).partition(_REPEAT)
    return int(number) if number else 1


def exported_fold(recipe: Recipe) -> str | None:
    """Return the fold whose network is exported; None for folds without a final network."""
    if recipe.final is not None:
        return FINAL
    return None if isinstance(recipe.split, KFold) else "0"


def exported_fit(recipe: Recipe) -> str | None:
    """Return the name of the fit whose network is exported: of two stages, the second."""
    if recipe.final is not None and recipe.final.ensemble:
        return ENSEMBLE
    fold = exported_fold(recipe)
    if fold is None:
        return None
    return fit_name(fold) + (_TUNED if recipe.train.fine_tune_from else "")


def stages(plans: Mapping[str, FitPlan], recipe: Recipe) -> list[dict[str, FitPlan]]:
    """Return the plans of one stage after the other; what is predicted is predicted by the last."""
    if recipe.train.fine_tune_from is None:
        return [dict(plans)]
    epochs, tuned = recipe.train.fine_tune_epochs, {}
    for name, plan in plans.items():
        own = seed_for(plan.seed, "fine-tuning")
        tuned[name + _TUNED] = replace(plan, head=name, start=None, epochs=epochs, seed=own)
    return [{name: replace(plan, predict=()) for name, plan in plans.items()}, tuned]


def final_stages(
    recipe: Recipe, final: Final, run: RunFolder, scored: Sequence[str], *, with_test: bool
) -> list[dict[str, FitPlan]]:
    """Return the final networks' plans; in each stage they train for the folds' median best epoch.

    Args:
        scored: the folds' fits of the last stage.
    """
    first = [name.removesuffix(_TUNED) for name in scored]
    one, *second = stages(final_plans(recipe, final, run, first, with_test=with_test), recipe)
    for plans in second:
        for name, plan in plans.items():
            own = _outcomes(run, _of_seed(repeat_of(name), scored))
            plans[name] = replace(plan, epochs=_usual_epochs(own))
    return [one, *second]


def ensemble_plans(recipe: Recipe, scored: Sequence[str], *, with_test: bool) -> dict[str, FitPlan]:
    """Return the plan of the folds' mean, and of one for each further seed, where there is a test to score it on.

    Args:
        scored: the folds' fits of the last stage.
    """
    test = ("test",) if with_test else ()
    plans = {}
    for number in range(1, recipe.train.repeats + 1):
        name = ENSEMBLE if number == 1 else f"{ENSEMBLE}{_REPEAT}{number}"
        predict = ("unlabelled", *test) if number == 1 else test
        plan = FitPlan(FINAL, "validation", predict, epochs=0, patience=None, keep="best", seed=recipe.seed)
        if predict:
            plans[name] = replace(plan, members=tuple(_of_seed(number, scored)))
    return plans


def plans_of(run: RunFolder, recipe: Recipe, *, with_test: bool) -> dict[str, FitPlan]:
    """Return the plan of each fold of a run, by its splits."""
    table = pd.read_csv(run.splits, dtype=str, keep_default_na=False)
    return fold_plans(recipe, table, with_test=with_test)


def fold_plans(recipe: Recipe, splits: pd.DataFrame, *, with_test: bool) -> dict[str, FitPlan]:
    """Return the plan of each fold but the final network's, under the name of its fit."""
    plans = {}
    exported = exported_fold(recipe)
    numbered = [fold for fold in set(splits["fold"]) if fold.isdecimal()]  # others are the final's or a search's
    for fold in sorted(numbered, key=int):
        places = set(splits.loc[splits["fold"] == fold, "split"])
        predict = ["validation", "out_of_fold"]
        predict += ["unlabelled", *(["test"] if with_test else [])] if fold == exported else []
        plans[fit_name(fold)] = FitPlan(
            fold=fold,
            validation=_watched(recipe, places),
            predict=tuple(place for place in predict if place in places),
            epochs=recipe.train.epochs,
            patience=recipe.train.patience,
            keep="best",
            seed=seed_for(recipe.seed, f"fit {fold}"),
            examples=recipe.train.examples,
        )
    first = next(iter(plans.values()))
    plans |= _repeats(recipe, plans)
    if with_test and (splits["fold"] == BLOCKS).any():
        own = seed_for(recipe.seed, f"fit {BLOCKS}")
        plans[fit_name(BLOCKS)] = replace(first, fold=BLOCKS, validation="validation", predict=("test",), seed=own)
    return plans


def _repeats(recipe: Recipe, plans: Mapping[str, FitPlan]) -> dict[str, FitPlan]:
    """Plan the same fits from other seeds; they predict what is scored and nothing else."""
    repeated = {}
    for number in range(2, recipe.train.repeats + 1):
        for name, plan in plans.items():
            own = seed_for(recipe.seed, f"fit {plan.fold} seed {number}")
            repeated[f"{name}{_REPEAT}{number}"] = replace(plan, predict=_scored(plan), seed=own)
    return repeated


def _scored(plan: FitPlan) -> tuple[str, ...]:
    return tuple(place for place in plan.predict if place in ("test", "out_of_fold")) or ("validation",)


def with_roles(predictions: pd.DataFrame) -> pd.DataFrame:
    """Tell the predictions of repeated networks, and of the one for blocks of files, apart from the run's own."""
    number = predictions["fit"].map(repeat_of)
    named = [role if at == 1 else role_of(role, at) for role, at in zip(predictions["role"], number, strict=True)]
    role = pd.Series(named, index=predictions.index).mask(
        predictions["fit"].str.removesuffix(_TUNED) == fit_name(BLOCKS), BLOCKS
    )
    return predictions.assign(role=role)


def _watched(recipe: Recipe, places: set[str]) -> str:
    if isinstance(recipe.split, Column) and recipe.split.watch == "test":
        return "test"
    return "validation" if "validation" in places else "out_of_fold"


def final_plans(
    recipe: Recipe, final: Final, run: RunFolder, folds: Sequence[str], *, with_test: bool
) -> dict[str, FitPlan]:
    """Return the plan of the final network, and of one for each further seed, which goes by that seed's folds."""
    own = _final_plan(recipe, final, run, _of_seed(1, folds), with_test=with_test)
    plans = {fit_name(FINAL): own}
    for number in range(2, recipe.train.repeats + 1):
        plan = _final_plan(recipe, final, run, _of_seed(number, folds), with_test=with_test)
        seed = seed_for(recipe.seed, f"fit {FINAL} seed {number}")
        plans[f"{fit_name(FINAL)}{_REPEAT}{number}"] = replace(plan, predict=_scored(plan), seed=seed)
    return plans


def _final_plan(recipe: Recipe, final: Final, run: RunFolder, folds: Sequence[str], *, with_test: bool) -> FitPlan:
    """Return a final network's plan: the folds' median best epoch, and nothing chosen on what it watches."""
    outcomes = _outcomes(run, folds)
    aside = ["calibration"] if final.calibration else []
    best = min(outcomes, key=lambda name: (outcomes[name]["best_loss"], name))
    return FitPlan(
        fold=FINAL,
        validation="validation",
        predict=("validation", *aside, "unlabelled", *(["test"] if with_test else [])),
        epochs=_usual_epochs(outcomes),
        patience=None,
        keep="last",
        seed=seed_for(recipe.seed, "fit final"),
        start=best if final.start == "best_fold" else None,
        examples=recipe.train.examples,
    )


def _of_seed(number: int, fits: Sequence[str]) -> list[str]:
    return [name for name in fits if name.removesuffix(_TUNED) != fit_name(BLOCKS) and repeat_of(name) == number]


def _outcomes(run: RunFolder, fits: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {name: runfolder.read_json(run.fit(name).done) for name in fits}


def _usual_epochs(outcomes: Mapping[str, Mapping[str, Any]]) -> int:
    return max(1, int(pd.Series([outcome["best_epoch"] for outcome in outcomes.values()]).median()))


def write_fit(run: RunFolder, name: str, plan: FitPlan, common: Mapping[str, Any]) -> Job:
    """Write a fit's settings, unless they stand there, and return its job."""
    fit = run.fit(name)
    if not fit.settings.is_file():
        runfolder.write_json(fit.settings, {**common, "plan": asdict(plan), "identity": _identity(run, common)})
    return Job(fit.path, RUN_ENSEMBLE if plan.members else RUN_FIT)


def write_job(run: RunFolder, name: str, action: str, settings: Mapping[str, Any]) -> Job:
    """Write the settings of a job that is no fit, and return it."""
    fit = run.fit(name)
    if not fit.settings.is_file():
        runfolder.write_json(fit.settings, dict(settings))
    return Job(fit.path, action)


def read_plan(fit: Path) -> FitPlan:
    """Return the plan that a fit's settings hold."""
    given = runfolder.read_json(fit / "settings.json")["plan"]
    plan = FitPlan(**given)
    return replace(plan, predict=tuple(plan.predict), members=tuple(plan.members))


def _identity(run: RunFolder, common: Mapping[str, Any]) -> str:
    """Hash what the run trains on what: its settings, a search's changes, its splits and the pixels behind them."""
    changes = repr(sorted((common.get("changes") or {}).items()))
    settings = repr(sorted(runfolder.read_json(run.settings)["settings"].items()))
    tables = _tables(run, run.splits.stat().st_mtime_ns, run.index.stat().st_mtime_ns)
    return hashlib.sha256(f"{changes}{settings}{tables}".encode()).hexdigest()[:24]


@lru_cache(maxsize=1)  # a search asks for each of its fits, and the tables may be long
def _tables(run: RunFolder, *_: int) -> str:
    digest = hashlib.sha256(run.splits.read_bytes())
    pixels = pd.read_csv(run.index, usecols=["id", "pixel_hash"], dtype=str)
    digest.update("".join(pixels["id"] + pixels["pixel_hash"]).encode())
    return digest.hexdigest()
