"""What metrics.json says of a network's validation part and its test, to the check that tells where they part."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_med.evaluation.protocol import Check
from keras_med.evaluation.scores import Entry, score
from keras_med.evaluation.summary import HEADLINE, Scoring, cases

_NAMES = {"mae": "mean absolute error", "auroc": "AUROC", "macro_auroc": "mean AUROC"}
_PARTS = {"validation": "validation part", "out_of_fold": "folds"}


def gap_checks(summary: Mapping[str, Any], predictions: pd.DataFrame, scoring: Scoring) -> list[Check]:
    """Return a check where the headline is better on the validation part, or else in the folds, than chance explains.

    Args:
        summary: what `summarise` found in these predictions.
    """
    if (summary["headline"] or {}).get("split") != "test":
        return []
    name = HEADLINE[scoring.kind]
    tested = summary["splits"]["test"][name]
    for role in _PARTS:
        seen = _seen(summary, predictions, role, scoring)
        if seen is None or seen["low"] is None or tested["low"] is None:
            continue
        value, low, high = difference(seen, tested, smaller_is_better=scoring.kind == "regression")
        return [_check(name, role, (seen, tested), (value, low, high))] if low > 0 else []
    return []


def difference(seen: Entry, tested: Entry, *, smaller_is_better: bool) -> tuple[float, float, float]:
    """Return by how much the first is better, with the 95 % interval that two intervals of other patients make.

    Zou and Donner's (2008) square-and-add: each end uses the halves of the two intervals that face each other.
    """
    one, one_low, one_high = (float(seen[key] or 0) for key in ("value", "low", "high"))
    two, two_low, two_high = (float(tested[key] or 0) for key in ("value", "low", "high"))
    if smaller_is_better:
        one, one_low, one_high, two, two_low, two_high = -one, -one_high, -one_low, -two, -two_high, -two_low
    gap = one - two
    return (
        gap,
        gap - float(np.hypot(one - one_low, two_high - two)),
        gap + float(np.hypot(one_high - one, two - two_low)),
    )


def _seen(summary: Mapping[str, Any], predictions: pd.DataFrame, role: str, scoring: Scoring) -> Entry | None:
    """Score what the tested network's own validation part, or all folds, give; None where there is none."""
    tested = set(predictions.loc[predictions["role"] == "test", "fit"])
    rows = predictions[predictions["role"] == role]
    own = rows[rows["fit"].isin(tested)] if role == "validation" else rows
    if not len(own):
        return None
    name = HEADLINE[scoring.kind]
    if len(own) == len(rows):
        return dict(summary["splits"][role][name])
    settings: dict[str, Any] = {"kind": scoring.kind, "unit": scoring.unit, "classes": scoring.classes}
    return score(cases(own, scoring), seed=scoring.seed, **settings)[name]


def _check(name: str, role: str, figures: tuple[Entry, Entry], gap: tuple[float, float, float]) -> Check:
    seen, tested = (f"{float(each['value'] or 0):.3g}" for each in figures)
    unit = f" {figures[0]['unit']}" if figures[0]["unit"] else ""
    span = f"by {gap[0]:.2g}{unit}, 95 % interval {gap[1]:.2g} to {gap[2]:.2g}"
    return {
        "severity": "amber",
        "sentence": f"The {_NAMES[name]} is better in the {_PARTS[role]} ({seen}{unit}) than on the test "
        f"({tested}{unit}): {span}.",
        "remedy": "Quote the test's. Look whether both parts are alike, and whether so many choices were made by the "
        "first that it flatters.",
    }
