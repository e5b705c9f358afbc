"""Paired differences over patients: a network against the training constant, a baseline, or another run."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_med.errors import DataError
from keras_med.evaluation import metrics
from keras_med.evaluation.intervals import RESAMPLES, Floats, Interval, Statistic, interval, resample
from keras_med.evaluation.reading import binary_arrays, class_arrays, patients_of, regression_arrays
from keras_med.evaluation.scores import Described, Entry, Kind, described, entry
from keras_med.evaluation.weighted import Patients


def improvement(predictions: pd.DataFrame, constant: float, *, seed: int, resamples: int = RESAMPLES) -> Entry:
    """Give the share by which the MAE lies below that of predicting the training constant for everyone."""
    labels, predicted = regression_arrays(predictions)
    return relative_gain(
        np.abs(predicted - labels), np.abs(constant - labels), patients_of(predictions), seed=seed, resamples=resamples
    )


def log_loss_improvement(
    predictions: pd.DataFrame,
    shares: Sequence[float],
    *,
    kind: Kind,
    classes: Sequence[object],
    seed: int,
    resamples: int = RESAMPLES,
) -> Entry:
    """Give the share by which the log loss lies below that of giving everyone the training shares of the classes.

    Args:
        shares: one a class; of a binary target those of the negative and the positive class.
        kind: "binary" reads the probability of the last class alone, "classes" that of each.
    """
    expected = 2 if kind == "binary" else len(classes)
    if len(shares) != expected or min(shares) < 0 or abs(sum(shares) - 1) > 1e-3:
        raise DataError(f"Expected one share a class, summing to 1; came {list(shares)}.")
    if kind == "binary":
        truth, p = binary_arrays(predictions, classes)
        own, place = np.where(truth == 1, p, 1 - p), truth.astype(np.int64)
    else:
        place, p = class_arrays(predictions, classes)
        own = p[np.arange(len(place)), place]
    patients = patients_of(predictions)
    if min(shares) == 0:
        why = "a class has no training example, so the constant's log loss is no measure"
        return entry(np.nan, Interval(reason=why), n=len(place), patients=patients.count if patients.known else None)
    plain = metrics.surprise(np.asarray(shares, dtype=np.float64)[place])
    return relative_gain(metrics.surprise(own), plain, patients, seed=seed, resamples=resamples)


def relative_gain(losses: Floats, plain: Floats, patients: Patients, *, seed: int, resamples: int = RESAMPLES) -> Entry:
    """Give 1 minus the ratio of two mean losses of the same rows, with its interval over patients."""
    known = patients.count if patients.known else None
    if not len(losses) or not plain.any():
        why = "every label equals the constant" if len(losses) else "no example here"
        return entry(np.nan, Interval(reason=why), n=len(losses), patients=known)
    sums = patients.sums(losses, plain)

    def statistic(weights: Floats) -> dict[str, Floats]:
        mine, others = (weights @ sums).T
        return {"gain": 1 - metrics.ratios(mine, others)}

    drawn = resample(statistic, patients.count, seed=seed, resamples=resamples)
    value = float(1 - losses.mean() / plain.mean())
    found = interval(
        value, drawn.replicates["gain"], drawn.jackknife["gain"], patients=patients.count, limits=(-np.inf, 1.0)
    )
    return entry(value, found, n=len(losses), patients=known)


def differences(
    predictions: pd.DataFrame,
    others: pd.DataFrame,
    *,
    kind: Kind,
    seed: int,
    unit: str = "",
    classes: Sequence[object] = (),
    thresholds: tuple[float, float] = (0.5, 0.5),
    resamples: int = RESAMPLES,
) -> dict[str, Entry]:
    """Give every metric's difference (first minus second) between two tables of predictions of the same examples.

    Rows are paired by id and resampled by the patients of the first table; other examples or labels are refused.

    Args:
        thresholds: from which each table's binary cases are called positive.
    """
    second = paired(predictions, others)
    patients = patients_of(predictions)
    one, two = (
        described(table, patients, kind=kind, unit=unit, classes=classes, threshold=threshold)
        for table, threshold in zip((predictions, second), thresholds, strict=True)
    )
    return _differences(one, two, patients, seed, resamples)


def paired(predictions: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Put the second table into the first one's order."""
    first, second = predictions["id"].astype(str), others["id"].astype(str)
    for name, ids in (("first", first), ("second", second)):
        if ids.duplicated().any():
            raise DataError(f"The {name} table predicts {int(ids.duplicated().sum())} examples more than once.")
    alone = len(set(first) ^ set(second))
    if alone:
        raise DataError(
            f"The two tables predict different examples: {alone} stand in one of them only.",
            remedy="Compare runs on the same data and the same split file.",
        )
    ordered = others.iloc[pd.Index(second).get_indexer(pd.Index(first))].reset_index(drop=True)
    if not _same_labels(predictions["label"], ordered["label"]):
        raise DataError(
            "The two tables give different labels to the same examples.", remedy="Were the labels mended in between?"
        )
    return ordered


def _same_labels(first: pd.Series, second: pd.Series) -> bool:
    try:
        one, two = first.to_numpy(dtype=np.float64), second.to_numpy(dtype=np.float64)
        return bool(np.allclose(one, two, rtol=1e-9, atol=0, equal_nan=True))
    except (TypeError, ValueError):
        return bool((first.astype(str).to_numpy() == second.astype(str).to_numpy()).all())


def _differences(one: Described, two: Described, patients: Patients, seed: int, resamples: int) -> dict[str, Entry]:
    if not patients.count:
        return {name: entry(np.nan, Interval(reason="no example here"), n=0, patients=None) for name in one.values}
    drawn = resample(minus(one.statistic, two.statistic), patients.count, seed=seed, resamples=resamples)
    table = {}
    for name, value in one.values.items():
        basis, gap = one.bases[name], value - two.values[name]
        found = Interval(reason="undefined in one of the two")
        if np.isfinite(gap):
            fewest = min(patients.among(each.bases[name].rows) for each in (one, two))
            smaller = basis.smaller(patients)
            found = interval(gap, drawn.replicates[name], drawn.jackknife[name], patients=fewest, smaller=smaller)
        of = patients.count if patients.known else None
        table[name] = entry(gap, found, n=len(patients.codes), patients=of, unit=basis.unit)
    return table


def minus(one: Statistic, two: Statistic) -> Statistic:
    """Give each metric's difference under the same weights."""

    def statistic(weights: npt.NDArray[np.float64]) -> dict[str, Floats]:
        second = two(weights)
        return {name: values - second[name] for name, values in one(weights).items() if name in second}

    return statistic
