"""Trials' saved predictions to figures with their spread, to an order, and to who cannot be told from the best."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from keras_med.evaluation.comparisons import differences
from keras_med.evaluation.reading import patients_of
from keras_med.evaluation.scores import described
from keras_med.evaluation.summary import HEADLINE, Scoring, cases
from keras_med.evaluation.thresholds import threshold_for_sensitivity

LOWER_IS_BETTER = ("mae", "rmse", "brier", "log_loss")
FAILED = (2.0,)  # is worse than every trial that ended
_LEARNED = {"binary": "balanced_accuracy", "classes": "macro_recall", "regression": "r2"}


@dataclass(frozen=True)
class Figures:
    """How a trial did in a round.

    values: each compared metric, mean over its fits.
    spread: their standard deviation over its fits; empty for one fit.
    low, high: of the first metric, 95 % over patients, from all its predictions together.
    learned: whether it beats chance by an interval.
    """

    values: Mapping[str, float]
    spread: Mapping[str, float]
    low: float | None
    high: float | None
    learned: bool


def compared(metrics: Sequence[str], kind: str) -> tuple[str, ...]:
    """Return the metrics that decide, the first one first, with the headline metric to break ties."""
    return tuple(dict.fromkeys([*metrics, HEADLINE[kind]]))


def figures(predictions: pd.DataFrame, metrics: Sequence[str], scoring: Scoring, sensitivity: float | None) -> Figures:
    """Return a trial's figures.

    Args:
        predictions: of all its fits, told apart by `fit`; `patient` where patients are known.
        metrics: as `compared` gives them.
        sensitivity: metrics that need a threshold are taken where the predictions of a trial's folds, or of one repeat
            of them, together reach it; None: at 0.5.
    """
    rows = cases(predictions, scoring)
    parts = [
        _values(part, scoring, threshold)
        for threshold, own in _repeats(rows, scoring, sensitivity)
        for _, part in own.groupby("fit", sort=True)
    ]
    table = pd.DataFrame([{name: part[name] for name in metrics} for part in parts], dtype=float)
    threshold = _threshold(rows, scoring, sensitivity)
    whole = together(rows)
    patients = patients_of(whole)
    entries = described(
        whole, patients, kind=scoring.kind, unit=scoring.unit, classes=scoring.classes, threshold=threshold
    ).entries(patients, scoring.seed, 2000)
    first, sure = entries[metrics[0]], entries[_LEARNED[scoring.kind]]
    spread = table.std(ddof=1).to_dict() if len(table) > 1 else {}
    return Figures(
        {str(name): float(value) for name, value in table.mean().items()},
        {str(name): float(value) for name, value in spread.items()},
        _number(first["low"]),
        _number(first["high"]),
        (_number(sure["low"]) or 0.0) > _chance(scoring),
    )


def together(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row an example: the mean of the fits that predicted it."""
    numbers = [name for name in rows if name == "predicted" or str(name).startswith("p_")]
    others = [name for name in rows if name not in (*numbers, "fit", "id")]
    how: dict[Any, Any] = {**dict.fromkeys(numbers, "mean"), **dict.fromkeys(others, "first")}
    return rows.groupby("id", sort=True).agg(how).reset_index()


def order(found: Mapping[str, Figures | None], metrics: Sequence[str]) -> list[str]:
    """Return trials from best to worst: those that failed last, before them those that did not beat chance."""

    def key(name: str) -> tuple[tuple[float, ...], str]:
        one = found[name]
        return (worth(one.values, metrics, learned=one.learned) if one else FAILED), name

    return sorted(found, key=key)


def worth(values: Mapping[str, float | None], metrics: Sequence[str], *, learned: bool) -> tuple[float, ...]:
    """Return what sorts trials from best to worst; a metric that is undefined is worse than any value."""
    signed = []
    for name in metrics:
        value = values[name]
        known = value is not None and np.isfinite(value)
        signed.append(float(value or 0.0) * (1 if name in LOWER_IS_BETTER else -1) if known else np.inf)
    return (0.0 if learned else 1.0, *signed)


def behind(best: pd.DataFrame, other: pd.DataFrame, scoring: Scoring) -> dict[str, Any]:
    """Return by how much the headline metric of the best differs from another trial's, paired over patients."""
    one, two = (together(cases(rows, scoring)) for rows in (best, other))
    found = differences(
        one, two, kind=scoring.kind, seed=scoring.seed, unit=scoring.unit, classes=scoring.classes, resamples=1000
    )
    return dict(found[HEADLINE[scoring.kind]])


def _repeats(rows: pd.DataFrame, scoring: Scoring, sensitivity: float | None) -> Iterator[tuple[float, pd.DataFrame]]:
    """Give the rows of each repeat with its threshold: other networks reach the sensitivity elsewhere."""
    ordered = rows.sort_values("fit", kind="stable")
    for _, own in ordered.groupby(ordered.groupby("id").cumcount()):
        yield _threshold(own, scoring, sensitivity), own


def _threshold(rows: pd.DataFrame, scoring: Scoring, sensitivity: float | None) -> float:
    if scoring.kind != "binary" or sensitivity is None:
        return 0.5
    return threshold_for_sensitivity(together(rows), sensitivity, classes=scoring.classes, assurance=None).value


def _values(rows: pd.DataFrame, scoring: Scoring, threshold: float) -> Mapping[str, float]:
    patients = patients_of(rows)
    return described(
        rows, patients, kind=scoring.kind, unit=scoring.unit, classes=scoring.classes, threshold=threshold
    ).values


def _chance(scoring: Scoring) -> float:
    return {"binary": 0.5, "classes": 1 / max(1, len(scoring.classes)), "regression": 0.0}[scoring.kind]


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
