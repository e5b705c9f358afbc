"""A table that is written in parts: what an interruption leaves is continued, and it gets its name when it is whole."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_med import runfolder
from keras_med.errors import DataError
from keras_med.inference.inputs import Input


class Partial:
    """`predictions.csv.part` beside the table, and the model's hash by which it is known again."""

    def __init__(self, out: Path, header: Sequence[str], model: str | None) -> None:
        self._out = out
        self._part = out.with_name(f"{out.name}.part")
        self._told = out.with_name(f"{out.name}.part.json")
        self._header = list(header)
        self._model = model

    def begin(self, inputs: Sequence[Input]) -> int:
        """Return how many rows of the same model and inputs are there already; all else is begun anew."""
        self._out.parent.mkdir(parents=True, exist_ok=True)
        done = self._kept(inputs) if self._same_model() else None
        if done is not None:
            return done
        self._part.unlink(missing_ok=True)
        runfolder.write_json(self._told, {"model": self._model})
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

    def _same_model(self) -> bool:
        try:
            return self._part.is_file() and runfolder.read_json(self._told)["model"] == self._model
        except (DataError, KeyError):
            return False

    def _kept(self, inputs: Sequence[Input]) -> int | None:
        """Cut off a row that was not written to its end; None if the rows are those of other inputs."""
        with self._part.open("rb+") as file:
            end = sum(len(line) for line in file if line.endswith(b"\n"))
            file.truncate(end)
        with self._part.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            if next(rows, None) != self._header:
                return None
            done = [(row[0], row[1]) for row in rows]
        wanted = [(one.path, "" if one.row is None else str(one.row)) for one in inputs[: len(done)]]
        return len(done) if done == wanted else None
