"""One split's predictions to every metric with its 95 % interval over patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_med.data.identifiers import label_text
from keras_med.errors import RecipeError
from keras_med.evaluation import metrics, weighted
from keras_med.evaluation.intervals import (
    RESAMPLES,
    Counts,
    Interval,
    Statistic,
    independent_patients,
    interval,
    resample,
)
from keras_med.evaluation.reading import binary_arrays, class_arrays, patients_of, regression_arrays
from keras_med.evaluation.weighted import Patients

Kind = Literal["regression", "binary", "classes"]
Mask = npt.NDArray[np.bool_]
Entry = dict[str, float | int | str | None]

AT_LEAST_0 = (0.0, np.inf)
NO_SHARES = (
    "brier",
    "log_loss",
    "calibration_slope",
    "calibration_intercept",
)  # of a classifier, the figures that are no share


def score(
    predictions: pd.DataFrame,
    *,
    kind: Kind,
    seed: int,
    unit: str = "",
    classes: Sequence[object] = (),
    threshold: float = 0.5,
    resamples: int = RESAMPLES,
) -> dict[str, Entry]:
    """Give {metric: {value, low, high, unit, n, patients}} of one split; None where undefined, then with a `reason`.

    Args:
        predictions: columns id, label and predicted (regression) or p_<class>; optional patient, over which
            intervals are taken (else each row stands for itself and `patients` is None).
        classes: as the target names them; of a binary target the last is positive and only its column is read.
    """
    patients = patients_of(predictions)
    split = described(predictions, patients, kind=kind, unit=unit, classes=classes, threshold=threshold)
    return split.entries(patients, seed, resamples)


def entry(value: float, found: Interval, *, n: int, patients: int | None, unit: str = "") -> Entry:
    """Write a metric as metrics.json holds it."""
    kept = [float(number) if np.isfinite(number) else None for number in (value, found.low, found.high)]
    written: Entry = {"value": kept[0], "low": kept[1], "high": kept[2], "unit": unit, "n": n, "patients": patients}
    return written | {"reason": found.reason} if found.reason else written


@dataclass(frozen=True)
class Basis:
    """What a metric rests on.

    Attributes:
        rows: the examples it is about; of a share, the chances.
        events: of a share, which of the rows count.
        sides: where two groups are compared, one of them; the smaller one's patients decide how the interval is made.
        share: whether it lies between 0 and 1.
        unit: as printed.
        limits: beyond which it cannot lie.
    """

    rows: Mask
    events: Mask | None = None
    sides: Mask | None = None
    share: bool = True
    unit: str = ""
    limits: tuple[float, float] = (-np.inf, np.inf)

    def counts(self, patients: Patients) -> Counts | None:
        if self.events is None:
            return None
        chances = np.bincount(patients.codes[self.rows], minlength=patients.count).astype(np.float64)
        return Counts(int((self.rows & self.events).sum()), int(self.rows.sum()), independent_patients(chances))

    def smaller(self, patients: Patients) -> int | None:
        if self.sides is None:
            return None
        return min(patients.among(self.sides), patients.among(~self.sides))


@dataclass(frozen=True)
class Described:
    """A split's metrics: their values, how to compute them on resampled patients, and what each rests on."""

    values: Mapping[str, float]
    statistic: Statistic
    bases: Mapping[str, Basis]

    def entries(self, patients: Patients, seed: int, resamples: int) -> dict[str, Entry]:
        """Resample once for all metrics."""
        drawn = resample(self.statistic, patients.count, seed=seed, resamples=resamples) if patients.count else None
        table = {}
        for name, value in self.values.items():
            basis = self.bases[name]
            found = Interval(reason=why_undefined(name))
            if drawn and np.isfinite(value):
                found = interval(
                    value,
                    drawn.replicates[name],
                    drawn.jackknife[name],
                    patients=patients.among(basis.rows),
                    smaller=basis.smaller(patients),
                    scale="share" if basis.share else "real",
                    counts=basis.counts(patients),
                    limits=basis.limits,
                )
            of = patients.among(basis.rows) if patients.known else None
            table[name] = entry(value, found, n=int(basis.rows.sum()), patients=of, unit=basis.unit)
        return table


def described(
    predictions: pd.DataFrame,
    patients: Patients,
    *,
    kind: Kind,
    unit: str = "",
    classes: Sequence[object] = (),
    threshold: float = 0.5,
) -> Described:
    """Compute a table's metrics and prepare them for resampling."""
    if kind == "regression":
        return _regression(predictions, patients, unit)
    if kind == "binary":
        return _binary(predictions, patients, classes, threshold)
    if kind == "classes":
        return _several(predictions, patients, classes)
    raise RecipeError(f"No kind of target: {kind!r}.", remedy="It is regression, binary or classes.")


def why_undefined(name: str) -> str:
    """Give the sentence for a metric that could not be computed."""
    known = [key for key in metrics.UNDEFINED if name.startswith(key)]
    return metrics.UNDEFINED[known[0]] if known else "no example here"


def _regression(predictions: pd.DataFrame, patients: Patients, unit: str) -> Described:
    labels, predicted = regression_arrays(predictions)
    values, parts = metrics.regression(labels, predicted), metrics.decades(labels)
    every = np.ones(len(labels), dtype=bool)
    errors = {name for name in values if name.startswith(("mae", "rmse"))}
    limits = dict.fromkeys(errors, AT_LEAST_0) | {"r2": (-np.inf, 1.0)}
    bases = {
        name: Basis(
            parts.get(name, every),
            share=False,
            unit="" if name == "r2" else unit,
            limits=limits.get(name, Basis.limits),
        )
        for name in values
    }
    return Described(values, weighted.regression(labels, predicted, patients), bases)


def _binary(predictions: pd.DataFrame, patients: Patients, classes: Sequence[object], threshold: float) -> Described:
    truth, p = binary_arrays(predictions, classes)
    values = metrics.binary(truth, p, threshold)
    yes, called, every = truth == 1, p >= threshold, np.ones(len(truth), dtype=bool)
    bases = {name: Basis(every, sides=yes, share=name not in NO_SHARES) for name in values}
    bases |= {
        "sensitivity": Basis(yes, called),
        "specificity": Basis(~yes, ~called),
        "precision": Basis(called, yes),
        "npv": Basis(~called, ~yes),
        "accuracy": Basis(every, yes == called),
        "brier": Basis(every, share=False, limits=(0.0, 1.0)),
        "log_loss": Basis(every, share=False, limits=AT_LEAST_0),
    }
    return Described(values, weighted.binary(truth, p, threshold, patients), bases)


def _several(predictions: pd.DataFrame, patients: Patients, classes: Sequence[object]) -> Described:
    truth, p = class_arrays(predictions, classes)
    names = [label_text(name) for name in classes]
    values = metrics.several([names[number] for number in truth], p, names)
    called, every = p.argmax(axis=1), np.ones(len(truth), dtype=bool)
    smallest = min((truth == number for number in range(len(names))), key=patients.among)
    bases = {name: Basis(every, sides=smallest if name.startswith("macro_") else None) for name in values}
    for number, name in enumerate(names):
        own, so_called = truth == number, called == number
        bases |= {
            f"precision_{name}": Basis(so_called, own),
            f"recall_{name}": Basis(own, so_called),
            f"f1_{name}": Basis(every, sides=own),
            f"auroc_{name}": Basis(every, sides=own),
        }
    bases |= {"accuracy": Basis(every, truth == called), "log_loss": Basis(every, share=False, limits=AT_LEAST_0)}
    counted = {f"support_{name}" for name in names}
    kept = {name: value for name, value in values.items() if name not in counted}
    return Described(kept, weighted.several(truth, p, names, patients), bases)
