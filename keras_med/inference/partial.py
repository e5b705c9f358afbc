"""A table that is written in parts: what an interruption leaves is continued, and it gets its name when it is whole."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_med import runfolder
from keras_med.errors import DataError


class Partial:
    """`predictions.csv.part` beside the table, and what it was begun with, by which it is known again.

    Args:
        identity: of the model and all inputs; a part of another is begun anew.
    """

    def __init__(self, out: Path, header: Sequence[str], identity: str) -> None:
        self._out = out
        self._part = out.with_name(f"{out.name}.part")
        self._told = out.with_name(f"{out.name}.part.json")
        self._header = list(header)
        self._identity = identity

    def begin(self) -> int:
        """Return how many rows of the same model and inputs are there already; all else is begun anew."""
        self._out.parent.mkdir(parents=True, exist_ok=True)
        if self._same():
            return self._kept()
        self._part.unlink(missing_ok=True)
        runfolder.write_json(self._told, {"identity": self._identity})
        self.add([self._header])
        return 0

    def note(self, engine: str) -> None:
        """Keep the name of what answers, for a call that goes on."""
        runfolder.write_json(self._told, {"identity": self._identity, "engine": engine})

    def noted(self) -> str:
        """Return what an interrupted call noted."""
        return str(runfolder.read_json(self._told).get("engine", ""))

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        """Write some rows to the disk."""
        with self._part.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
            file.flush()
            os.fsync(file.fileno())

    def filled(self, column: str) -> tuple[int, str]:
        """Return how many rows have something in a column, and the first of those."""
        with self._part.open(newline="", encoding="utf-8") as file:
            found = (line[column] for line in csv.DictReader(file) if line.get(column))
            first = next(found, "")
            return sum(1 for _ in found) + bool(first), first

    def finish(self) -> None:
        """Give the table its name."""
        self._part.replace(self._out)
        self._told.unlink()

    def _same(self) -> bool:
        try:
            return self._part.is_file() and runfolder.read_json(self._told)["identity"] == self._identity
        except (DataError, KeyError):
            return False

    def _kept(self) -> int:
        """Cut off a row that was not written to its end, and count the others."""
        with self._part.open("rb+") as file:
            end = sum(len(line) for line in file if line.endswith(b"\n"))
            file.truncate(end)
        with self._part.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            if next(rows, None) is None:
                file.close()
                self.add([self._header])
                return 0
            return sum(1 for _ in rows)
