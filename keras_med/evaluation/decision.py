"""The exported network's predictions on examples it never saw to the threshold and the calibration that go with it.

The threshold is one of the network's own probabilities, before any calibration: both call the same cases positive.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from keras_med.data.copies import MARK
from keras_med.data.identifiers import label_text
from keras_med.errors import DataError
from keras_med.evaluation.calibration import (
    Calibration,
    Kind,
    calibrated,
    fit_slope_intercept,
    fit_temperature,
    fitting_arrays,
)
from keras_med.evaluation.intervals import FEWEST_OF_A_CLASS
from keras_med.evaluation.reading import class_labels, patients_of
from keras_med.evaluation.scores import score
from keras_med.evaluation.summary import Scoring, cases
from keras_med.evaluation.thresholds import Threshold, fewest_positive_patients, threshold_for_sensitivity
from keras_med.recipe.words import Evaluate, Recipe

Check = dict[str, str]
Priors = tuple[tuple[float, ...], tuple[float, ...]]

OUT_OF_FOLD = "out_of_fold"
_OF_MEMBERS = "That is of single members of the ensemble; what their mean reaches, the test alone can say."
_SHOWN = ("brier", "log_loss", "calibration_slope", "calibration_intercept")


@dataclass(frozen=True)
class Decision:
    """What goes with exactly one network.

    fit: the network's.
    part: of the data, on which all was chosen.
    threshold: None where none was asked for, or none can be promised.
    refusal: why a threshold that was asked for cannot be had, and what it takes.
    calibration: None where none can be fitted.
    uncalibrated: why not.
    priors: the classes' natural shares and those of training, where they differ.
    """

    fit: str
    part: str
    threshold: Threshold | None = None
    refusal: DataError | None = None
    calibration: Calibration | None = None
    uncalibrated: str = ""
    priors: Priors | None = None

    def scoring(self, scoring: Scoring) -> Scoring:
        """Return how predictions are scored with this threshold and judged with this calibration."""
        value = self.threshold.value if self.threshold else scoring.threshold
        return replace(scoring, threshold=value, calibration=self.calibration, owner=self.fit)

    def checks(self) -> list[Check]:
        """Return the check that stands where a threshold should."""
        if self.refusal is None:
            return []
        sentence = f"No threshold was chosen, so cases are called positive from 0.5 on. {self.refusal.what}"
        return [{"severity": "amber", "sentence": sentence, "remedy": self.refusal.remedy}]

    def to_json(self, effect: dict[str, Any]) -> dict[str, Any]:
        """Return what metrics.json says, with what calibration did to examples that chose nothing."""
        at = {"fit": self.fit, "part": self.part}
        told: dict[str, Any] = {"threshold": None, "calibration": None}
        if self.threshold is not None:
            told["threshold"] = asdict(self.threshold) | at
        elif self.refusal is not None:
            told["threshold"] = {"value": None, "sentence": self.refusal.what, "remedy": self.refusal.remedy} | at
        if self.calibration is not None:
            told["calibration"] = asdict(self.calibration) | at | {"priors": self.priors, **effect}
        elif self.uncalibrated:
            told["calibration"] = {"method": None, "sentence": self.uncalibrated} | at
        return told


def decide(
    unseen: pd.DataFrame, scoring: Scoring, recipe: Recipe, priors: Priors | None, *, fit: str = ""
) -> Decision | None:
    """Choose threshold and calibration; None for a regression, or where the network saw all that has a label.

    Args:
        unseen: the exported network's predictions of labelled examples that it did not train on, of one role; or, of an
            ensemble, each member's of its own fold: nothing but the test is unseen by all of them.
        priors: the classes' natural shares and those of training, where training changed them.
        fit: the exported network's, where the predictions are its members'.
    """
    if scoring.kind == "regression" or not len(unseen):
        return None
    fit, part = fit or str(unseen["fit"].iloc[0]), str(unseen["role"].iloc[0])
    unseen = cases(unseen, scoring)
    threshold, refusal = _threshold(unseen, scoring, recipe.evaluate)
    if threshold is not None and part == OUT_OF_FOLD:
        threshold = replace(threshold, sentence=f"{threshold.sentence} {_OF_MEMBERS}")
    # What combines a patient's probabilities bends them too: no change of the examples' prior undoes it.
    combined = scoring.case == "patient"
    bent = combined or recipe.train.loss == "focal" or recipe.train.label_smoothing > 0
    calibration, why = _calibration(unseen, scoring, priors, bent=bent)
    used = priors if calibration and calibration.method == "temperature" else None
    return Decision(fit, part, threshold, refusal, calibration, why, used)


def changed_priors(index: pd.DataFrame, splits: pd.DataFrame, fold: str, recipe: Recipe, scoring: Scoring) -> Any:
    """Return the classes' natural shares and those that a fold trained at; None where training is as they come.

    Balanced weights in the loss are as good as equal shares. Undersampling before the split changes the shares of all
    parts alike, so there is nothing to correct.
    """
    weighed = recipe.train.class_weight is not None
    if recipe.data.balance != "undersample" and not weighed:
        return None
    rows = splits[(splits["fold"] == fold) & ~splits["split"].isin(["test", "unlabelled"])]
    rows = rows[~rows["id"].str.endswith(MARK)]
    labels = rows["id"].map(index.set_index("id")["label"]).map(label_text)
    equal = (1 / len(scoring.classes),) * len(scoring.classes)
    return _shares(labels, scoring), equal if weighed else _shares(labels[rows["split"] == "train"], scoring)


def effect(predictions: pd.DataFrame, decision: Decision, scoring: Scoring) -> dict[str, Any]:
    """Return what calibration does to the probabilities of the test's cases: before and after."""
    rows = predictions[(predictions["role"] == "test") & (predictions["fit"] == decision.fit)]
    if decision.calibration is None or not len(rows) or scoring.kind == "regression":
        return {}
    rows = cases(rows, scoring)
    after = calibrated(rows, decision.calibration, kind=scoring.kind, classes=scoring.classes)
    tables = {"before": rows, "after": after}
    settings: dict[str, Any] = {"kind": scoring.kind, "seed": scoring.seed, "classes": scoring.classes}
    return {name: _shown(score(table, **settings)) for name, table in tables.items()}


def too_few(splits: pd.DataFrame, index: pd.DataFrame, fold: str | None, recipe: Recipe) -> list[str]:
    """Say before any training that the threshold asked for will not be had; nothing where it may."""
    wanted = recipe.evaluate
    if wanted.sensitivity is None or fold is None:
        return []
    part = unseen_part(recipe)
    own = splits["fold"].str.isdecimal() if part == OUT_OF_FOLD else splits["fold"] == fold
    rows = splits[own & (splits["split"] == part)]
    table = index.set_index("id").reindex(rows["id"])
    positive = table["label"].map(label_text) == label_text(getattr(recipe.target, "positive", None))
    if "patient" in table:
        table = table.assign(patient=table["patient"].replace("", None))
    found = patients_of(table[positive]).count
    needed = fewest_positive_patients(wanted.sensitivity, wanted.assurance)
    if found >= needed:
        return []
    return [
        f"no threshold can be promised: a sensitivity of {wanted.sensitivity:g} needs at least {needed} positive "
        f"patients in the {part} part, which has {found}"
    ]


def unseen_part(recipe: Recipe) -> str:
    """Name the part on which threshold and calibration are chosen: the exported network never trains on it.

    Of an ensemble these are the folds, each predicted by the one member that has not seen it.
    """
    if recipe.final is not None and recipe.final.ensemble:
        return OUT_OF_FOLD
    return "calibration" if recipe.final is not None else "validation"


def _threshold(unseen: pd.DataFrame, scoring: Scoring, wanted: Evaluate) -> tuple[Threshold | None, DataError | None]:
    if wanted.sensitivity is None or scoring.kind != "binary":
        return None, None
    try:
        found = threshold_for_sensitivity(
            unseen, wanted.sensitivity, classes=scoring.classes, assurance=wanted.assurance
        )
    except DataError as refused:
        return None, refused
    return found, None


def _calibration(
    unseen: pd.DataFrame, scoring: Scoring, priors: Priors | None, *, bent: bool
) -> tuple[Calibration | None, str]:
    """Fit the temperature, or slope and intercepts after a loss that bends probabilities; else say why not."""
    labels, patients = pd.Series(class_labels(unseen)), patients_of(unseen)
    names = [label_text(name) for name in scoring.classes]
    fewest = min(patients.among((labels == name).to_numpy()) for name in names)
    if fewest < FEWEST_OF_A_CLASS:
        return None, f"Not calibrated: a class has {fewest} patients to fit on, and {FEWEST_OF_A_CLASS} are needed."
    kind: Kind = "binary" if scoring.kind == "binary" else "classes"
    p, truth = fitting_arrays(unseen, kind=kind, classes=scoring.classes)
    natural, seen = priors or (None, None)
    try:
        found = fit_slope_intercept(p, truth) if bent else fit_temperature(p, truth, prior=natural, training_prior=seen)
    except DataError as refused:  # of a network that says the same of everything; the verdict tells of that
        return None, f"Not calibrated. {refused.what}"
    return (None, f"Not calibrated. {found.note}") if found.note else (found, "")


def _shares(labels: pd.Series, scoring: Scoring) -> tuple[float, ...]:
    shares = labels.value_counts(normalize=True)
    return tuple(float(shares.get(label_text(name), 0.0)) for name in scoring.classes)


def _shown(table: dict[str, Any]) -> dict[str, Any]:
    return {name: table[name] for name in _SHOWN if name in table}
