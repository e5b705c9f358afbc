"""Histories to event files, which `tensorboard --logdir` shows as curves; TensorFlow is not needed to write them."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_FILE = "events.out.tfevents.keras_med"
_NO_CURVE = ("epoch", "seconds")


def begin(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """Write a fit's file anew, with the epochs that its checkpoint remembers."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _FILE).open("wb") as stream:
        _write(stream, [event(file_version="brain.Event:2")])
    for row in history:
        add(folder, row)


def add(folder: Path, row: Mapping[str, float]) -> None:
    """Append an epoch; TensorBoard, which reads on where it stopped, shows it at once."""
    epoch = int(row["epoch"])
    curves = {name: value for name, value in row.items() if name not in _NO_CURVE}
    with (folder / _FILE).open("ab") as stream:
        _write(stream, [event(step=epoch, summary=scalar(f"curves/{name}", value)) for name, value in curves.items()])


def event(**content: Any) -> bytes:
    """Return one record of an event file, of this moment."""
    from tensorboard.compat.proto.event_pb2 import Event

    return bytes(Event(wall_time=time.time(), **content).SerializeToString())


def scalar(tag: str, value: float) -> Any:
    """Return the summary that shows a number under a name."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, simple_value=value)])


def _write(stream: Any, events: Sequence[bytes]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    writer = RecordWriter(stream)
    for one in events:
        writer.write(one)
