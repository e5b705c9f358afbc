"""Further columns of the index to the headline figure in each of their groups."""

import pandas as pd

from keras_med.errors import DataError
from keras_med.evaluation.scores import score
from keras_med.evaluation.summary import cases
from keras_med.report.contents import Contents
from keras_med.report.scored import Scored, scoring_of
from keras_med.report.wording import count, finite, interval, number

# What the program itself puts into the table, and what names a person or a file.
RESERVED = {
    "id", "path", "label", "labelled", "row", "patient", "study", "series", "position", "split", "fold", "group",
    "array", "array_row", "pixel_hash", "flip_hash", "perceptual_hash", "mean", "deviation", "minimum", "maximum",
    "width", "height", "channels", "bits", "burned_in", "stack",
}  # fmt: skip
MOST_COLUMNS, MOST_GROUPS = 4, 8
RESAMPLES = 1000
METRICS = {"regression": "mae", "binary": "auroc", "classes": "accuracy"}


def subgroups(contents: Contents, found: Scored) -> list[tuple[str, ...]]:
    """Give a row for each value of each column with two to eight values: its count and its figure with the interval."""
    index = contents.index
    if found.why or "id" not in index or contents.target.kind not in METRICS:
        return []
    table = index.drop_duplicates("id").set_index("id")
    rows: list[tuple[str, ...]] = []
    columns = [name for name in table.columns if name not in RESERVED and 2 <= table[name].nunique() <= MOST_GROUPS]
    for column in columns[:MOST_COLUMNS]:
        values = found.rows["id"].map(table[column])
        for value in sorted(values.dropna().unique(), key=str):
            rows.append((str(column), str(value), *_figure(contents, found.rows[values == value])))
    return rows


def _figure(contents: Contents, rows: pd.DataFrame) -> tuple[str, str]:
    target, metric = contents.target, METRICS[contents.target.kind]
    scoring = scoring_of(contents)
    classes = (target.positive,) if target.kind == "binary" else target.classes
    try:
        rows = cases(rows, scoring)
        table = score(rows, kind=target.kind, seed=scoring.seed, unit=target.unit, classes=classes, resamples=RESAMPLES)
    except DataError as error:
        return count(len(rows)), error.what
    entry = table[metric]
    span = interval(entry) if finite(entry["low"]) else str(entry.get("reason") or "no interval")
    return count(len(rows)), f"{number(entry['value'], str(entry['unit']))} ({span})"
