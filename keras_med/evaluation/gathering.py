"""The fits' predictions and a run's tables to one scored table, its training labels, and the count of test uses."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from keras_med.data.copies import MARK
from keras_med.errors import DataError
from keras_med.evaluation.aggregation import patient_labels
from keras_med.evaluation.summary import Scoring


def gathered(files: Mapping[str, Path]) -> pd.DataFrame:
    """Put the predictions of fits together; labels and ids stay text."""
    parts = []
    for fit, file in files.items():
        part = read(file)
        if set(part["fit"]) - {fit}:
            raise DataError(
                "The predictions are those of another fit.", where=str(file), remedy="Delete that fit's folder."
            )
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def read(file: Path) -> pd.DataFrame:
    """Read predictions; labels and ids stay text."""
    return pd.read_csv(file, dtype={"id": str, "label": str, "fit": str}, keep_default_na=False)


def with_patients(predictions: pd.DataFrame, index: pd.DataFrame) -> pd.DataFrame:
    """Add the patient of each row, where the table knows patients."""
    if "patient" not in index or not index["patient"].astype(bool).any():
        return predictions
    known = index.set_index("id")["patient"].replace("", None)
    return predictions.assign(patient=predictions["id"].map(known))


def labels_of(
    index: pd.DataFrame, splits: pd.DataFrame, fold: str, *, undersampled: bool, scoring: Scoring
) -> pd.Series:
    """Return the labels of a fold's training side, one a case, as they came: with those that undersampling left out."""
    fewer = (splits["split"] == "unused") & ~splits["id"].str.endswith(MARK)
    used = (splits["split"] == "train") | fewer if undersampled else splits["split"] == "train"
    rows = index.set_index("id").reindex(splits.loc[(splits["fold"] == fold) & used, "id"])
    if scoring.case == "patient" and scoring.kind == "binary" and "patient" in rows:
        return patient_labels(rows, scoring.classes[-1])
    return rows["label"]


def count_test_use(file: Path, splits: pd.DataFrame, fold: str, run: str) -> int:
    """Note that a run has scored its test split, and return how many runs have scored the same one.

    A run that resumes counts once.
    """
    ids = sorted(splits.loc[(splits["fold"] == fold) & (splits["split"] == "test"), "id"])
    identity = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
    uses = pd.read_csv(file, dtype=str) if file.is_file() else pd.DataFrame(columns=["when", "run", "test"])
    if not ((uses["run"] == run) & (uses["test"] == identity)).any():
        line = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ},{run},{identity}\n"
        with file.open("a", encoding="utf-8") as opened:  # one short write: two runs may end at the same time
            opened.write(line if opened.tell() else "when,run,test\n" + line)
        return int((uses["test"] == identity).sum()) + 1
    return int((uses["test"] == identity).sum())
