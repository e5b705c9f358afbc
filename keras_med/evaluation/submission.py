"""Predictions of unlabelled examples to a submission in the form of the challenge's own sample."""

from pathlib import Path

import pandas as pd

from keras_med import runfolder
from keras_med.data.dataset import UNLABELLED
from keras_med.errors import DataError, five_of
from keras_med.evaluation import gathering
from keras_med.runfolder import RunFolder


def write(run: RunFolder, sample: Path) -> int:
    """Write submission.csv from what a run predicted of unlabelled examples, and return how many; 0 where none are."""
    predictions = gathering.read(run.predictions)
    predictions = predictions[predictions["role"] == UNLABELLED]
    if predictions.empty:
        return 0
    made = submission_like(sample, predictions)
    runfolder.write_csv(run.submission, made)
    return len(made)


def submission_like(file: Path, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the submission in the form of a challenge's sample file."""
    return submission(predictions, read_sample(file), str(file))


def read_sample(file: Path) -> pd.DataFrame:
    """Read a challenge's sample file: the key column, and the column to be filled."""
    if not file.is_file():
        raise DataError("The sample submission is absent.", where=str(file), remedy="Set data.submission to its name.")
    try:
        return _two_columns(pd.read_csv(file, dtype={0: str}), str(file))
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError):
        raise DataError("The sample submission is no UTF-8 CSV.", where=str(file)) from None


def submission(predictions: pd.DataFrame, sample: pd.DataFrame, where: str = "") -> pd.DataFrame:
    """Return the sample's rows, in its order, with the predictions in its second column.

    Args:
        predictions: id, and predicted or one p_<class>.
        sample: the key column first, then the column to be filled; keys are compared as text, leading zeros aside.
        where: the sample's file, for errors.
    """
    key, filled = _two_columns(sample, where).columns
    column = _predicted_column(predictions)
    values = pd.Series(predictions[column].to_numpy(float), index=_keys(predictions["id"]))
    wanted = _keys(sample[key])
    absent = [name for name in wanted if name not in values.index]
    if absent:
        what = f"{len(absent)} rows of the sample submission have no prediction: {five_of(absent)}."
        raise DataError(what, where=where, remedy="Are all their files there, and readable? The others have a reason.")
    return pd.DataFrame({key: sample[key].to_numpy(), filled: values[wanted].to_numpy()})


def _two_columns(sample: pd.DataFrame, where: str) -> pd.DataFrame:
    if sample.shape[1] != 2:
        found = ", ".join(map(str, sample.columns))
        raise DataError(f"A sample submission has two columns; this one has {found}.", where=where)
    return sample


def _keys(ids: pd.Series) -> pd.Index:
    """Compare 7, "7" and "000007" as the same id."""
    texts = ids.astype(str).str.strip()
    numbers = texts.str.fullmatch(r"\d+")
    return pd.Index(texts.where(~numbers, texts.str.lstrip("0").replace("", "0")))


def _predicted_column(predictions: pd.DataFrame) -> str:
    columns = [name for name in predictions if name == "predicted" or str(name).startswith("p_")]
    if len(columns) != 1:
        raise DataError(f"A submission needs one predicted number a row; the predictions have {len(columns)}.")
    return str(columns[0])
