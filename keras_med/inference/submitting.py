"""predictions.csv and a challenge's sample file to submission.csv beside them."""

from pathlib import Path

import pandas as pd

from keras_med.data.identifiers import label_text
from keras_med.errors import DataError, RecipeError, five_of
from keras_med.evaluation.submission import read_sample, submission
from keras_med.runfolder import write_csv

NAME = "submission.csv"


def check(sample: Path, out: Path) -> None:
    """Refuse a sample that cannot be filled before anything is predicted."""
    read_sample(sample)
    made = out.with_name(NAME)
    if made.exists() and made.samefile(sample):
        raise RecipeError("The submission would overwrite its sample.", where=str(sample), remedy="Name another --out.")


def submit(table: Path, sample: Path) -> Path:
    """Write the sample's rows with the predictions; its keys are file names without suffix, or rows of one stack."""
    rows = pd.read_csv(table, dtype={"path": str, "reason": str}, keep_default_na=False, na_values={"row": [""]})
    rows = rows[rows["reason"] == ""]
    stack = rows["row"].notna().all() and rows["path"].nunique() == 1
    ids = [label_text(row) for row in rows["row"]] if stack else [Path(path).stem for path in rows["path"]]
    known = pd.Series(ids, dtype=str)
    if known.duplicated().any():
        twice = five_of(sorted(known[known.duplicated()].unique()))
        raise DataError(f"Several predictions have one name: {twice}.", where=str(table), remedy="Rename the files.")
    columns = [name for name in rows if name == "predicted" or str(name).startswith("p_")]
    numbers = rows[columns].apply(pd.to_numeric).assign(id=ids)
    made = table.with_name(NAME)
    write_csv(made, submission(numbers, read_sample(sample), str(sample)))
    return made
