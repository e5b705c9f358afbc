"""Labels and splits to histograms for each part of the data."""

import numpy as np
import pandas as pd

from keras_med.data.identifiers import label_text
from keras_med.report.contents import Contents
from keras_med.report.figures import ACCENT, GRID, MUTED, Drawing, canvas, finish
from keras_med.report.wording import count, split_name

ORDER = ("train", "validation", "watched", "test")
MOST_CLASSES = 20


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


def label_histograms(contents: Contents) -> Drawing | None:
    """Draw the labels of each part, one panel under another on the same axis; None without labels."""
    rows = parts_of(contents).dropna(subset=["label", "split"])
    if not len(rows):
        return None
    counts = _binned(rows) if contents.target.kind == "regression" else _per_class(rows, contents.target.classes)
    counts.columns = counts.columns.astype(str)
    names = [name for name in ORDER if name in counts] + [str(name) for name in counts if name not in ORDER]
    names = [name for name in names if counts[name].sum()]
    if not names or len(counts) > 4 * MOST_CLASSES:
        return None
    with canvas(max(2.4, 0.6 + 0.85 * len(names))) as figure:
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for axes, name in zip(panels, names, strict=True):
            axes.bar(np.arange(len(counts)), counts[name], width=0.86, color=ACCENT, alpha=0.8, linewidth=0)
            axes.set_title(f"{split_name(name)}  n {count(counts[name].sum())}", color=MUTED, pad=3, fontsize=8)
            axes.grid(visible=False, axis="x")
            axes.spines["bottom"].set_color(GRID)
            axes.locator_params(axis="y", nbins=3, integer=True)
        step = max(1, len(counts) // 8)
        panels[-1].set_xticks(np.arange(len(counts))[::step], list(counts.index)[::step])
        panels[-1].set_xlabel(_axis(contents))
    told = "; ".join(f"{split_name(name)} {count(counts[name].sum())}" for name in names)
    return finish(
        figure,
        "labels",
        caption="Labels in each part of the data.",
        alt=f"Histograms of the labels. Examples: {told}.",
        data=counts.rename_axis("label").reset_index(),
    )


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
