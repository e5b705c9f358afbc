"""Entries of trials to search.csv, one row a trial from best to worst; and a trial to a line on the screen."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from keras_med.search.ranking import FAILED, Figures, worth

Entry = Mapping[str, Any]


def search_table(entries: Sequence[Entry], metrics: Sequence[str], *, by_epochs: bool = False) -> pd.DataFrame:
    """Return each trial in the last round that it reached; those that came further are better.

    Args:
        by_epochs: a trial came as far as it was trained, as in Hyperband, whose brackets begin with different rounds.
    """
    last = {entry["trial"]: entry for entry in entries}
    rounds: dict[int, int] = {}
    for entry in entries:
        rounds[entry["round"]] = rounds.get(entry["round"], 0) + 1
    rows = []
    for entry in last.values():
        stage = int(entry["epochs"] or 0) if by_epochs else int(entry["round"])
        rows.append({"stage": stage, **_row(entry, metrics, rounds)})
    made = pd.DataFrame(rows).sort_values("stage", ascending=False, kind="stable")
    return _ranked(made, {trial: _worth(entry, metrics) for trial, entry in last.items()})


def with_gaps(made: pd.DataFrame, gaps: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Add the best trial's headline metric minus that of others of its round, and whether the interval excludes 0."""
    made = made.drop(columns="stage")
    for column, key in (("difference", "value"), ("difference_low", "low"), ("difference_high", "high")):
        made[column] = [gaps.get(trial, {}).get(key) for trial in made["trial"]]
    made["distinguishable"] = [_told_apart(gaps.get(trial)) for trial in made["trial"]]
    return made


def line(trial: str, changes: Mapping[str, Any], found: Figures, metric: str) -> str:
    """Say how a trial did."""
    bounds = f" ({found.low:.3f} to {found.high:.3f})" if found.low is not None else ""
    chance = "" if found.learned else ", no better than chance"
    return f"{trial}  {shown(changes)}: {metric} {found.values[metric]:.3f}{bounds}{chance}"


def shown(changes: Mapping[str, Any]) -> str:
    """Name what a trial tries; search.csv has all digits."""
    return ", ".join(f"{name}={short(value)}" for name, value in changes.items())


def short(value: object) -> str:
    """Write a value with as many digits as a person compares."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _row(entry: Entry, metrics: Sequence[str], rounds: Mapping[int, int]) -> dict[str, Any]:
    found = entry["figures"] or {"values": {}, "spread": {}, "low": None, "high": None, "learned": False}
    row: dict[str, Any] = {"rank": 0, "trial": entry["trial"], **entry["changes"], "fits": len(entry["fits"])}
    row |= {"round": entry["round"] + 1, "epochs": entry["epochs"], "status": entry["status"]}
    for name in metrics:
        row |= {name: found["values"].get(name), f"{name}_spread": found["spread"].get(name)}
    row |= {"low": found["low"], "high": found["high"], "beats_chance": found["learned"]}
    row |= {"dropped": _dropped(entry, rounds), "seconds": entry["seconds"]}
    return row


def _dropped(entry: Entry, rounds: Mapping[int, int]) -> str:
    if entry["status"] == "failed":
        return f"failed: {entry['why']}"
    if entry["round"] == max(rounds):
        return ""
    return f"after round {entry['round'] + 1}: rank {entry['rank']} of {rounds[entry['round']]}"


def _worth(entry: Entry, metrics: Sequence[str]) -> tuple[float, ...]:
    found = entry["figures"]
    return worth(found["values"], metrics, learned=found["learned"]) if found else FAILED


def _ranked(made: pd.DataFrame, worths: Mapping[str, tuple[float, ...]]) -> pd.DataFrame:
    ordered = sorted(made.index, key=lambda at: (-made["stage"][at], worths[made["trial"][at]], made["trial"][at]))
    made = made.loc[ordered].reset_index(drop=True)
    made["rank"] = range(1, len(made) + 1)
    return made


def _told_apart(gap: Mapping[str, Any] | None) -> str:
    if gap is None or gap.get("low") is None or gap.get("high") is None:
        return ""
    return "no" if gap["low"] <= 0 <= gap["high"] else "yes"
