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

    def add(self, rows: Iterable[Sequence[object]]) -> None:
        """Write some rows to the disk."""
        with self._part.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> tuple[int, str]:
        """Give the table its name; return how many rows have a reason, and the first of those."""
        with self._part.open(newline="", encoding="utf-8") as file:
            reasons = (line["reason"] for line in csv.DictReader(file) if line["reason"])
            first = next(reasons, "")
            count = sum(1 for _ in reasons) + bool(first)
        self._part.replace(self._out)
        self._told.unlink()
        return count, first

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
