"""The server's side of its reading processes: an idle one takes the next files, a dead or slow one is replaced."""

import multiprocessing
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from keras_med.data.pixels import unpack
from keras_med.data.shards import CRASHED, image_settings
from keras_med.jobs.local import start_method
from keras_med.recipe.words import Image
from keras_med.serving import reader
from keras_med.serving.sent import Unit

SLOW = "Reading it takes more than {:.0f} s. Leave it out, or give it to python -m keras_med.predict."


@dataclass(frozen=True)
class Read:
    """One picture as the network takes it, or the reason why there is none."""

    row: int | None
    pixels: np.ndarray | None
    reason: str = ""
    modality: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What the page draws: its description and its values as bytes."""

    told: dict[str, Any]
    content: bytes


class Readers:
    """A few processes that read; safe to be called from many threads."""

    def __init__(self, image: Image, *, count: int, seconds: float = 60.0) -> None:
        self._image = image_settings(image)
        self._seconds = seconds
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        self._all: set[_Process] = set()
        self._lock = threading.Lock()
        for _ in range(count):
            self._idle.put(self._started())

    def read(self, unit: Unit, *, view: bool = False) -> tuple[list[Read], Seen | None]:
        """Read one unit; never raises for what a file does.

        Args:
            view: also return what the page shows of its last row.
        """
        if unit.reason:
            return [Read(None, None, unit.reason)], None
        process = self._idle.get()
        try:
            answer, arrays = process.ask(unit, view, self._seconds)
        except TimeoutError:
            process = self._replaced(process)
            return _failed(unit, SLOW.format(self._seconds)), None
        except (EOFError, OSError, ValueError):
            process = self._replaced(process)
            return _failed(unit, CRASHED), None
        finally:
            self._idle.put(process)
        return _reads(unit, answer, arrays)

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            for process in self._all:
                process.end()
            self._all.clear()

    def _started(self) -> "_Process":
        process = _Process(self._image)
        with self._lock:
            self._all.add(process)
        return process

    def _replaced(self, process: "_Process") -> "_Process":
        with self._lock:
            self._all.discard(process)
        process.end()
        return self._started()


class _Process:
    def __init__(self, image: dict[str, Any]) -> None:
        context: Any = multiprocessing.get_context(start_method())
        self._connection: Connection
        self._connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=reader.serve, args=(theirs, image), daemon=True)
        self._process.start()
        theirs.close()  # or its end would not be seen

    def ask(self, unit: Unit, view: bool, seconds: float) -> tuple[dict[str, Any], list[bytes]]:
        asked = {"names": [file.name for file in unit.files], "folder": unit.folder, "rows": unit.rows, "view": view}
        reader.send(self._connection, asked, [file.content for file in unit.files])
        if not self._connection.poll(seconds):
            raise TimeoutError
        return reader.receive(self._connection)

    def end(self) -> None:
        self._connection.close()
        self._process.kill()
        with suppress(ValueError):
            self._process.join()
            self._process.close()


def _failed(unit: Unit, reason: str) -> list[Read]:
    return [Read(row, None, reason) for row in unit.rows]


def _reads(unit: Unit, answer: dict[str, Any], arrays: list[bytes]) -> tuple[list[Read], Seen | None]:
    contents, found = iter(arrays), list[Read]()
    for row, told in zip(unit.rows, answer["rows"], strict=True):
        made = None if told["reason"] else unpack(reader.array_of(told, next(contents)))
        found.append(Read(row, made, told["reason"], answer["modality"], tuple(told.get("notes", ()))))
    return found, Seen(answer["view"], next(contents)) if answer["view"] else None
