"""A run's search.csv and trials.json to the search's part of the page: its sentences and its table."""

from typing import Any

import pandas as pd

from keras_med.report.contents import Contents
from keras_med.report.figures import Drawing
from keras_med.report.searched import Searched, searched, short
from keras_med.report.wording import NOT_AVAILABLE, duration, finite, metric_name, number, several

Values = dict[str, Any]


def search_section(contents: Contents, drawings: list[Drawing]) -> Values | None:
    """Every trial from best to worst, what was dropped and why, and what the winner's figure is worth."""
    found = searched(contents)
    if found is None:
        return None
    names = [*found.settings, *(metric_name(name) for name in found.metrics)]
    return {
        "sentences": [*_sentences(found), *_spent(found)],
        "columns": ["Rank", "Trial", *names, "95 % interval", "Best minus this", "Round", "Fits", "Time", "Dropped"],
        "rows": [_row(row, found) for _, row in found.rows.iterrows()],
        "drawings": drawings,
    }


def _sentences(found: Searched) -> list[str]:
    rows = found.rows
    best = rows.iloc[0]
    tried = ", ".join(f"{name} = {short(best[name])}" for name in found.settings)
    told = [f"The run trained with the best of {several(len(rows), 'trial')}, {best['trial']}: {tried}."]
    told.append(
        f"{metric_name(found.metrics[0])} below is that of the best of {len(rows)} on the data that chose it, so it "
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
    return told


def _spent(found: Searched) -> list[str]:
    """Say what each round cost."""
    told = []
    for round_, entries in found.rounds.items():
        done = [entry for entry in entries if entry["status"] == "done"]
        fits = sum(len(entry["fits"]) for entry in done)
        epochs = sum(len(history) for entry in done for history in found.histories(entry))
        seconds = sum(entry["seconds"] for entry in done)
        told.append(
            f"Round {round_ + 1}: {several(len(entries), 'trial')}, {several(fits, 'fit')}, "
            f"{several(epochs, 'epoch')}, {duration(seconds)} of training."
        )
    return told


def _row(row: "pd.Series[Any]", found: Searched) -> tuple[str, ...]:
    values = []
    for name in found.metrics:
        spread = row.get(f"{name}_spread")
        values.append(number(row[name]) + (f" ± {number(spread)}" if finite(spread) else ""))
    return (
        str(row["rank"]),
        str(row["trial"]),
        *(short(row[name]) for name in found.settings),
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
