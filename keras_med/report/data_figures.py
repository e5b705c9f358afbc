"""Labels and splits to histograms for each part of the data."""

import numpy as np
import pandas as pd

from keras_med.data.identifiers import label_text
from keras_med.report.contents import Contents
from keras_med.report.figures import ACCENT, GRID, MUTED, Drawing, canvas, finish
from keras_med.report.wording import count, split_name

ORDER = ("train", "validation", "watched", "test")
MOST_CLASSES = 20
AGES = ("age", "patientage", "patient_age")


def parts_of(contents: Contents) -> pd.DataFrame:
    """Join labels to the split of one fold (the final network's, else the first): id, label, split."""
    index, splits = contents.labelled, contents.splits
    if not {"id", "label"} <= set(index.columns):
        return pd.DataFrame(columns=["id", "label", "split"])
    if not {"id", "split"} <= set(splits.columns):
        return index[["id", "label"]].assign(split="all")
    rows = splits[splits["fold"] == shown_fold(splits)] if "fold" in splits else splits
    rows = pd.concat([rows, splits[splits["split"] == "test"]]).drop_duplicates("id")
    return index[["id", "label"]].merge(rows[["id", "split"]], on="id")


def shown_fold(splits: pd.DataFrame) -> str:
    """Return the fold that histograms show."""
    folds = sorted(splits["fold"].dropna().unique())
    return "final" if "final" in folds else str(folds[0]) if folds else ""


def data_histograms(contents: Contents) -> list[Drawing]:
    """Draw the labels, and the patients' ages where the table knows them, in each part of the data."""
    rows = parts_of(contents).dropna(subset=["label", "split"])
    if not len(rows):
        return []
    regression = contents.target.kind == "regression"
    counts = _binned(rows) if regression else _per_class(rows, contents.target.classes)
    made = [_histograms("labels", counts, _axis(contents), "Labels in each part of the data.")]
    ages = _ages(contents, rows)
    if len(ages):
        made.append(_histograms("ages", _binned(ages), "Age (years)", "Ages in each part of the data."))
    return [drawing for drawing in made if drawing]


def _histograms(name: str, counts: pd.DataFrame, axis: str, caption: str) -> Drawing | None:
    """Draw one panel a part, under one another on the same axis; None where there is nothing, or too much to show."""
    counts.columns = counts.columns.astype(str)
    names = [part for part in ORDER if part in counts] + [str(part) for part in counts if part not in ORDER]
    names = [part for part in names if counts[part].sum()]
    if not names or len(counts) > 4 * MOST_CLASSES:
        return None
    with canvas(max(2.4, 0.6 + 0.85 * len(names))) as figure:
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for axes, part in zip(panels, names, strict=True):
            axes.bar(np.arange(len(counts)), counts[part], width=0.86, color=ACCENT, alpha=0.8, linewidth=0)
            axes.set_title(f"{split_name(part)}  n {count(counts[part].sum())}", color=MUTED, pad=3, fontsize=8)
            axes.grid(visible=False, axis="x")
            axes.spines["bottom"].set_color(GRID)
            axes.locator_params(axis="y", nbins=3, integer=True)
        step = max(1, len(counts) // 8)
        panels[-1].set_xticks(np.arange(len(counts))[::step], list(counts.index)[::step])
        panels[-1].set_xlabel(axis)
    told = "; ".join(f"{split_name(part)} {count(counts[part].sum())}" for part in names)
    return finish(
        figure,
        name,
        caption=caption,
        alt=f"Histograms. {caption} Examples: {told}.",
        data=counts.rename_axis(name.removesuffix("s")).reset_index(),
    )


def _ages(contents: Contents, rows: pd.DataFrame) -> pd.DataFrame:
    """Put each example's age in the label's place; nothing without a column of ages, or where the label is one."""
    columns = [name for name in contents.index if str(name).lower() in AGES]
    if not columns or contents.target.unit == "years":
        return rows.head(0)
    known = contents.index.drop_duplicates("id").set_index("id")[columns[0]]
    return rows.assign(label=years(rows["id"].map(known))).dropna(subset=["label"])


def years(ages: pd.Series) -> pd.Series:
    """Read ages: numbers, or DICOM's 063Y, 011M, 002W, 010D; what is neither is missing."""
    parts = ages.astype(str).str.extract(r"^(\d{3})([YMWD])$")
    written = pd.to_numeric(parts[0]) / parts[1].map({"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25})
    return written.fillna(pd.to_numeric(ages, errors="coerce"))


def _binned(rows: pd.DataFrame) -> pd.DataFrame:
    labels = pd.to_numeric(rows["label"], errors="coerce")
    labels, splits = labels[labels.notna()], rows["split"][labels.notna()]
    edges = np.histogram_bin_edges(labels, bins=min(24, max(4, int(np.sqrt(len(labels))))))
    if np.ptp(labels) > 8:  # whole numbers as edges where the range allows it: ages
        width = max(1, int(np.ceil(np.ptp(labels) / 24)))
        edges = np.arange(np.floor(labels.min() / width) * width, labels.max() + width, width)
    places = np.clip(np.digitize(labels, edges) - 1, 0, len(edges) - 2)
    counts = pd.crosstab(places, splits).reindex(range(len(edges) - 1), fill_value=0)
    counts.index = pd.Index([f"{edge:g}" for edge in edges[:-1]])
    return counts


def _per_class(rows: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    counts = pd.crosstab(rows["label"].map(label_text), rows["split"])
    known = [name for name in classes if name in counts.index]
    return counts.reindex([*known, *(name for name in counts.index if name not in known)])


def _axis(contents: Contents) -> str:
    return f"Label ({contents.target.unit})" if contents.target.unit else "Label"
