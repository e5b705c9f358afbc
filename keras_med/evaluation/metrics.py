"""Labels and predictions to metrics; what cannot be computed is NaN, and `UNDEFINED` says why."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import special
from sklearn.metrics import average_precision_score, roc_auc_score

from keras_med.errors import DataError, five_of

Floats = npt.NDArray[np.float64]

UNDEFINED = {
    "mae": "no example here",
    "r2": "all labels are equal, or there is one example",
    "limit": "one example has no spread",
    "sensitivity": "no positive example",
    "specificity": "no negative example",
    "precision": "no example was called positive",
    "npv": "no example was called negative",
    "f1": "no positive example and none called positive",
    "auroc": "needs examples with and without the class",
    "average_precision": "no positive example",
    "calibration": "needs both classes, and predictions that differ and do not separate them completely",
    "recall": "no example of the class",
    "macro": "a class has no example, or was never called",
    "balanced_accuracy": "a class has no example",
    "weighted": "a class was never called, or there is no example",
}

MOST_DECADES = 15  # beyond that the label is no age and a table by tens says nothing


def regression(labels: npt.ArrayLike, predicted: npt.ArrayLike) -> dict[str, float]:
    """Give mae, rmse, r2, bias (predicted minus label), its 95 % limits of agreement, and each label decade's MAE."""
    truth, guess = _finite(labels, "labels"), _finite(predicted, "predictions")
    _same_length(truth, guess)
    error = guess - truth
    if not len(error):
        return dict.fromkeys(("mae", "rmse", "r2", "bias", "limit_low", "limit_high"), np.nan)
    spread = ((truth - truth.mean()) ** 2).sum()
    half = 1.96 * error.std(ddof=1) if len(error) > 1 else np.nan
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r2": float(1 - (error**2).sum() / spread) if spread > 0 else np.nan,
        "bias": float(error.mean()),
        "limit_low": float(error.mean() - half),
        "limit_high": float(error.mean() + half),
        **{name: float(np.abs(error[rows]).mean()) for name, rows in decades(truth).items()},
    }


def decades(labels: Floats) -> dict[str, npt.NDArray[np.bool_]]:
    """Give the rows of each decade of the label, [20, 30) and so on; nothing for one decade or more than fifteen."""
    tens = np.floor(labels / 10).astype(np.int64)
    present = np.unique(tens)
    if not 2 <= len(present) <= MOST_DECADES:
        return {}
    return {f"mae_{ten * 10}_to_{ten * 10 + 10}": tens == ten for ten in present}


def binary(labels: npt.ArrayLike, p: npt.ArrayLike, threshold: float = 0.5) -> dict[str, float]:
    """Give the metrics of a yes-or-no target; labels are 0 or 1, and p at or above the threshold is called positive."""
    truth, chance = _finite(labels, "labels"), probabilities(p)
    _same_length(truth, chance)
    if not np.isin(truth, (0.0, 1.0)).all():
        raise DataError("Binary labels must be 0 or 1 here.", remedy="Name the positive class in the recipe's target.")
    positive, called = truth == 1, chance >= threshold
    hit, false_alarm = int((positive & called).sum()), int((~positive & called).sum())
    miss, rejected = int((positive & ~called).sum()), int((~positive & ~called).sum())
    both = positive.any() and not positive.all()
    slope, intercept = calibration_line(truth, chance)
    return {
        "sensitivity": ratio(hit, hit + miss),
        "specificity": ratio(rejected, rejected + false_alarm),
        "precision": ratio(hit, hit + false_alarm),
        "npv": ratio(rejected, rejected + miss),
        "accuracy": ratio(hit + rejected, len(truth)),
        "balanced_accuracy": (ratio(hit, hit + miss) + ratio(rejected, rejected + false_alarm)) / 2,
        "f1": ratio(2 * hit, 2 * hit + false_alarm + miss),
        "auroc": float(roc_auc_score(positive, chance)) if both else np.nan,
        "average_precision": float(average_precision_score(positive, chance)) if positive.any() else np.nan,
        "brier": float(((chance - truth) ** 2).mean()) if len(truth) else np.nan,
        "log_loss": float(surprise(np.where(positive, chance, 1 - chance)).mean()) if len(truth) else np.nan,
        "calibration_slope": slope,
        "calibration_intercept": intercept,
    }


def several(labels: Sequence[str], p: npt.ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """Give the table of a target of several classes: the highest p is the call, on ties the class named first.

    Keys are accuracy, macro_*, weighted_* and, for each class, precision_*, recall_*, f1_*, support_* and auroc_*
    (one against the rest).
    """
    chance = rows_of_probabilities(p, len(classes))
    truth = class_numbers(labels, classes)
    _same_length(truth, chance)
    called = chance.argmax(axis=1) if len(chance) else np.empty(0, dtype=np.int64)
    confusion = np.bincount(truth * len(classes) + called, minlength=len(classes) ** 2)
    table = {key: float(value) for key, value in class_table(confusion.astype(float), classes).items()}
    rest = {
        f"auroc_{name}": _one_against_the_rest(truth == number, chance[:, number])
        for number, name in enumerate(classes)
    }
    own = chance[np.arange(len(truth)), truth]
    return {
        **table,
        **rest,
        "macro_auroc": float(np.mean(list(rest.values()))),
        "log_loss": float(surprise(own).mean()) if len(own) else np.nan,
    }


def class_table(confusion: npt.ArrayLike, classes: Sequence[str]) -> dict[str, Floats]:
    """Turn flattened confusion counts (..., true x called) into accuracy, averages and each class's figures.

    A class without examples, or never called, has an undefined recall or precision, and so have the averages over it;
    f1 is defined as soon as the class was either there or called.
    """
    shape = (*np.shape(confusion)[:-1], len(classes), len(classes))
    counts = np.asarray(confusion, dtype=np.float64).reshape(shape)
    hits, support, called = np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)
    figures = {
        "precision": ratios(hits, called),
        "recall": ratios(hits, support),
        "f1": ratios(2 * hits, support + called),
    }
    table = {"accuracy": ratios(hits.sum(-1), support.sum(-1))}
    for name, each in figures.items():
        table[f"macro_{name}"] = each.mean(-1)
        # A class without examples has weight 0, whatever its undefined figure is.
        table[f"weighted_{name}"] = ratios(np.where(support > 0, each * support, 0).sum(-1), support.sum(-1))
    for number, label in enumerate(classes):
        table |= {f"{name}_{label}": each[..., number] for name, each in figures.items()}
        table[f"support_{label}"] = support[..., number]
    return table


def calibration_line(labels: Floats, p: Floats) -> tuple[float, float]:
    """Give the slope of a logistic regression of labels on logit(p), and the intercept with that slope held at 1."""
    fitted = logistic_fit(labels, p)
    return (fitted[1], calibration_in_the_large(labels, p)) if fitted else (np.nan, np.nan)


def logistic_fit(labels: Floats, p: Floats) -> tuple[float, float] | None:
    """Fit intercept and slope of the labels on logit(p) by Newton's method; None where no finite fit exists."""
    score = logits(p)
    if _separated(labels, score):
        return None
    centre, scale = score.mean(), score.std()
    design = np.stack([np.ones_like(score), (score - centre) / scale], axis=1)
    beta = np.array([special.logit(labels.mean()), 0.0])
    for _ in range(100):
        chance = special.expit(design @ beta)
        gradient = design.T @ (labels - chance)
        step = np.linalg.solve(design.T @ (design * (chance * (1 - chance))[:, None]), gradient)
        # A full Newton step can overshoot on nearly separated data; 4 logits at a time never does.
        beta = beta + step * min(1.0, 4 / max(np.abs(step).max(), 1e-300))
        if np.abs(step).max() < 1e-10:
            return float(beta[0] - beta[1] * centre / scale), float(beta[1] / scale)
    return None


def calibration_in_the_large(labels: Floats, p: Floats) -> float:
    """Give the shift of every logit that makes the mean probability equal the share of positives."""
    score, low, high = logits(p), -80.0, 80.0
    for _ in range(80):  # bisection: monotone, so it cannot fail, and 80 halvings exhaust double precision
        middle = (low + high) / 2
        low, high = (middle, high) if special.expit(score + middle).mean() < labels.mean() else (low, middle)
    return (low + high) / 2


def logits(p: Floats) -> Floats:
    """Turn probabilities into logits, with 0 and 1 moved to 1e-12 from the ends."""
    clipped = np.clip(p, 1e-12, 1 - 1e-12)
    return np.log(clipped) - np.log1p(-clipped)


def surprise(p: Floats) -> Floats:
    """Give -log(p) with scikit-learn's floor, so that one certain mistake is costly but finite."""
    return -np.log(np.clip(p, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps))


def ratio(part: float, whole: float) -> float:
    """Divide, or give NaN where there is nothing to divide by."""
    return part / whole if whole else np.nan


def ratios(part: Floats, whole: Floats) -> Floats:
    """Divide element by element, NaN where the whole is 0, without a warning."""
    filled = np.where(whole > 0, whole, 1.0)
    return np.where(whole > 0, part / filled, np.nan)


def probabilities(p: npt.ArrayLike) -> Floats:
    """Check that every value is a probability."""
    chance = _finite(p, "predictions")
    if ((chance < 0) | (chance > 1)).any():
        found = f"{chance.min():g} to {chance.max():g}"
        raise DataError(
            f"Probabilities must lie between 0 and 1; these go from {found}.", remedy="Apply the last activation."
        )
    return chance


def rows_of_probabilities(p: npt.ArrayLike, classes: int) -> Floats:
    """Check that every row holds one probability a class and that they sum to 1."""
    chance = probabilities(p)
    if chance.ndim != 2 or chance.shape[1] != classes:
        raise DataError(f"Expected {classes} probabilities a row, came an array of shape {chance.shape}.")
    off = np.abs(chance.sum(axis=1) - 1) > 1e-3
    if off.any():
        raise DataError(
            f"The probabilities of {int(off.sum())} rows do not sum to 1.", remedy="Apply softmax before this."
        )
    return chance


def class_numbers(labels: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Give each label's place among the classes."""
    number = {name: place for place, name in enumerate(classes)}
    strange = sorted({str(label) for label in labels} - set(number))
    if strange:
        raise DataError(
            f"Labels that are no class of the target: {five_of(strange)}.",
            remedy=f"The classes are {five_of(list(classes))}.",
        )
    return np.array([number[str(label)] for label in labels], dtype=np.int64)


def _one_against_the_rest(own: npt.NDArray[np.bool_], chance: Floats) -> float:
    return float(roc_auc_score(own, chance)) if own.any() and not own.all() else np.nan


def _separated(labels: Floats, score: Floats) -> bool:
    positive, negative = score[labels == 1], score[labels == 0]
    if not len(positive) or not len(negative) or np.ptp(score) < 1e-9:
        return True
    return bool(positive.min() >= negative.max() or positive.max() <= negative.min())


def _finite(values: npt.ArrayLike, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    bad = (
        np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
        if array.size
        else np.empty(0, dtype=int)
    )
    if len(bad):
        where = "rows " + five_of([str(row) for row in bad])
        raise DataError(
            f"{len(bad)} of {len(array)} {what} are no finite number.",
            where=where,
            remedy="Was the fit one that diverged?",
        )
    return array


def _same_length(labels: npt.NDArray[np.generic], predicted: npt.NDArray[np.generic]) -> None:
    if len(labels) != len(predicted):
        raise DataError(f"There are {len(labels)} labels but {len(predicted)} predictions.")
