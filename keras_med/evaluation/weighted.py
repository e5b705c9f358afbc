"""A table's metrics under many sets of patient weights at once, for resampling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from keras_med.evaluation import metrics
from keras_med.evaluation.intervals import Floats, Statistic

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Patients:
    """Which patient each row is of.

    Attributes:
        codes: a number from 0 for each row.
        count: how many there are.
        known: False where the table names none and each row stands for itself.
    """

    codes: Codes
    count: int
    known: bool

    def sums(self, *columns: Floats) -> Floats:
        """Add up row values within patients: patients x columns, in which sums over patients are exact."""
        return exact(
            np.stack([np.bincount(self.codes, weights=column, minlength=self.count) for column in columns], axis=1)
        )

    def among(self, rows: npt.NDArray[np.bool_]) -> int:
        """Count the patients with any of these rows."""
        return len(np.unique(self.codes[rows]))


def exact(sums: Floats) -> Floats:
    """Round each column to a grid so coarse that adding its values needs no rounding, in whatever order.

    A matrix product may add in another order with another number of threads; on this grid (2^-52 of the largest
    possible total) every order gives the same bits, so the same seed gives the same interval anywhere.
    """
    largest = np.abs(sums).max(axis=0, initial=0.0) * len(sums)
    grid = 2.0 ** (np.ceil(np.log2(np.where(largest > 0, largest, 1.0))) - 52)
    return np.round(sums / grid) * grid


def regression(labels: Floats, predicted: Floats, patients: Patients) -> Statistic:
    """Prepare the regression metrics for weighting."""
    error = predicted - labels
    # Centred, or squares would lose the digits that a small spread around a large mean needs.
    middle, centre = (float(each.mean()) if len(each) else 0.0 for each in (error, labels))
    off, place = error - middle, labels - centre
    parts = metrics.decades(labels)
    rows = [np.ones_like(error), np.abs(error), error**2, off, off**2, place, place**2]
    for part in parts.values():
        rows += [part.astype(np.float64), np.where(part, np.abs(error), 0.0)]
    sums = patients.sums(*rows)

    def statistic(weights: Floats) -> dict[str, Floats]:
        total = (weights @ sums).T
        count, absolute, square, drift, drift_square, label, label_square = total[:7]
        bias = middle + metrics.ratios(drift, count)
        # Rounding can leave a spread of nothing a hair below nothing.
        spread = np.maximum(drift_square - metrics.ratios(drift**2, count), 0)
        half = 1.96 * np.sqrt(metrics.ratios(spread, count - 1))
        figures = {
            "mae": metrics.ratios(absolute, count),
            "rmse": np.sqrt(metrics.ratios(square, count)),
            "r2": 1 - metrics.ratios(square, label_square - metrics.ratios(label**2, count)),
            "bias": bias,
            "limit_low": bias - half,
            "limit_high": bias + half,
        }
        return figures | {name: metrics.ratios(total[8 + 2 * i], total[7 + 2 * i]) for i, name in enumerate(parts)}

    return statistic


def binary(labels: Floats, p: Floats, threshold: float, patients: Patients) -> Statistic:
    """Prepare the binary metrics for weighting; calibration takes one Newton step from the whole table's fit."""
    positive, called = labels == 1, p >= threshold
    brier, surprise = (p - labels) ** 2, metrics.surprise(np.where(positive, p, 1 - p))
    counted = [positive & called, ~positive & called, positive & ~called, ~positive & ~called]
    sums = patients.sums(*[each.astype(np.float64) for each in counted], brier, surprise)
    rank = ranks(positive, p, patients)
    line = _calibration(labels, p, patients)

    def statistic(weights: Floats) -> dict[str, Floats]:
        hit, false_alarm, miss, rejected, squares, surprises = (weights @ sums).T
        count = hit + false_alarm + miss + rejected
        return {
            "sensitivity": metrics.ratios(hit, hit + miss),
            "specificity": metrics.ratios(rejected, rejected + false_alarm),
            "precision": metrics.ratios(hit, hit + false_alarm),
            "npv": metrics.ratios(rejected, rejected + miss),
            "accuracy": metrics.ratios(hit + rejected, count),
            "balanced_accuracy": (metrics.ratios(hit, hit + miss) + metrics.ratios(rejected, rejected + false_alarm))
            / 2,
            "f1": metrics.ratios(2 * hit, 2 * hit + false_alarm + miss),
            **rank(weights),
            "brier": metrics.ratios(squares, count),
            "log_loss": metrics.ratios(surprises, count),
            **line(weights),
        }

    return statistic


def several(truth: Codes, p: Floats, classes: Sequence[str], patients: Patients) -> Statistic:
    """Prepare the table of several classes for weighting; supports are counts and get no interval."""
    size = len(classes)
    cell = truth * size + p.argmax(axis=1)
    own = metrics.surprise(p[np.arange(len(truth)), truth])
    sums = patients.sums(*[(cell == number).astype(np.float64) for number in range(size**2)], own)
    rest = [ranks(truth == number, p[:, number], patients, precision=False) for number in range(size)]

    def statistic(weights: Floats) -> dict[str, Floats]:
        total = weights @ sums
        table = metrics.class_table(total[:, :-1], classes)
        areas = {f"auroc_{name}": rank(weights)["auroc"] for name, rank in zip(classes, rest, strict=True)}
        macro = np.mean(list(areas.values()), axis=0)
        return (
            table | areas | {"macro_auroc": macro, "log_loss": metrics.ratios(total[:, -1], total[:, :-1].sum(axis=1))}
        )

    return statistic


def ranks(positive: npt.NDArray[np.bool_], p: Floats, patients: Patients, *, precision: bool = True) -> Statistic:
    """Prepare AUROC (ties count half) and average precision for weighting, from one sort."""
    up, down = p[positive], p[~positive]
    up_order, down_order = np.argsort(up, kind="stable"), np.argsort(down, kind="stable")
    up_patient, down_patient = patients.codes[positive][up_order], patients.codes[~positive][down_order]
    up, down = up[up_order], down[down_order]
    first, last = np.searchsorted(down, up, side="left"), np.searchsorted(down, up, side="right")
    first_up = np.searchsorted(up, up, side="left")
    tied = bool((first != last).any())

    def statistic(weights: Floats) -> dict[str, Floats]:
        own, below = weights.take(up_patient, axis=1), _running(weights.take(down_patient, axis=1))
        under = below.take(first, axis=1)
        positives, negatives = own.sum(axis=1), below[:, -1]
        wins = (own * under).sum(axis=1)
        if tied:  # half of what stands level
            wins = (wins + (own * below.take(last, axis=1)).sum(axis=1)) / 2
        figures = {"auroc": metrics.ratios(wins, positives * negatives)}
        if precision:
            hits = positives[:, None] - _running(own).take(first_up, axis=1)
            called = hits + (negatives[:, None] - under)
            # Where nothing is called, nothing is hit either: any divisor will do.
            total = (own * (hits / np.maximum(called, 1))).sum(axis=1)
            figures["average_precision"] = metrics.ratios(total, positives)
        return figures

    return statistic


def _running(weights: Floats) -> Floats:
    total = np.zeros((weights.shape[0], weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=total[:, 1:])
    return total


def _calibration(labels: Floats, p: Floats, patients: Patients) -> Statistic:
    fitted = metrics.logistic_fit(labels, p)
    if fitted is None:
        return lambda weights: dict.fromkeys(
            ("calibration_slope", "calibration_intercept"), np.full(len(weights), np.nan)
        )
    score, shift = metrics.logits(p), metrics.calibration_in_the_large(labels, p)
    centre = score.mean()
    place = score - centre
    chance = special.expit(fitted[0] + fitted[1] * score)
    shifted = special.expit(score + shift)
    information, large = chance * (1 - chance), shifted * (1 - shifted)
    miss = labels - chance
    sums = patients.sums(
        miss, miss * place, information, information * place, information * place**2, labels - shifted, large
    )

    def statistic(weights: Floats) -> dict[str, Floats]:
        pull, pull_slope, flat, mixed, steep, pull_large, flat_large = (weights @ sums).T
        determinant = flat * steep - mixed**2
        return {
            "calibration_slope": fitted[1] + metrics.ratios(flat * pull_slope - mixed * pull, determinant),
            "calibration_intercept": shift + metrics.ratios(pull_large, flat_large),
        }

    return statistic
