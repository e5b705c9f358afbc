"""All fits' predictions to what metrics.json says: figures for each split, the headline, the gain and the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from keras_med.evaluation.aggregation import aggregate
from keras_med.evaluation.calibration import Calibration, calibrated
from keras_med.evaluation.comparisons import improvement, log_loss_improvement
from keras_med.evaluation.reading import patients_of
from keras_med.evaluation.repeats import repeated
from keras_med.evaluation.scores import Kind, described, score
from keras_med.evaluation.verdicts import verdict

HEADLINE = {"regression": "mae", "binary": "auroc", "classes": "macro_auroc"}


@dataclass(frozen=True)
class Scoring:
    """How predictions are scored.

    kind: of the target.
    unit: of a regression's label.
    classes: as the target names them; of a binary target the positive one alone.
    seed: of the bootstrap.
    case: what one case is, an example or a patient.
    combine: how the predictions of one patient become one.
    threshold: p from which a binary case is called positive, by the network that `owner` names.
    calibration: of the same network's probabilities; figures are of its own ones, whatever this is.
    owner: the fit that both were chosen for; all others call from 0.5 on.
    """

    kind: Kind
    unit: str
    classes: Sequence[object]
    seed: int
    case: Literal["example", "patient"] = "example"
    combine: Literal["mean", "max"] = "mean"
    threshold: float = 0.5
    calibration: Calibration | None = None
    owner: str = ""

    def threshold_for(self, rows: pd.DataFrame) -> float:
        """Return the threshold at which these rows are called: the owner's for rows that it alone predicted."""
        return self.threshold if set(rows["fit"]) == {self.owner} else 0.5

    def calibrated(self, rows: pd.DataFrame) -> pd.DataFrame | None:
        """Return the rows with calibrated probabilities; None where they are another network's, or have none."""
        if self.calibration is None or self.kind == "regression" or set(rows["fit"]) != {self.owner}:
            return None
        return calibrated(rows, self.calibration, kind=self.kind, classes=self.classes)


def summarise(predictions: pd.DataFrame, training_labels: Mapping[str, pd.Series], scoring: Scoring) -> dict[str, Any]:
    """Return splits, headline, gain over the constant and verdict.

    Args:
        predictions: predictions.csv of all fits, with a `patient` column where patients are known.
        training_labels: of each fit; its constant predictor comes from them.
    """
    predictions = cases(predictions, scoring)
    splits = {
        role: _scored(predictions[predictions["role"] == role], scoring)
        for role in ("test", "out_of_fold", "validation", "blocks")
        if (predictions["role"] == role).any()
    }
    place = headline_role(predictions)
    if place is None:
        return {"splits": {}, "headline": None, "improvement": None, "verdict": None}
    rows = predictions[predictions["role"] == place]
    constant = _constant(pd.concat([training_labels[fit] for fit in rows["fit"].unique()]), scoring)
    watched = predictions[(predictions["role"] == "validation") & predictions["fit"].isin(rows["fit"].unique())]
    if not len(watched):  # of an ensemble, which has no such part of its own
        watched = predictions[predictions["role"] == "out_of_fold"]
    judged = verdict(
        rows,
        constant,
        kind=scoring.kind,
        seed=scoring.seed,
        classes=scoring.classes,
        validation=watched if len(watched) and place == "test" else None,
        calibrated=scoring.calibrated(rows) if place == "test" else None,
    )
    return {
        "splits": splits,
        "headline": {"split": place, "metric": HEADLINE[scoring.kind]},
        "improvement": _gain(rows, constant, scoring),
        "constant": constant,
        "verdict": {"name": judged.name, "sentence": judged.sentence, "figures": judged.figures},
        "folds": fold_figures(predictions, scoring),
        "repeats": _repeats(predictions, list(splits), scoring),
    }


def _repeats(predictions: pd.DataFrame, places: Sequence[str], scoring: Scoring) -> dict[str, Any]:
    """Return the mean over networks of several seeds for each part that several have predicted."""
    found = {
        place: repeated(
            predictions, place, kind=scoring.kind, seed=scoring.seed, unit=scoring.unit, classes=scoring.classes
        )
        for place in places
    }
    return {place: figures for place, figures in found.items() if figures is not None}


def headline_role(predictions: pd.DataFrame) -> str | None:
    """Name the part that a run is judged by: the test split, else the folds, else the validation part."""
    return next((role for role in ("test", "out_of_fold", "validation") if (predictions["role"] == role).any()), None)


def cases(predictions: pd.DataFrame, scoring: Scoring) -> pd.DataFrame:
    """Return one row a case: the examples themselves, or each fit's patients in each of its roles."""
    if scoring.case == "example":
        return predictions
    positive = scoring.classes[-1] if scoring.kind == "binary" else None
    parts = [
        aggregate(part, unit="patient", combine=scoring.combine, positive=positive).assign(fit=str(fit), role=str(role))
        for (fit, role), part in predictions.groupby(["fit", "role"], sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def fold_figures(predictions: pd.DataFrame, scoring: Scoring) -> dict[str, Any] | None:
    """Return the headline metric of each fold, their mean and deviation; None without folds."""
    rows = predictions[predictions["role"] == "out_of_fold"]
    if rows.empty:
        return None
    name = HEADLINE[scoring.kind]
    values = {str(fit): _value(part, name, scoring) for fit, part in rows.groupby("fit")}
    known = pd.Series([value for value in values.values() if value == value], dtype=float)
    deviation = float(known.std(ddof=1)) if len(known) > 1 else None
    return {"metric": name, "values": values, "mean": float(known.mean()), "deviation": deviation}


def _value(rows: pd.DataFrame, name: str, scoring: Scoring) -> float:
    patients = patients_of(rows)
    return described(rows, patients, kind=scoring.kind, unit=scoring.unit, classes=scoring.classes).values[name]


def _scored(rows: pd.DataFrame, scoring: Scoring) -> dict[str, Any]:
    told = score(
        rows,
        kind=scoring.kind,
        seed=scoring.seed,
        unit=scoring.unit,
        classes=scoring.classes,
        threshold=scoring.threshold_for(rows),
    )
    return dict(told)


def _constant(labels: pd.Series, scoring: Scoring) -> Any:
    """Return what a predictor that never looks at an image would say: the mean, or the shares of the classes."""
    if scoring.kind == "regression":
        return float(pd.to_numeric(labels).mean())
    shares = labels.astype(str).value_counts(normalize=True)
    if scoring.kind == "binary":
        return float(shares.get(str(scoring.classes[-1]), 0.0))
    return [float(shares.get(str(name), 0.0)) for name in scoring.classes]


def _gain(rows: pd.DataFrame, constant: Any, scoring: Scoring) -> dict[str, Any]:
    if scoring.kind == "regression":
        return dict(improvement(rows, constant, seed=scoring.seed))
    shares = [1 - constant, constant] if scoring.kind == "binary" else constant
    return dict(log_loss_improvement(rows, shares, kind=scoring.kind, classes=scoring.classes, seed=scoring.seed))
