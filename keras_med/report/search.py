"""A run's search.csv and its trials' histories to the search's part of the page: table, curves, heat map, sentences."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from keras_med.errors import DataError
from keras_med.report.contents import Contents, table
from keras_med.report.figures import MUTED, SERIES, Drawing, canvas, finish
from keras_med.report.wording import NOT_AVAILABLE, count, duration, finite, metric_name, number, several
from keras_med.runfolder import read_json

Values = dict[str, Any]
_MOST_CURVES = 12


def searched(contents: Contents) -> pd.DataFrame:
    """Return search.csv; empty for a run without a search."""
    file = contents.run.search
    return table(file).astype({"trial": str}) if file.is_file() else pd.DataFrame()


def search_drawings(contents: Contents) -> list[Drawing]:
    """Draw each round's validation losses over each other, and the metric over two settings."""
    rows = searched(contents)
    if rows.empty:
        return []
    heat = _heat_map(contents, rows)
    return [*_curves(contents, rows), *([heat] if heat else [])]


def search_section(contents: Contents, drawings: list[Drawing]) -> Values | None:
    """Every trial from best to worst, what was dropped and why, and what the winner's figure is worth."""
    rows = searched(contents)
    if rows.empty:
        return None
    settings, metrics = _settings(contents), _metrics(rows)
    columns = ["Rank", "Trial", *settings, *(metric_name(name) for name in metrics), "95 % interval", "Best minus this"]
    shown = [_row(row, settings, metrics) for _, row in rows.iterrows()]
    return {
        "sentences": _sentences(rows, settings, metrics),
        "columns": [*columns, "Round", "Fits", "Time", "Dropped"],
        "rows": shown,
        "drawings": drawings,
    }


def _settings(contents: Contents) -> list[str]:
    return list((contents.settings.get("winner") or {}).get("changes") or {})


def _metrics(rows: pd.DataFrame) -> list[str]:
    names = [str(name) for name in rows]
    return [name.removesuffix("_spread") for name in names if name.endswith("_spread")]


def _sentences(rows: pd.DataFrame, settings: list[str], metrics: list[str]) -> list[str]:
    best = rows.iloc[0]
    tried = ", ".join(f"{name} = {best[name]}" for name in settings)
    told = [f"The run trained with the best of {several(len(rows), 'trial')}, {best['trial']}: {tried}."]
    told.append(
        f"{metric_name(metrics[0])} below is that of the best of {len(rows)} on the data that chose it, so it "
        "flatters; the test split was never part of the search."
    )
    if str(best["beats_chance"]) != "True":
        told.append("No trial beat chance by its interval: the search chose among networks that learned nothing.")
    close = rows.loc[rows["distinguishable"].astype(str) == "no", "trial"]
    if len(close):
        told.append(f"Not distinguishable from the best (95 % interval of the difference): {', '.join(close)}.")
    failed = int((rows["status"] == "failed").sum())
    if failed:
        told.append(f"{several(failed, 'trial')} failed.")
    seconds = pd.to_numeric(rows["seconds"], errors="coerce").sum()
    told.append(f"The {count(int(rows['fits'].sum()))} fits listed took {duration(float(seconds))} of training.")
    return told


def _row(row: "pd.Series[Any]", settings: list[str], metrics: list[str]) -> tuple[str, ...]:
    values = []
    for name in metrics:
        spread = row.get(f"{name}_spread")
        values.append(number(row[name]) + (f" ± {number(spread)}" if finite(spread) else ""))
    return (
        str(row["rank"]),
        str(row["trial"]),
        *(str(row[name]) for name in settings),
        *values,
        _range(row["low"], row["high"]),
        f"{number(row['difference'])} ({_range(row['difference_low'], row['difference_high'])})"
        if finite(row["difference"])
        else NOT_AVAILABLE,
        str(row["round"]),
        str(row["fits"]),
        duration(row["seconds"]) if finite(row["seconds"]) else NOT_AVAILABLE,
        str(row["dropped"]) if isinstance(row["dropped"], str) else "",
    )


def _range(low: object, high: object) -> str:
    return f"{number(low)} to {number(high)}" if finite(low) and finite(high) else NOT_AVAILABLE


def _curves(contents: Contents, rows: pd.DataFrame) -> list[Drawing]:
    """Draw the mean validation loss of each trial's fits, a figure for each round."""
    try:
        entries = [entry for batch in read_json(contents.run.trials)["batches"] for entry in batch]
    except DataError:
        return []
    best = list(rows["trial"])
    made = []
    for round_ in sorted({entry["round"] for entry in entries}):
        mine = sorted((one for one in entries if one["round"] == round_), key=lambda one: best.index(one["trial"]))
        losses = {one["trial"]: _losses(contents, one["fits"]) for one in mine if one["status"] == "done"}
        kept = {trial: values for trial, values in losses.items() if len(values)}
        if kept:
            made.append(_round(kept, {one["trial"]: one["changes"] for one in mine}, round_ + 1))
    return made


def _losses(contents: Contents, fits: list[str]) -> pd.Series:
    parts = [table(contents.run.fit(name).history) for name in fits if contents.run.fit(name).history.is_file()]
    if not parts:
        return pd.Series(dtype=float)
    return pd.concat(parts).groupby("epoch")["validation_loss"].mean()


def _round(losses: dict[str, pd.Series], changes: dict[str, dict[str, Any]], round_: int) -> Drawing:
    with canvas() as figure:
        axes = figure.add_subplot()
        for place, (trial, values) in enumerate(list(losses.items())[:_MOST_CURVES]):
            label = f"{trial}: " + ", ".join(f"{value}" for value in changes[trial].values())
            style = "-" if place < len(SERIES) else (0, (3, 2))
            axes.plot(values.index, values, color=SERIES[place % len(SERIES)], linestyle=style, label=label)
        every = pd.concat(list(losses.values()))
        if every.min() > 0 and every.max() / every.min() > 20:
            axes.set_yscale("log")
        axes.set(xlabel="Epoch", ylabel="Validation loss")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.legend(fontsize=7.5)
    data = pd.concat([values.rename("value").reset_index().assign(trial=name) for name, values in losses.items()])
    told = "; ".join(f"{trial} ends at {number(values.iloc[-1])}" for trial, values in losses.items())
    caption = f"Validation loss of each trial in round {round_}, mean over its fits; the best trials first."
    alt = f"Learning curves of round {round_}. {told}."
    return finish(figure, f"search_round{round_}", caption=caption, alt=alt, data=data)


def _heat_map(contents: Contents, rows: pd.DataFrame) -> Drawing | None:
    """Draw the first metric over two settings that were listed; other searches have no such picture."""
    settings, metric = _settings(contents), _metrics(rows)[0]
    if len(settings) != 2:
        return None
    grid = rows.pivot_table(index=settings[1], columns=settings[0], values=metric, aggfunc="mean")
    if grid.empty or grid.size > 60 or grid.isna().to_numpy().mean() > 0.5:
        return None
    with canvas() as figure:
        axes = figure.add_subplot()
        shades = axes.pcolormesh(grid.to_numpy(dtype=np.float64), cmap="Blues", edgecolors="white", alpha=0.45)
        for (at, across), value in np.ndenumerate(grid.to_numpy(dtype=np.float64)):
            axes.text(across + 0.5, at + 0.5, number(value), ha="center", va="center", fontsize=9)
        axes.set_xticks(np.arange(len(grid.columns)) + 0.5, [str(value) for value in grid.columns])
        axes.set_yticks(np.arange(len(grid.index)) + 0.5, [str(value) for value in grid.index])
        axes.set(xlabel=settings[0], ylabel=settings[1])
        axes.grid(visible=False)
        figure.colorbar(shades, ax=axes, label=metric_name(metric)).outline.set_edgecolor(MUTED)
    columns = [(name, grid[name].to_dict()) for name in grid]
    told = "; ".join(f"{name} and {at}: {number(value)}" for name, cells in columns for at, value in cells.items())
    caption = f"{metric_name(metric)} of each combination."
    alt = f"{metric_name(metric)} over {settings[0]} and {settings[1]}. {told}."
    data = grid.reset_index().melt(id_vars=settings[1], var_name=settings[0], value_name=metric)
    return finish(figure, "search_heat_map", caption=caption, alt=alt, data=data)
