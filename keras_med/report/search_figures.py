"""A search to its figures: each round's curves over each other, two settings as a heat map, more as parallel lines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from keras_med.report.contents import Contents
from keras_med.report.figures import HEIGHT, MUTED, SERIES, Drawing, canvas, finish
from keras_med.report.searched import Entry, Searched, searched, short
from keras_med.report.wording import metric_name, number

_MOST_CURVES = 12
_FOLLOWED = ("loss", "sensitivity", "macro_recall", "precision", "macro_precision", "accuracy", "mae")
_FAR = 20.0  # between the largest and the smallest value, beyond which an axis is logarithmic


def search_drawings(contents: Contents) -> list[Drawing]:
    """Draw what was followed epoch by epoch in each round, and the first metric over the settings."""
    found = searched(contents)
    if found is None:
        return []
    drawn = [drawing for round_, entries in found.rounds.items() for drawing in _round(found, entries, round_ + 1)]
    over = _heat_map(found) if len(found.settings) == 2 else _parallel(found) if len(found.settings) > 2 else None
    return [*drawn, *([over] if over else [])]


def _round(found: Searched, entries: Sequence[Entry], round_: int) -> list[Drawing]:
    """Draw a figure for each thing that all trials of a round followed."""
    curves = {entry["trial"]: found.curves(entry) for entry in entries if entry["status"] == "done"}
    curves = {trial: values for trial, values in curves.items() if len(values)}
    changes = {entry["trial"]: entry["changes"] for entry in entries}
    made = []
    for name in _FOLLOWED:
        columns = {
            trial: values[f"validation_{name}"] for trial, values in curves.items() if f"validation_{name}" in values
        }
        if columns:
            made.append(_curves(columns, changes, round_, name))
    return made


def _curves(
    columns: Mapping[str, pd.Series], changes: Mapping[str, Mapping[str, Any]], round_: int, name: str
) -> Drawing:
    with canvas() as figure:
        axes = figure.add_subplot()
        for place, (trial, values) in enumerate(list(columns.items())[:_MOST_CURVES]):
            label = f"{trial}: " + ", ".join(short(value) for value in changes[trial].values())
            style = "-" if place < len(SERIES) else (0, (3, 2))
            axes.plot(values.index, values, color=SERIES[place % len(SERIES)], linestyle=style, label=label)
        if name == "loss" and _is_far(pd.concat(list(columns.values()))):
            axes.set_yscale("log")
        axes.set(xlabel="Epoch", ylabel=f"Validation {_called(name)}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.legend(fontsize=7.5)
    data = pd.concat([values.rename("value").reset_index().assign(trial=trial) for trial, values in columns.items()])
    ends = "; ".join(f"{trial} ends at {number(values.iloc[-1])}" for trial, values in columns.items())
    return finish(
        figure,
        f"search_round{round_}_{name}",
        caption=f"Validation {_called(name)} in round {round_}, mean over fits; the best trials first.{_at_half(name)}",
        alt=f"Validation {_called(name)} in round {round_}. {ends}.",
        data=data,
    )


def _called(name: str) -> str:
    return metric_name(name) if metric_name(name).isupper() else metric_name(name)[:1].lower() + metric_name(name)[1:]


def _at_half(name: str) -> str:
    return (
        " Decided at p = 0.5, so not what the trials are compared by." if name in ("sensitivity", "precision") else ""
    )


def _heat_map(found: Searched) -> Drawing | None:
    """Draw the first metric over two settings that were listed; other searches have no such picture."""
    metric, (across, down) = found.metrics[0], found.settings
    grid = found.rows.pivot_table(index=down, columns=across, values=metric, aggfunc="mean")
    if grid.empty or grid.size > 60 or grid.isna().to_numpy().mean() > 0.5:
        return None
    with canvas() as figure:
        axes = figure.add_subplot()
        shades = axes.pcolormesh(grid.to_numpy(dtype=np.float64), cmap="Blues", edgecolors="white", alpha=0.45)
        for (at, along), value in np.ndenumerate(grid.to_numpy(dtype=np.float64)):
            axes.text(along + 0.5, at + 0.5, number(value), ha="center", va="center", fontsize=9)
        axes.set_xticks(np.arange(len(grid.columns)) + 0.5, [str(value) for value in grid.columns])
        axes.set_yticks(np.arange(len(grid.index)) + 0.5, [str(value) for value in grid.index])
        axes.set(xlabel=across, ylabel=down)
        axes.grid(visible=False)
        figure.colorbar(shades, ax=axes, label=metric_name(metric)).outline.set_edgecolor(MUTED)
    cells = [(one, other, value) for one, column in grid.items() for other, value in column.items()]
    told = "; ".join(f"{one} and {other}: {number(value)}" for one, other, value in cells)
    caption = f"{metric_name(metric)} of each combination."
    alt = f"{metric_name(metric)} over {across} and {down}. {told}."
    data = grid.reset_index().melt(id_vars=down, var_name=across, value_name=metric)
    return finish(figure, "search_heat_map", caption=caption, alt=alt, data=data)


def _parallel(found: Searched) -> Drawing | None:
    """Draw each trial as a line through its settings to the first metric, the three best in colour."""
    metric = found.metrics[0]
    rows = found.rows[pd.to_numeric(found.rows[metric], errors="coerce").notna()]
    if len(rows) < 2:
        return None
    names = [*found.settings, metric]
    scaled = {name: _scale(rows[name]) for name in names}
    with canvas(HEIGHT * 1.15) as figure:
        axes = figure.add_subplot()
        for place in reversed(range(len(rows))):
            style: dict[str, Any] = {"color": MUTED, "alpha": 0.35, "linewidth": 0.9}
            if place < 3:
                style = {"color": SERIES[place], "linewidth": 2.0, "label": str(rows["trial"].iloc[place])}
            axes.plot(range(len(names)), [scaled[name][0][place] for name in names], **style)
        for at, name in enumerate(names):
            for height, text in scaled[name][1]:
                axes.text(at, height, text, fontsize=7.5, ha="center", va="center", bbox=_PAPER)
        axes.set_xticks(
            range(len(names)), [name.removeprefix("train.") for name in found.settings] + [metric_name(metric)]
        )
        axes.tick_params(axis="x", labelrotation=20)
        axes.set(yticks=[], ylim=(-0.08, 1.08))
        axes.grid(visible=False)
        handles = axes.get_legend_handles_labels()[0][::-1]  # drawn last, to lie above the others
        axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    told = "; ".join(
        f"{row['trial']}: {', '.join(short(row[name]) for name in names)}" for _, row in rows.head(5).iterrows()
    )
    caption = f"Each trial's settings and {metric_name(metric)}, lowest values below; the best three in colour."
    return finish(
        figure,
        "search_parallel",
        caption=caption,
        alt=f"Trials over {', '.join(names)}. {told}.",
        data=rows[["trial", *names]],
    )


_PAPER = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1.0}


def _scale(values: pd.Series) -> tuple[list[float], list[tuple[float, str]]]:
    """Return each value's height between 0 and 1, and the heights that are named."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any() or values.nunique() < 2:
        texts = values.astype(str)
        listed = list(dict.fromkeys(texts))
        heights = {text: place / max(1, len(listed) - 1) for place, text in enumerate(listed)}
        return [heights[text] for text in texts], [(height, text) for text, height in heights.items()]
    drawn = np.log(numbers) if _is_far(numbers) else numbers
    low, high = float(drawn.min()), float(drawn.max())
    ends = [(0.0, short(numbers.min())), (1.0, short(numbers.max()))]
    return [(float(value) - low) / (high - low) for value in drawn], ends


def _is_far(values: pd.Series) -> bool:
    return bool(values.min() > 0 and values.max() / values.min() > _FAR)
