"""A trial in one of its rounds to the plans of its fits: a fold, and a seed that all trials share, each."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from keras_med.data.search_folds import SEARCH
from keras_med.recipe.search import Search
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Recipe
from keras_med.search.oracles import Asked
from keras_med.training import folds
from keras_med.training.folds import FitPlan

_OF_THE_FROZEN_PART = ("model.", "augment.", "train.views")


def changes_of(one: Asked, search: Search, *, smoke: bool = False) -> dict[str, Any]:
    """Return all that the fits change: the trial's settings, and the epochs and examples of its round.

    Args:
        smoke: train one epoch with the recipe's batch, which is a small one then.
    """
    changes = dict(one.changes)
    if search.by == "staged":
        now = search.rounds[one.round]
        changes |= {"train.epochs": now.epochs}
        changes |= {"train.examples": now.examples} if now.examples is not None else {}
    elif one.epochs is not None:
        changes |= {"train.epochs": one.epochs}
    if smoke:
        changes = {**changes, "train.epochs": 1}
        changes.pop("train.batch_size", None)
    return changes


def features_name(changes: Mapping[str, Any]) -> str:
    """Name the job of the frozen part: the run's own, unless settings are changed that may change that part."""
    deciding = {name: value for name, value in changes.items() if name.startswith(_OF_THE_FROZEN_PART)}
    if not deciding:
        return "features"
    text = json.dumps(deciding, sort_keys=True)
    return f"features-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def plans_of(one: Asked, recipe: Recipe, search: Search) -> list[dict[str, FitPlan]]:
    """Return the plan of each fit under its name, one stage after the other.

    Args:
        recipe: the trial's own, with epochs and examples of this round.
    """
    made = {}
    for fold in range(search.folds):
        for repeat in range(search.repeats):
            made[_fit_name(one.trial, search, one.round, fold, repeat)] = FitPlan(
                fold=SEARCH if search.folds == 1 else f"{SEARCH}{fold}",
                validation="validation",
                predict=("validation",) if search.folds == 1 else ("out_of_fold",),
                epochs=recipe.train.epochs,
                patience=recipe.train.patience,
                keep="best",
                seed=seed_for(recipe.seed, f"search {fold} {repeat}"),
                examples=recipe.train.examples,
                after=_fit_name(one.trial, search, one.round - 1, fold, repeat) if _continues(one, search) else None,
            )
    return folds.stages(made, recipe)


def _fit_name(trial: str, search: Search, round_: int, fold: int, repeat: int) -> str:
    several = search.by in ("staged", "hyperband")
    name = f"{trial}{f'-round{round_ + 1}' if several else ''}-fold{fold}"
    return name + (f"-seed{repeat}" if search.repeats > 1 else "")


def _continues(one: Asked, search: Search) -> bool:
    return bool(search.rounds) and search.rounds[one.round].continues
