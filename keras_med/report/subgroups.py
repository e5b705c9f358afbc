"""Further columns of the index to the headline figure in each of their groups."""

import pandas as pd

from keras_med.evaluation.scores import score
from keras_med.report.contents import Contents
from keras_med.report.scored import Scored
from keras_med.report.wording import count, interval, number

# What the program itself puts into the table, and what names a person or a file.
RESERVED = {
    "id", "path", "label", "row", "patient", "study", "series", "position", "split", "fold", "group", "array", "array_row",
    "pixel_hash", "flip_hash", "perceptual_hash", "mean", "deviation", "minimum", "maximum", "width", "height", "channels",
    "bits", "burned_in",
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
    seed = int(contents.settings.get("seed") or 0)
    entry = score(rows, kind=target.kind, seed=seed, unit=target.unit, classes=target.classes, resamples=RESAMPLES)[
        metric
    ]  # type: ignore[arg-type]
    unit = target.unit if target.kind == "regression" else ""
    value, span = number(entry["value"], unit), interval(entry)
    return count(len(rows)), f"{value} ({span})" if entry[
        "low"
    ] is not None else f"{value} ({entry.get('reason') or 'no interval'})"
