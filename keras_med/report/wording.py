"""Names and numbers of metrics to the words and digits that a reader sees."""

import math
import re
from numbers import Real
from typing import Any, TypeGuard

Entry = dict[str, Any]

NAMES = {
    "mae": "Mean absolute error",
    "rmse": "Root mean squared error",
    "r2": "R²",
    "bias": "Bias (predicted minus true)",
    "limit_low": "Lower limit of agreement",
    "limit_high": "Upper limit of agreement",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision (PPV)",
    "npv": "Negative predictive value",
    "accuracy": "Accuracy",
    "f1": "F1",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
    "macro_auroc": "AUROC, mean over classes",
}
SPLITS = {
    "test": "Test",
    "out_of_fold": "Out of fold",
    "validation": "Validation",
    "train": "Training",
    "watched": "Watched",
    "calibration": "Calibration",
    "unlabelled": "Unlabelled",
    "blocks": "Blocks of files",
}
ABOUT = {
    "test": "Set aside before training and scored after it.",
    "out_of_fold": "Each example predicted by the network that did not train on its fold; describes the procedure.",
    "validation": "Used to choose the best epoch, so it flatters.",
    "blocks": "Patients are not known: another network, tested on whole runs of consecutive files; pessimistic.",
}
PER_CLASS = re.compile(r"^(precision|recall|f1|support|auroc)_(.+)$")
DECADE = re.compile(r"^mae_(-?\d+)_to_(-?\d+)$")
BY_CLASS_TABLE = re.compile(r"^(precision|recall|f1|support|auroc|macro|weighted)_")
NOT_AVAILABLE = "–"


def metric_name(name: str) -> str:
    """Write a metric's name in words."""
    if name in NAMES:
        return NAMES[name]
    decade = DECADE.match(name)
    if decade:
        return f"MAE, {decade[1]} to {decade[2]}"
    average = re.match(r"^(macro|weighted)_(\w+)$", name)
    if average:
        return f"{average[2].capitalize()}, {average[1]} average"
    one = PER_CLASS.match(name)
    return f"{NAMES.get(one[1], one[1].capitalize())}, {one[2]}" if one else name.replace("_", " ").capitalize()


def split_name(name: str) -> str:
    """Write a split's name in words."""
    return SPLITS.get(name, name.replace("_", " ").capitalize())


def finite(value: object) -> TypeGuard[float]:
    """Tell whether a value is a number that can be printed."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def number(value: object, unit: str = "") -> str:
    """Write a number: three decimals for what has no unit, two with one, fewer for large ones, a true minus."""
    if not finite(value):
        return NOT_AVAILABLE
    size = abs(value)
    decimals = 0 if size >= 1000 else 1 if size >= 100 else 2 if unit or size >= 10 else 3
    return f"{value:.{decimals}f}".replace("-", "\u2212")


def short(value: float) -> str:
    """Write a number for a caption: one decimal, none where it is whole."""
    return f"{value:.1f}".removesuffix(".0").replace("-", "\u2212")


def interval(entry: Entry) -> str:
    """Write a 95 % interval, or a dash."""
    if not (finite(entry.get("low")) and finite(entry.get("high"))):
        return NOT_AVAILABLE
    unit = str(entry.get("unit") or "")
    return f"{number(entry['low'], unit)} to {number(entry['high'], unit)}"


def percent(share: object) -> str:
    """Write a share as whole percent."""
    return f"{round(share * 100)}\u00a0%".replace("-", "\u2212") if finite(share) else NOT_AVAILABLE  # -0 is 0


def count(value: object) -> str:
    """Write a count with narrow spaces between the thousands."""
    return f"{int(value):,}".replace(",", "\u202f") if finite(value) else NOT_AVAILABLE


def several(amount: int, one: str, more: str = "") -> str:
    """Write a count and its noun."""
    return f"{count(amount)} {one if amount == 1 else more or one + 's'}"


def duration(seconds: object) -> str:
    """Write seconds as a person would say them."""
    if not finite(seconds):
        return NOT_AVAILABLE
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def gain_sentence(gain: Entry, metric: str) -> str:
    """Say by which share the loss lies below that of predicting the training constant: the MAE, or the log loss."""
    if not finite(gain.get("value")):
        return f"Against the training constant: not available, {gain['reason']}." if gain.get("reason") else ""
    better = gain["value"] >= 0
    said = "lower" if better else "higher"
    span = ""
    if finite(gain.get("low")) and finite(gain.get("high")):
        span = f" (95 % interval of the gain: {percent(gain['low'])} to {percent(gain['high'])})"
    loss = "mean absolute error" if metric == "mae" else "log loss"
    share = percent(abs(gain["value"]))
    return f"{loss.capitalize()} {share} {said} than always predicting the training constant{span}."
