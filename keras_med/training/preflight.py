"""The look at a network before hours of training: its job, and what it found on the screen and in the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from keras_med import runfolder
from keras_med.jobs.job import Job
from keras_med.recipe.words import Recipe
from keras_med.runfolder import RunFolder
from keras_med.training import folds
from keras_med.training.folds import FitPlan

RUN_PREFLIGHT = "keras_med.training.examination:run_preflight"
_NAME = "preflight"


def job(run: RunFolder, recipe: Recipe, stages: Sequence[Mapping[str, FitPlan]], common: Mapping[str, Any]) -> Job:
    """Write the job that examines the network of the first fit, and that knows how much training is ahead."""
    splits = pd.read_csv(run.splits, usecols=["fold", "split"], dtype=str)
    train = splits.loc[splits["split"] == "train", "fold"].value_counts()
    ahead, more = [], recipe.final is not None and not recipe.final.ensemble
    for plans in stages:
        steps = sum(plan.epochs * (int(train[plan.fold]) // recipe.train.batch_size) for plan in plans.values())
        ahead.append(steps + (int(steps / len(plans)) if more else 0))
    plan = next(iter(stages[0].values()))
    return folds.write_job(run, _NAME, RUN_PREFLIGHT, {**common, "plan": asdict(plan), "steps": ahead})


def tell(run: RunFolder, say: Callable[[str], None]) -> None:
    """Keep what was found as preflight.json, and say it."""
    found = runfolder.read_json(run.fit(_NAME).done)
    runfolder.write_json(run.preflight, found)
    for line in found["lines"]:
        say(f"preflight: {line}")
    for check in found["checks"]:
        say(f"preflight, {check['severity']}: {check['sentence']} {check['remedy']}")


def checks(run: RunFolder) -> list[dict[str, str]]:
    """Return what the report says of it, times aside: they are no result, and differ from run to run."""
    found = runfolder.read_json(run.preflight)["checks"] if run.preflight.is_file() else []
    return [check for check in found if check["name"] != "speed"]
