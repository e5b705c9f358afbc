"""Validation predictions to the threshold that reaches a target sensitivity, with assurance over patients."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from keras_med.errors import DataError, RecipeError
from keras_med.evaluation.intervals import Floats, independent_patients
from keras_med.evaluation.metrics import ratio
from keras_med.evaluation.reading import binary_arrays, patients_of
from keras_med.evaluation.weighted import Codes


@dataclass(frozen=True)
class Threshold:
    """Where p starts to be called positive, and what that rests on.

    Attributes:
        value: p at or above it is positive.
        target: the sensitivity asked for.
        assurance: how sure the target is met in new patients; None for the plug-in threshold, which promises nothing.
        sensitivity, specificity: on the examples it was chosen on; the latter None without negative examples.
        lower_bound: of the sensitivity over patients, one-sided at `assurance`; None for the plug-in threshold.
        positives, positive_patients: how many it was chosen on.
        sentence: the promise, or that there is none.
    """

    value: float
    target: float
    assurance: float | None
    sensitivity: float
    specificity: float | None
    lower_bound: float | None
    positives: int
    positive_patients: int
    sentence: str


def threshold_for_sensitivity(
    predictions: pd.DataFrame, target: float, *, classes: Sequence[object], assurance: float | None = 0.95
) -> Threshold:
    """Choose the highest threshold whose sensitivity reaches the target.

    With an assurance it is the highest at which the one-sided lower confidence bound, over patients, reaches the
    target, there and at every lower threshold. Without, the sensitivity of these very examples: seen to be met in new
    patients less than half of the time.
    """
    _check(target, assurance)
    truth, p = binary_arrays(predictions, classes)
    positive = truth == 1
    patients = patients_of(predictions).codes[positive]
    count = len(np.unique(patients))
    if not count:
        raise DataError(
            "No positive example to choose a threshold on.", remedy="Look at the split and at Binary(positive=)."
        )
    needed = fewest_positive_patients(target, assurance)
    if count < needed:
        raise DataError(
            f"A sensitivity of {target:g} with {assurance:.0%} assurance needs at least {needed} positive patients; "
            f"here are {count}.",
            remedy="Give more patients to validation, lower the target, or take assurance=None, without promise.",
        )
    cuts, bounds = _bounds(p[positive], patients, assurance)
    # Lower thresholds first: the bound must hold all the way, or a lucky wiggle of its estimate would be picked.
    reached = np.logical_and.accumulate(bounds >= target - 1e-12)
    if not reached[0]:
        raise DataError(
            f"A sensitivity of {target:g} cannot be promised on these {count} positive patients: too many of the "
            "examples are of a few of them.",
            remedy="Give more patients to validation, choose the threshold by patient, or set assurance=None.",
        )
    place = int(np.flatnonzero(reached)[-1])
    return _describe(float(cuts[place]), float(bounds[place]), p, positive, count, target, assurance)


def fewest_positive_patients(target: float, assurance: float | None = 0.95) -> int:
    """Give how many positive patients, all found, it takes to promise the target: 59 for 0.95 at 95 %."""
    if assurance is None:
        return 1
    return int(np.ceil(np.log(1 - assurance) / np.log(target) - 1e-9))


def lower_bound(share: Floats, size: Floats, assurance: float) -> Floats:
    """Give Clopper and Pearson's exact one-sided lower bound of shares above 0; sizes may be effective ones."""
    return np.asarray(stats.beta.ppf(1 - assurance, share * size, (1 - share) * size + 1), dtype=np.float64)


def _check(target: float, assurance: float | None) -> None:
    if not 0 < target < 1:
        raise RecipeError(
            f"A target sensitivity lies between 0 and 1; came {target:g}.",
            remedy="1 itself is met by calling everyone positive.",
        )
    if assurance is not None and not 0.5 <= assurance < 1:
        raise RecipeError(f"The assurance lies between 0.5 and 1, or is None; came {assurance:g}.")


def _bounds(p: Floats, patients: Codes, assurance: float | None) -> tuple[Floats, Floats]:
    """Give the thresholds that can be chosen, rising, and the sensitivity's lower bound (or itself) at each.

    A patient's examples are alike, so they count as many independent ones as their spread over patients says, and never
    as more than one a patient: while few are missed that spread is itself a guess.
    """
    order = np.argsort(p, kind="stable")
    cuts, first = np.unique(p[order], return_index=True)
    missed = first / len(p)  # exactly those below the cut
    if assurance is None:
        return cuts, 1 - missed
    variance, most = _variances(np.unique(patients, return_inverse=True)[1][order])
    known = variance[first] > 1e-12
    sizes = np.where(known, missed * (1 - missed) / np.where(known, variance[first], 1.0), most)
    return cuts, lower_bound(1 - missed, np.minimum(sizes, most), assurance)


def _variances(codes: Codes) -> tuple[Floats, float]:
    """Give the missed share's variance over patients with the first 0, 1, 2... rows missed, and the patients' worth."""
    chances = np.bincount(codes).astype(np.float64)
    # How many rows of the same patient came before: the sum over patients of missed^2 grows by 2 * before + 1.
    before = pd.Series(codes).groupby(codes).cumcount().to_numpy(dtype=np.float64)
    own, cross = (np.concatenate([[0.0], np.cumsum(steps)]) for steps in (2 * before + 1, chances[codes]))
    lost = np.arange(len(codes) + 1) / len(codes)
    squares = (chances**2).sum()
    return (own - 2 * lost * cross + lost**2 * squares) / len(codes) ** 2, independent_patients(chances)


def _describe(
    cut: float, bound: float, p: Floats, positive: np.ndarray, count: int, target: float, assurance: float | None
) -> Threshold:
    called = p >= cut
    rejected = ratio(float((~called & ~positive).sum()), float((~positive).sum()))
    if assurance is None:
        sentence = (
            f"Plug-in threshold: it reaches {target:g} on the examples it was chosen on, which promises nothing for "
            "others: half of such thresholds or more fall short."
        )
    else:
        sentence = (
            f"Chosen so that the sensitivity in new patients is at least {target:g} with {assurance:.0%} assurance."
        )
    if called.all():
        sentence += " It calls every one of these examples positive."
    return Threshold(
        value=cut,
        target=target,
        assurance=assurance,
        sensitivity=float(called[positive].mean()),
        specificity=rejected if np.isfinite(rejected) else None,
        lower_bound=None if assurance is None else bound,
        positives=int(positive.sum()),
        positive_patients=count,
        sentence=sentence,
    )
