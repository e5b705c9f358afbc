"""A search's trials to event files: `tensorboard --logdir` shows them as curves, and as a table in its HParams view."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from keras_med import runfolder
from keras_med.runfolder import RunFolder
from keras_med.training.event_files import event, scalar

_NO_CURVE = ("epoch", "seconds")


def write(run: RunFolder, entries: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> None:
    """Write a folder for each trial that ended, with the last round that it reached, in place of an earlier one."""
    last = {entry["trial"]: entry for entry in entries if entry["status"] == "done"}

    def fill(folder: Path) -> None:
        for trial, entry in last.items():
            _write_trial(folder / trial, entry, _curves(run, entry["fits"]), metrics)

    runfolder.write_atomically(run.tensorboard, fill)


def _curves(run: RunFolder, fits: Sequence[str]) -> pd.DataFrame:
    """Return the mean history of some fits, a row an epoch."""
    return pd.concat([pd.read_csv(run.fit(name).history) for name in fits]).groupby("epoch").mean()


def _write_trial(folder: Path, entry: Mapping[str, Any], curves: pd.DataFrame, metrics: Sequence[str]) -> None:
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True)
    tried = {name: _value(value) for name, value in entry["changes"].items()}
    with (folder / "events.out.tfevents.search").open("wb") as stream:
        writer = RecordWriter(stream)
        writer.write(event(file_version="brain.Event:2"))
        writer.write(event(summary=hparams_pb(tried, trial_id=entry["trial"])))
        for tag, step, value in _scalars(entry, curves, metrics):
            writer.write(event(step=step, summary=scalar(tag, value)))


def _scalars(
    entry: Mapping[str, Any], curves: pd.DataFrame, metrics: Sequence[str]
) -> Iterator[tuple[str, int, float]]:
    for column in curves.columns.difference(list(_NO_CURVE)):
        for step, value in zip(curves.index.to_numpy(int), curves[column].to_numpy(float), strict=True):
            yield f"curves/{column}", int(step), float(value)
    compared = {name: entry["figures"]["values"].get(name) for name in metrics}
    for name, value in compared.items():
        if value is not None:
            yield f"search/{name}", len(curves), float(value)


def _value(value: object) -> bool | float | str:
    """Return a setting as the view can hold it."""
    return value if isinstance(value, bool | int | float | str) else str(value)
