"""Predictions of the same division by networks of several seeds to each metric's mean over them, with an interval.

The interval is over patients, resampled for all networks at once: it says what other patients would have given. The
deviation beside it says what another seed would have given.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from keras_med.evaluation.intervals import RESAMPLES, Floats
from keras_med.evaluation.reading import patients_of
from keras_med.evaluation.scores import Described, Kind, described

_ROLE = re.compile(r"(.+), seed (\d+)")


def role_of(place: str, seed: int) -> str:
    """Name the role of a repeated network's predictions, apart from those of the first."""
    return f"{place}, seed {seed}"


def repeated(
    predictions: pd.DataFrame, place: str, *, kind: Kind, seed: int, unit: str = "", classes: Sequence[object] = ()
) -> dict[str, Any] | None:
    """Give the mean of each metric over the networks that predicted a place; None where there is one alone.

    Each network calls a case positive from 0.5 on: a threshold belongs to the one that it was chosen for.

    Args:
        predictions: of all fits; roles are `place`, and `place, seed 2` and so on.
        place: test or out_of_fold.
    """
    roles = [place, *sorted((role for role in predictions["role"].unique() if _is_of(role, place)), key=_number)]
    if len(roles) < 2:
        return None
    tables = [predictions[predictions["role"] == role].sort_values("id", ignore_index=True) for role in roles]
    patients = patients_of(tables[0])
    each = [described(table, patients, kind=kind, unit=unit, classes=classes) for table in tables]
    figures = _mean_of(each).entries(patients, seed, RESAMPLES)
    for name, figure in figures.items():
        values = np.array([one.values[name] for one in each])
        figure["deviation"] = float(values.std(ddof=1)) if np.isfinite(values).all() else None
    return {"count": len(roles), "figures": figures}


def _mean_of(each: Sequence[Described]) -> Described:
    """Average the metrics, and what computes them on resampled patients."""

    def statistic(weights: Floats) -> dict[str, Floats]:
        found = [one.statistic(weights) for one in each]
        return {name: np.mean([figures[name] for figures in found], axis=0) for name in found[0]}

    values = {name: float(np.mean([one.values[name] for one in each])) for name in each[0].values}
    return Described(values, statistic, each[0].bases)


def _is_of(role: str, place: str) -> bool:
    found = _ROLE.fullmatch(role)
    return found is not None and found[1] == place


def _number(role: str) -> int:
    found = _ROLE.fullmatch(role)
    return int(found[2]) if found else 1
