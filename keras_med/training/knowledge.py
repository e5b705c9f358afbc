"""Fits' plans and splits to the groups that each network knows, and so to how much its figures flatter."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from keras_med.data import subsets
from keras_med.evaluation.flattery import flattery
from keras_med.evaluation.protocol import Check
from keras_med.evaluation.summary import Scoring
from keras_med.recipe.words import Recipe
from keras_med.training.folds import FitPlan

_SCORED = ("test", "out_of_fold", "validation")


def flattered(
    predictions: pd.DataFrame,
    known: Mapping[str, set[str]],
    plans: Mapping[str, FitPlan],
    splits: pd.DataFrame,
    scoring: Scoring,
) -> dict[str, dict[str, Any]]:
    """Return what `flattery` finds for each part that holds examples which its network knew.

    A validation part that chose its own network's weights is left out: it flatters by design, and the report says so.
    """
    groups = splits.drop_duplicates("id").set_index("id")["group"]
    watching = [name for name, plan in plans.items() if plan.keep == "last"]
    found = {}
    for role in _SCORED:
        rows = predictions[predictions["role"] == role]
        rows = rows[rows["fit"].isin(watching)] if role == "validation" else rows
        measured = flattery(rows, groups, known, scoring) if len(rows) else None
        if measured is not None:
            found[role] = measured
    return found


def checks(found: Mapping[str, Mapping[str, Any]]) -> list[Check]:
    """Return a red check for each part whose figures flatter."""
    return [{"severity": "red", "sentence": part["sentence"], "remedy": part["remedy"]} for part in found.values()]


def known_groups(
    plans: Mapping[str, FitPlan], splits: pd.DataFrame, index: pd.DataFrame, recipe: Recipe
) -> dict[str, set[str]]:
    """Return the groups that each fit, the one that it started from, or its members, trained on or were chosen by."""
    labels = index.set_index("id")["label"]

    def own(plan: FitPlan) -> set[str]:
        rows = splits[splits["fold"] == plan.fold].rename(columns={"split": "place"})
        table = rows.assign(label=rows["id"].map(labels)).reset_index(drop=True)
        trained = table["place"] == "train"
        if plan.examples is not None:
            trained &= ~subsets.beyond(table, plan.examples, recipe)
        chosen = table["place"].eq(plan.validation) & (plan.keep == "best")
        return set(table["group"][trained | chosen])

    known = {name: own(plan) for name, plan in plans.items()}
    return {
        name: (set() if plan.members else known[name]).union(
            *(known[other] for other in (plan.start, *plan.members) if other)
        )
        for name, plan in plans.items()
    }
