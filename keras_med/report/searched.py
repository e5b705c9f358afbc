"""A run's search.csv, trials.json and its trials' histories to what the search's part is told and drawn from."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from keras_med.errors import DataError
from keras_med.report.contents import Contents, table
from keras_med.runfolder import read_json

Entry = dict[str, Any]  # of trials.json: a trial in one of its rounds


@dataclass(frozen=True)
class Searched:
    """What a search left.

    Attributes:
        rows: search.csv, the best trial first.
        entries: each trial in each of its rounds.
        settings: the names of what was tried.
        metrics: what was compared, the first one deciding.
    """

    contents: Contents
    rows: pd.DataFrame
    entries: tuple[Entry, ...]
    settings: tuple[str, ...]
    metrics: tuple[str, ...]

    @property
    def rounds(self) -> dict[int, list[Entry]]:
        """The entries of each round that has some, those of the best trials first."""
        best = {trial: place for place, trial in enumerate(self.rows["trial"])}
        ordered = sorted(self.entries, key=lambda entry: (entry["round"], best[entry["trial"]]))
        return {
            one: [entry for entry in ordered if entry["round"] == one] for one in sorted({e["round"] for e in ordered})
        }

    def histories(self, entry: Entry) -> list[pd.DataFrame]:
        """Return what is left of the histories of a trial's fits."""
        files = [self.contents.run.fit(name).history for name in entry["fits"]]
        return [table(file) for file in files if file.is_file()]

    def curves(self, entry: Entry) -> pd.DataFrame:
        """Return the mean history of a trial's fits, a row an epoch; empty where none is left."""
        parts = self.histories(entry)
        return pd.concat(parts).groupby("epoch").mean() if parts else pd.DataFrame()


def searched(contents: Contents) -> Searched | None:
    """Read a run's search; None for a run without one."""
    if not contents.run.search.is_file():
        return None
    rows = table(contents.run.search).astype({"trial": str})
    try:
        entries = tuple(entry for batch in read_json(contents.run.trials)["batches"] for entry in batch)
    except DataError:
        entries = ()
    settings = (contents.settings.get("winner") or {}).get("changes") or {}
    columns = [str(name) for name in rows]
    metrics = [name.removesuffix("_spread") for name in columns if name.endswith("_spread")]
    return Searched(contents, rows, entries, tuple(settings), tuple(metrics))


def short(value: object) -> str:
    """Write a setting or a figure with as many digits as a person compares."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
