"""A network's probabilities to honest ones: temperature and prior fitted together, or slope and intercept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, special

from keras_med.data.identifiers import label_text
from keras_med.errors import DataError
from keras_med.evaluation.intervals import Floats, wilson
from keras_med.evaluation.metrics import logits, rows_of_probabilities
from keras_med.evaluation.reading import binary_arrays, class_arrays
from keras_med.evaluation.weighted import Codes

Kind = Literal["binary", "classes"]

TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Calibration:
    """softmax(log p / temperature + offsets), with one offset a class.

    Attributes:
        method: temperature (offsets are the change of prior) or slope_intercept (offsets are fitted).
        temperature: above 1 for an over-confident network.
        offsets: added to the classes' logits.
        examples: how many it was fitted on.
        note: a sentence where the fit ran into a limit, else empty.
    """

    method: Literal["temperature", "slope_intercept"]
    temperature: float
    offsets: tuple[float, ...]
    examples: int
    note: str = ""

    def apply(self, p: npt.ArrayLike) -> Floats:
        """Calibrate rows of probabilities, one column a class."""
        chance = rows_of_probabilities(p, len(self.offsets))
        return special.softmax(log_probabilities(chance) / self.temperature + np.array(self.offsets), axis=1)


def fit_temperature(
    p: npt.ArrayLike,
    truth: npt.ArrayLike,
    *,
    prior: Sequence[float] | None = None,
    training_prior: Sequence[float] | None = None,
) -> Calibration:
    """Fit T of softmax(z / T + log prior - log training_prior) on examples at natural prevalence.

    Prior and T must be fitted together like this: correcting the prior first and T after it scales the correction too
    (slope 0.81 where this gives 1.00).

    Args:
        p: rows of probabilities, one column a class, of examples that the network never saw.
        truth: each row's class number.
        prior: the classes' natural shares; None where the network trained at them.
        training_prior: the shares that the network trained at, after any undersampling or class weights.
    """
    chance, numbers = _fitting_rows(p, truth)
    offsets = _prior_shift(prior, training_prior, chance.shape[1])
    scores, rows = log_probabilities(chance), np.arange(len(chance))

    def loss(log_temperature: float) -> float:
        log_p = special.log_softmax(scores * np.exp(-log_temperature) + offsets, axis=1)
        return float(-log_p[rows, numbers].mean())

    limits = (float(np.log(TEMPERATURES[0])), float(np.log(TEMPERATURES[1])))
    found = optimize.minimize_scalar(loss, bounds=limits, method="bounded", options={"xatol": 1e-7})
    note = ""
    if min(found.x - limits[0], limits[1] - found.x) < 1e-3:
        side = "as sharp" if found.x < 0 else "as flat"
        note = (
            f"The temperature stopped at its limit {np.exp(found.x):.3g}: no probabilities {side} as that are to be "
            "trusted."
        )
    return Calibration("temperature", float(np.exp(found.x)), tuple(map(float, offsets)), len(chance), note)


def fit_slope_intercept(p: npt.ArrayLike, truth: npt.ArrayLike) -> Calibration:
    """Fit a common slope and one intercept a class, for networks whose loss bends probabilities (focal, smoothing)."""
    chance, numbers = _fitting_rows(p, truth)
    scores, rows, classes = log_probabilities(chance), np.arange(len(chance)), chance.shape[1]
    scores = scores - scores.mean(axis=1, keepdims=True)
    known = np.zeros_like(chance)
    known[rows, numbers] = 1

    def loss(settings: Floats) -> tuple[float, Floats]:
        offsets = np.concatenate([[0.0], settings[1:]])
        log_p = special.log_softmax(settings[0] * scores + offsets, axis=1)
        gap = np.exp(log_p) - known
        return float(-log_p[rows, numbers].mean()), np.array([(gap * scores).sum(), *gap.sum(axis=0)[1:]]) / len(rows)

    limits = [(1 / TEMPERATURES[1], 1 / TEMPERATURES[0])] + [(-50.0, 50.0)] * (classes - 1)
    start = np.array([1.0] + [0.0] * (classes - 1))
    options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000}
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", bounds=limits, options=options)
    note = ""
    if min(found.x[0] - limits[0][0], limits[0][1] - found.x[0]) < 1e-6:
        note = f"The slope stopped at its limit {found.x[0]:.3g}: these predictions cannot be recalibrated."
    offsets = (0.0, *map(float, found.x[1:]))
    return Calibration("slope_intercept", float(1 / found.x[0]), offsets, len(chance), note)


def calibrated(
    predictions: pd.DataFrame, calibration: Calibration, *, kind: Kind, classes: Sequence[object]
) -> pd.DataFrame:
    """Give the table with calibrated probabilities; labels are not looked at."""
    names = [f"p_{label_text(name)}" for name in (classes[-1:] if kind == "binary" else classes)]
    p = predictions[names].to_numpy(dtype=np.float64)
    if kind == "binary":
        return predictions.assign(**{names[0]: calibration.apply(np.hstack([1 - p, p]))[:, 1]})
    return predictions.assign(**dict(zip(names, calibration.apply(p).T, strict=True)))


def fitting_arrays(predictions: pd.DataFrame, *, kind: Kind, classes: Sequence[object]) -> tuple[Floats, Codes]:
    """Give rows of probabilities (two columns for a binary target) and class numbers, as the fits take them."""
    if kind == "binary":
        truth, p = binary_arrays(predictions, classes)
        return np.stack([1 - p, p], axis=1), truth.astype(np.int64)
    truth_numbers, chance = class_arrays(predictions, classes)
    return chance, truth_numbers


def natural_probability(p: npt.ArrayLike, kept: float) -> Floats:
    """Undo undersampling alone: `kept` is the share of negatives that training kept (Dal Pozzolo 2015)."""
    chance = np.asarray(p, dtype=np.float64)
    return kept * chance / (kept * chance - chance + 1)


def reliability(truth: npt.ArrayLike, p: npt.ArrayLike, *, bins: int = 10) -> pd.DataFrame:
    """Give the reliability diagram's rows, bins of equal size: mean p, share of positives, Wilson's low and high, n."""
    positive, chance = np.asarray(truth, dtype=np.float64), np.asarray(p, dtype=np.float64)
    # Cut between different values only, so that ties share a bin.
    edges = np.unique(np.quantile(chance, np.linspace(0, 1, bins + 1)[1:-1])) if len(chance) else np.empty(0)
    place = np.searchsorted(edges, chance, side="right")
    rows = []
    for number in np.unique(place):
        here = place == number
        share, found = float(positive[here].mean()), wilson(float(positive[here].mean()), int(here.sum()))
        rows.append((float(chance[here].mean()), share, found.low, found.high, int(here.sum())))
    return pd.DataFrame(rows, columns=["mean_p", "share", "low", "high", "n"])


def log_probabilities(p: Floats) -> Floats:
    """Give log p up to a constant of each row, with certain rows moved to 1e-12 from certainty."""
    if p.shape[1] == 2:
        return np.stack([np.zeros(len(p)), logits(p[:, 1])], axis=1)
    return np.log(np.clip(p, 1e-12, None))


def _fitting_rows(p: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Floats, Codes]:
    table = np.asarray(p, dtype=np.float64)
    chance = rows_of_probabilities(table, table.shape[1] if table.ndim == 2 else 2)
    numbers = np.asarray(truth, dtype=np.int64)
    missing = chance.shape[1] - len(np.unique(numbers))
    if missing:
        raise DataError(
            f"{missing} of {chance.shape[1]} classes have no example to calibrate on.",
            remedy="Give more examples to validation, or leave the probabilities as they are.",
        )
    if (np.ptp(chance, axis=0) < 1e-12).all():
        raise DataError(
            "Every prediction is the same: there is nothing to calibrate.", remedy="Look whether the network learned."
        )
    return chance, numbers


def _prior_shift(prior: Sequence[float] | None, training_prior: Sequence[float] | None, classes: int) -> Floats:
    if prior is None and training_prior is None:
        return np.zeros(classes)
    if prior is None or training_prior is None:
        raise DataError("A change of prior needs both the natural shares and those of training.")
    natural, seen = np.asarray(prior, dtype=np.float64), np.asarray(training_prior, dtype=np.float64)
    for shares in (natural, seen):
        if shares.shape != (classes,) or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-3:
            raise DataError(f"Expected {classes} positive shares that sum to 1; came {shares.tolist()}.")
    return np.log(natural) - np.log(seen)
