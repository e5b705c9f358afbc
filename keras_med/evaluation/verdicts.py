"""Test predictions and the training constant to one of four verdicts and its sentence."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from keras_med.evaluation.comparisons import improvement, log_loss_improvement
from keras_med.evaluation.intervals import FEWEST_OF_A_CLASS, FEWEST_PATIENTS
from keras_med.evaluation.reading import binary_arrays, class_arrays, patients_of
from keras_med.evaluation.scores import Entry, Kind, score

Name = Literal["LEARNED", "FAILED TO LEARN", "DID NOT GENERALISE", "TOO FEW CASES TO SAY"]

WORTH_HAVING = 0.1  # an interval that still allows so large a gain (a tenth) has not shown that there is none

SENTENCES: dict[tuple[str, str], str] = {
    (
        "LEARNED",
        "regression",
    ): "On cases held back from training the predictions are closer to the truth than the training constant.",
    ("LEARNED", "classification"): (
        "On cases held back from training the network ranks better than chance and its probabilities beat the "
        "training prevalence."
    ),
    ("LEARNED", "calibrated"): (
        "On cases held back from training the network ranks better than chance; its own probabilities do not beat the "
        "training prevalence, its calibrated ones do."
    ),
    ("LEARNED", "uncalibrated"): (
        "On cases held back from training the network ranks better than chance, but its probabilities do not beat "
        "the training prevalence: calibrate them before anyone reads them as chances."
    ),
    ("FAILED TO LEARN", ""): "The network does no better than a constant that never looks at an image.",
    ("DID NOT GENERALISE", ""): (
        "The network beats the training constant on the validation patients but not on the test patients."
    ),
    ("TOO FEW CASES TO SAY", "patients"): (
        f"The test has fewer than {FEWEST_PATIENTS} patients: no interval would keep its promise."
    ),
    ("TOO FEW CASES TO SAY", "class"): (
        f"A class has fewer than {FEWEST_OF_A_CLASS} patients in the test: its figures rest on single cases."
    ),
    ("TOO FEW CASES TO SAY", "wide"): (
        "The interval holds both no gain over the training constant and a worthwhile one: more test patients are "
        "needed."
    ),
}


@dataclass(frozen=True)
class Verdict:
    """What a run may claim.

    Attributes:
        name: one of the four.
        sentence: from the fixed list, without figures.
        figures: what it rests on, as entries of metrics.json: gain over the training constant, and AUROC.
    """

    name: Name
    sentence: str
    figures: dict[str, Entry] = field(default_factory=dict)


def verdict(
    test: pd.DataFrame,
    training_constant: float | Sequence[float],
    *,
    kind: Kind,
    seed: int,
    classes: Sequence[object] = (),
    validation: pd.DataFrame | None = None,
    calibrated: pd.DataFrame | None = None,
) -> Verdict:
    """Judge a network on test predictions against the training constant, paired over patients.

    Args:
        training_constant: for regression the value that a constant predictor would give (the training labels' mean);
            for classes their shares in training, in the order of `classes`; for a binary target the share of the
            positive (last) class.
        validation: without it, a network that fails on the test is said to have failed to learn.
        calibrated: the test with the probabilities that its export's calibration gives, where it has one. They rank
            alike, so they can only mend what the network's own fail at: beating the training constant.
    """
    lacking = _lacking(test, kind, classes)
    if lacking:
        return _say("TOO FEW CASES TO SAY", lacking)
    figures = _figures(test, training_constant, kind, classes, seed)
    outcome = _outcome(figures)
    if outcome == "learned":
        return _say("LEARNED", "regression" if kind == "regression" else "classification", figures)
    if outcome == "ranks":
        mended = {} if calibrated is None else _figures(calibrated, training_constant, kind, classes, seed)
        figures |= {f"calibrated_{name}": each for name, each in mended.items() if name == "log_loss_gain"}
        return _say("LEARNED", "calibrated" if mended and _outcome(mended) == "learned" else "uncalibrated", figures)
    if validation is not None and not _lacking(validation, kind, classes):
        before = _figures(validation, training_constant, kind, classes, seed)
        if _outcome(before) in ("learned", "ranks") and (outcome == "failed" or _fell(before, figures)):
            seen = {f"validation_{name}": each for name, each in before.items()}
            return _say("DID NOT GENERALISE", "", figures | seen)
    if outcome == "wide":
        return _say("TOO FEW CASES TO SAY", "wide", figures)
    return _say("FAILED TO LEARN", "", figures)


def _lacking(predictions: pd.DataFrame, kind: Kind, classes: Sequence[object]) -> str:
    patients = patients_of(predictions)
    if patients.count < FEWEST_PATIENTS:
        return "patients"
    if kind == "regression":
        return ""
    if kind == "binary":
        truth = binary_arrays(predictions, classes)[0].astype(np.int64)
    else:
        truth = class_arrays(predictions, classes)[0]
    number = 2 if kind == "binary" else len(classes)
    return "class" if min(patients.among(truth == each) for each in range(number)) < FEWEST_OF_A_CLASS else ""


def _figures(
    predictions: pd.DataFrame, constant: float | Sequence[float], kind: Kind, classes: Sequence[object], seed: int
) -> dict[str, Entry]:
    if kind == "regression":
        return {"mae_gain": improvement(predictions, float(np.asarray(constant)), seed=seed)}
    table = score(predictions, kind=kind, classes=classes, seed=seed)
    if kind == "binary":
        positive = float(np.asarray(constant).ravel()[-1])
        gain = log_loss_improvement(predictions, (1 - positive, positive), classes=classes, seed=seed, kind="binary")
        return {"log_loss_gain": gain, "auroc": table["auroc"]}
    gain = log_loss_improvement(predictions, list(np.asarray(constant)), classes=classes, seed=seed, kind="classes")
    return {"log_loss_gain": gain, "auroc": table["macro_auroc"]}


def _outcome(figures: dict[str, Entry]) -> Literal["learned", "ranks", "wide", "failed"]:
    """Read the intervals: what they show, what they leave open, what they rule out."""
    gain = figures["mae_gain"] if "mae_gain" in figures else figures["log_loss_gain"]
    better = _above(gain, 0.0)
    if "auroc" not in figures:
        return "learned" if better else "wide" if _allows(gain, WORTH_HAVING) else "failed"
    area = figures["auroc"]
    if _above(area, 0.5):
        return "learned" if better else "ranks"
    return "wide" if _allows(area, 0.5 + WORTH_HAVING) else "failed"


def _fell(before: dict[str, Entry], after: dict[str, Entry]) -> bool:
    """Tell whether the test's whole interval lies below the validation's."""
    main = "auroc" if "auroc" in before else "mae_gain"
    low, high = before[main]["low"], after[main]["high"]
    return isinstance(low, float) and isinstance(high, float) and high < low


def _above(figure: Entry, floor: float) -> bool:
    low = figure["low"]
    return isinstance(low, float) and low > floor


def _allows(figure: Entry, gain: float) -> bool:
    high = figure["high"]
    return isinstance(high, float) and high >= gain


def _say(name: Name, case: str, figures: dict[str, Entry] | None = None) -> Verdict:
    return Verdict(name, SENTENCES[name, case], figures or {})
