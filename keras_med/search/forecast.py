"""The forecast job: a search to the batches of fits that it will train, its oracle being told anything."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_med import runfolder
from keras_med.recipe.opening import Options, read_recipe
from keras_med.recipe.search import Search
from keras_med.recipe.searching import candidate
from keras_med.recipe.words import Recipe
from keras_med.search import plans
from keras_med.search.oracles import Asker
from keras_med.training.folds import FitPlan


def run_forecast(folder: Path) -> None:
    """Write each batch's stages, with the plan and the batch size of each fit, to done.json."""
    given = runfolder.read_json(folder / "settings.json")
    recipe = read_recipe(Options(given["reference"], tuple(given["assignments"]), smoke=given["smoke"])).recipe
    found = batches(recipe, recipe.search, smoke=given["smoke"]) if recipe.search is not None else []
    runfolder.write_json(folder / "done.json", {"batches": found})


def batches(recipe: Recipe, search: Search, *, smoke: bool = False) -> list[dict[str, Any]]:
    """Ask for batch after batch; how many trials go on to a round depends on no score, only which of them."""
    found: list[dict[str, Any]] = []
    planned: dict[str, FitPlan] = {}
    with Asker(search, "min", recipe.train.epochs, seed=1) as asker:
        while asked := asker.ask():
            stages: list[list[dict[str, Any]]] = []
            for one in asked:
                tried = candidate(recipe, plans.changes_of(one, search, smoke=smoke))
                for number, stage in enumerate(plans.plans_of(one, tried, search)):
                    stages += [[]] if number == len(stages) else []
                    stages[number] += [_fit(plan, tried, planned) for plan in stage.values()]
                    planned |= stage
            found.append({"trials": [one.trial for one in asked], "stages": stages})
            # A model of scores that nobody measured is not worth its fit: a Bayesian search hears that trials failed.
            failed = search.by == "bayesian" and search.oracle is None
            asker.tell([None if failed else float(number) for number in range(len(asked))])
    return found


def _fit(plan: FitPlan, tried: Recipe, planned: Mapping[str, FitPlan]) -> dict[str, Any]:
    """Return the plan with the epochs that it trains itself: one that goes on after another has only the rest."""
    before = planned[plan.after].epochs if plan.after is not None else 0
    return {**asdict(plan), "batch_size": tried.train.batch_size, "epochs": plan.epochs - before}
