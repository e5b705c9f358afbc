"""Predictions tables to checked arrays: labels, predictions and which patient each row is of."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from keras_med.data.identifiers import label_text
from keras_med.errors import DataError, five_of
from keras_med.evaluation.metrics import Floats, class_numbers, probabilities, rows_of_probabilities
from keras_med.evaluation.weighted import Codes, Patients


def patients_of(predictions: pd.DataFrame) -> Patients:
    """Number the patients of a table; a row whose patient is not known stands for itself."""
    rows = len(predictions)
    if "patient" not in predictions:
        return Patients(np.arange(rows), rows, known=False)
    codes, names = pd.factorize(predictions["patient"])
    unknown = codes < 0
    codes = np.where(unknown, len(names) + np.cumsum(unknown) - 1, codes)
    return Patients(codes.astype(np.int64), len(names) + int(unknown.sum()), known=bool(len(names)))


def regression_arrays(predictions: pd.DataFrame) -> tuple[Floats, Floats]:
    """Give labels and predictions."""
    return numbers(predictions, "label"), numbers(predictions, "predicted")


def binary_arrays(predictions: pd.DataFrame, classes: Sequence[object]) -> tuple[Floats, Floats]:
    """Give 0 or 1 for each label and the probability of 1; the last class is the positive one."""
    labels, positive = class_labels(predictions), label_text(classes[-1])
    if len(classes) == 2:
        class_numbers(labels, [label_text(name) for name in classes])
    elif len(set(labels) - {positive}) > 1:
        raise DataError(
            f"A binary target has two labels; besides {positive!r} came {five_of(sorted(set(labels) - {positive}))}."
        )
    truth = np.array([label == positive for label in labels], dtype=np.float64)
    return truth, probabilities(numbers(predictions, f"p_{positive}"))


def class_arrays(predictions: pd.DataFrame, classes: Sequence[object]) -> tuple[Codes, Floats]:
    """Give each label's place among the classes, and one column of probabilities a class."""
    names = [label_text(name) for name in classes]
    truth = class_numbers(class_labels(predictions), names)
    p = np.stack([numbers(predictions, f"p_{name}") for name in names], axis=1)
    return truth, rows_of_probabilities(p, len(names))


def numbers(predictions: pd.DataFrame, column: str) -> Floats:
    """Read a column as finite numbers."""
    if column not in predictions:
        raise DataError(
            f"The predictions have no column {column!r}.", where=f"They have {five_of(list(predictions.columns))}."
        )
    values = pd.to_numeric(predictions[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        where = "rows " + five_of([str(row) for row in bad])
        remedy = "Only labelled examples can be scored." if column == "label" else "Look whether the fit diverged."
        raise DataError(
            f"{len(bad)} of {len(values)} values of {column!r} are no finite number.", where=where, remedy=remedy
        )
    return values


def class_labels(predictions: pd.DataFrame) -> list[str]:
    """Read the labels as text, in which 1, 1.0, True and '1' are one class."""
    if "label" not in predictions:
        raise DataError("The predictions have no column 'label'.", remedy="Only labelled examples can be scored.")
    missing = int(predictions["label"].isna().sum())
    if missing:
        raise DataError(
            f"{missing} of {len(predictions)} examples have no label.", remedy="Only labelled examples can be scored."
        )
    return [label_text(label) for label in predictions["label"]]
