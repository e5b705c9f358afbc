"""The headline split's rows of predictions.csv, checked to be those that metrics.json speaks of."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_med.data.identifiers import label_text
from keras_med.errors import DataError
from keras_med.evaluation.summary import Scoring, cases
from keras_med.report.contents import Contents
from keras_med.report.wording import count, finite, number

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """Predictions that figures may be drawn from.

    Attributes:
        split: the headline's split.
        rows: id, fit, label and predicted or p_<class>; empty where `why` is set; patient where the index knows it.
        truth: labels: numbers for regression, else places among the classes (binary: 1 is positive).
        p: predicted values (n,), probabilities of the positive class (n,), or of all classes (n, classes).
        why: the sentence that stands where the figures would.
        case: what a row is: an example, or a patient.
    """

    split: str
    rows: pd.DataFrame
    truth: Floats
    p: Floats
    why: str = ""
    case: str = "example"

    def chances(self) -> tuple[Floats, Floats]:
        """Return what a classifier gives chances of, and those: the positive class, or being right."""
        if self.p.ndim == 1:
            return self.truth, self.p
        return (self.p.argmax(axis=1) == self.truth).astype(np.float64), self.p.max(axis=1)

    def patients(self) -> npt.NDArray[np.int64]:
        """Number the patients; a row whose patient is unknown stands for itself."""
        if "patient" not in self.rows:
            return np.arange(len(self.rows))
        codes, names = pd.factorize(self.rows["patient"])
        unknown = codes < 0
        return np.where(unknown, len(names) + np.cumsum(unknown) - 1, codes).astype(np.int64)


def headline_split(contents: Contents) -> str:
    """Return the split that the headline speaks of, or the best that was scored."""
    named = (contents.metrics.get("headline") or {}).get("split")
    splits = contents.metrics.get("splits") or {}
    order = [named, "test", "out_of_fold", "validation", *splits]
    return next((str(name) for name in order if name in splits), str(named or "test"))


def scored(contents: Contents) -> Scored:
    """Take the headline split's rows, or say why no figure can be drawn from them."""
    split = headline_split(contents)
    predictions, target = contents.predictions, contents.target
    if not len(predictions):
        return _nothing(split, "There are no predictions to draw.")
    columns = _columns(contents)
    lacking = [name for name in ("id", "role", "label", *columns) if name not in predictions]
    if lacking:
        return _nothing(split, f"predictions.csv has no column {lacking[0]!r}, so no figure can be drawn from it.")
    rows = predictions[(predictions["role"] == split) & predictions["label"].notna()].reset_index(drop=True)
    if not len(rows):
        return _nothing(split, f"predictions.csv has no labelled row of the {split.replace('_', ' ')} split.")
    p = rows[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    truth = _truth(rows["label"], target.kind, target.classes)
    bad = int((~np.isfinite(p).all(axis=1) | ~np.isfinite(truth)).sum())
    if bad:
        return _nothing(
            split, f"{count(bad)} of {count(len(rows))} predictions or labels are no finite number; none is drawn."
        )
    if {"id", "patient"} <= set(contents.index.columns):
        known = contents.index.drop_duplicates("id").set_index("id")["patient"]
        rows = rows.assign(patient=rows["id"].map(known)) if known.notna().any() else rows
    return Scored(split, rows, truth, p if target.kind == "classes" else p[:, 0])


def scoring_of(contents: Contents) -> Scoring:
    """Return how the run was scored."""
    target, seed = contents.target, int(contents.settings.get("seed") or 0)
    unit, combine = contents.case, contents.chosen("evaluate.combine", "mean")
    return Scoring(target.kind, target.unit, target.classes, seed, unit, combine)


def judged(contents: Contents, found: Scored) -> Scored:
    """Give the cases that metrics.json speaks of: the examples, or patients, who are numbered and never named."""
    if found.why or contents.case == "example":
        return found
    try:
        rows = cases(found.rows, scoring_of(contents)).reset_index(drop=True)
    except DataError as error:
        return replace(_nothing(found.split, error.what), case=contents.case)
    rows = rows.assign(id=[f"patient {number + 1}" for number in rows.index])
    p = rows[_columns(contents)].to_numpy(dtype=np.float64)
    truth = _truth(rows["label"], contents.target.kind, contents.target.classes)
    return replace(found, rows=rows, truth=truth, p=p if contents.target.kind == "classes" else p[:, 0], case="patient")


def disagreement(contents: Contents, found: Scored) -> str:
    """Say where predictions.csv and metrics.json are not of one run; empty when they agree."""
    found = judged(contents, found)
    if found.why:
        return ""
    entries = (contents.metrics.get("splits") or {}).get(found.split) or {}
    name = {"regression": "mae", "binary": "brier", "classes": "accuracy"}[contents.target.kind]
    entry = entries.get(name) or {}
    if finite(entry.get("n")) and entry["n"] != len(found.rows):
        counted = f"metrics.json counts {count(entry['n'])} {found.case}s in the {found.split} split"
        return f"{counted}, predictions.csv {count(len(found.rows))}."
    value = _plain_metric(found, name)
    if finite(entry.get("value")) and abs(entry["value"] - value) > 1e-6 * max(1.0, abs(value)):
        return f"metrics.json says {name} {number(entry['value'])}; predictions.csv gives {number(value)}."
    return ""


def _plain_metric(found: Scored, name: str) -> float:
    if name == "mae":
        return float(np.abs(found.p - found.truth).mean())
    if name == "brier":
        return float(((found.p - found.truth) ** 2).mean())
    return float((found.p.argmax(axis=1) == found.truth).mean())


def _columns(contents: Contents) -> list[str]:
    target = contents.target
    if target.kind == "regression":
        return ["predicted"]
    return [f"p_{target.positive}"] if target.kind == "binary" else [f"p_{name}" for name in target.classes]


def _truth(labels: pd.Series, kind: str, classes: tuple[str, ...]) -> Floats:
    if kind == "regression":
        return pd.to_numeric(labels, errors="coerce").to_numpy(dtype=np.float64)
    names = labels.map(label_text)
    if kind == "binary":
        return np.asarray(names == classes[-1], dtype=np.float64)
    return np.asarray(names.map({name: place for place, name in enumerate(classes)}), dtype=np.float64)


def _nothing(split: str, why: str) -> Scored:
    return Scored(split, pd.DataFrame(), np.empty(0), np.empty(0), why)
