"""Predictions of slices to predictions of patients, by a stated rule."""

from typing import Literal

import pandas as pd

from keras_med.data.identifiers import label_text
from keras_med.errors import DataError, RecipeError, five_of

Combine = Literal["mean", "max"]

RULES = {
    "mean": "the mean of a patient's predictions",
    "max": "the highest of a patient's predictions",
}


def aggregate(
    predictions: pd.DataFrame,
    *,
    unit: Literal["example", "patient"] = "patient",
    combine: Combine = "mean",
    positive: object = None,
) -> pd.DataFrame:
    """Give one row a patient: id and patient are the patient, `examples` counts the rows it was made of.

    With `positive`, the target is binary and a patient is positive when any of its examples is; otherwise the
    examples of one patient must bear one label. 'max' is for binary targets and p_<positive> alone.
    """
    if unit == "example":
        return predictions.copy()
    if combine not in RULES:
        raise RecipeError(f"No rule to combine: {combine!r}.", remedy=f"It is one of {', '.join(RULES)}.")
    if "patient" not in predictions or predictions["patient"].isna().any():
        raise DataError(
            "Some predictions belong to no patient.",
            remedy='Give the table a patient column, or Evaluate(unit="example").',
        )
    scores = [name for name in predictions.columns if name == "predicted" or str(name).startswith("p_")]
    if combine == "max" and (positive is None or len(scores) != 1):
        raise RecipeError(
            "combine='max' is for a binary target: the highest of several classes is no distribution.",
            remedy="Take combine='mean'.",
        )
    grouped = predictions.groupby("patient", sort=False)
    table = grouped[scores].agg(combine)
    if "label" in predictions:
        table.insert(0, "label", patient_labels(predictions, positive))
    table["examples"] = grouped.size()
    for name in ("role", "fit", "split"):
        if name in predictions and (grouped[name].nunique() == 1).all():
            table[name] = grouped[name].first()
    table = table.reset_index()
    table.insert(0, "id", table["patient"].astype(str))
    return table


def patient_labels(predictions: pd.DataFrame, positive: object = None) -> pd.Series:
    """Give each patient's label: the positive one where any of its examples has it, else the one that all bear."""
    grouped = predictions.groupby("patient", sort=False)["label"]
    if positive is not None:
        hit = predictions["label"].map(label_text) == label_text(positive)
        first_of_all = grouped.first()
        # A positive patient's label is the positive one, whichever slice came first; a negative one has a single label.
        sick = hit.groupby(predictions["patient"], sort=False).any()
        return first_of_all.where(~sick, predictions.loc[hit, "label"].iloc[0] if hit.any() else positive)
    torn = grouped.nunique(dropna=False) > 1
    if torn.any():
        places = [
            str(place) for place in torn.to_numpy().nonzero()[0]
        ]  # places, for a patient's name is nobody's to print
        raise DataError(
            f"{int(torn.sum())} patients bear several labels.",
            where=f"Patients number {five_of(places)} of the table, counted from 0.",
            remedy='Score examples, Evaluate(unit="example"), or mend the labels.',
        )
    return grouped.first()
