"""Many files to predictions.csv, block by block: read as in training, predicted in batches, resumable."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_med.data.pixels import read_input
from keras_med.data.prepare import prepare, size_and_change
from keras_med.errors import DataError, RecipeError
from keras_med.export import manifest
from keras_med.inference.answering import BATCH, Answering
from keras_med.inference.columns import Columns, columns_of
from keras_med.inference.inputs import Input, listed
from keras_med.inference.load import LoadedModel
from keras_med.inference.partial import Partial
from keras_med.inference.range import modality
from keras_med.recipe.words import Image
from keras_med.runfolder import FORMAT
from keras_med.terminal import Counter, say

BLOCK = 256  # pictures a process reads before the network sees them: what an interruption costs, and memory


@dataclass(frozen=True)
class Predicted:
    """What was written: where, how many rows, how many of them could not be read or are unlike training."""

    path: Path
    rows: int
    unreadable: int
    demo: bool
    engine: str
    out_of_range: int = 0
    undecided: str = ""
    submission: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it for a program."""
        told: dict[str, Any] = {
            "path": str(self.path),
            "rows": self.rows,
            "unreadable": self.unreadable,
            "demo": self.demo,
            "engine": self.engine,
            "out_of_range": self.out_of_range,
        }
        return {"format": FORMAT, **told, "submission": str(self.submission) if self.submission else None}

    def lines(self) -> list[str]:
        """Return it for a reader."""
        left = f", {self.unreadable:,} of them unreadable" if self.unreadable else ""
        told = [*(["DEMO MODEL"] if self.demo else []), f"{self.path}: {self.rows:,} rows{left}"]
        if self.out_of_range:
            told.append(f"out of range: {self.out_of_range:,}, unlike the training pictures; do not rely on these")
        told += [self.undecided] if self.undecided else []
        told += [f"{self.submission}: in the form of the sample"] if self.submission else []
        found = {"reason": self.unreadable, "out_of_range": self.out_of_range}
        columns = " and ".join(name for name, count in found.items() if count)
        look = f"the column {columns} of {self.path}" if columns else self.submission or self.path
        return [*told, f"Next: look at {look}"]


def predict(model: LoadedModel, named: Sequence[str], out: Path, cache: Path) -> Predicted:
    """Predict everything that is named; an interrupted call goes on where it stopped when it is made again.

    Args:
        cache: where prepared pictures lie while their block is predicted.
    """
    image = preparation(model)
    _check_out(out, named)
    inputs = listed(named, len(image.size))
    columns = columns_of(model.manifest)
    partial = Partial(out, ["path", "row", *columns.names, "reason"], _identity(model, inputs))
    processes = os.cpu_count() or 1
    cache.mkdir(parents=True, exist_ok=True)
    done = partial.begin()
    answering = Answering(model, len(inputs), partial.noted())
    with Counter("predicting", len(inputs)) as counter:
        for start in range(done, len(inputs), BLOCK * processes):
            counter.reach(start)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                block = inputs[start : start + BLOCK * processes]
                rows = _predicted(answering, columns, block, image, Path(folder), processes)
            partial.note(answering.engine)
            partial.add(rows)
    if answering.told:
        say(answering.told)
    (unreadable, reason), (unlike, _) = (partial.filled(name) for name in ("reason", "out_of_range"))
    partial.finish()
    if unreadable == len(inputs):
        raise DataError(f"None of the {len(inputs)} files can be read: {reason}", where=str(out))
    return Predicted(out, len(inputs), unreadable, model.demo, answering.engine, unlike, columns.undecided)


def _check_out(out: Path, named: Sequence[str]) -> None:
    """Refuse, before any work, a name for the table that is a folder or one of the inputs."""
    if out.is_dir():
        raise RecipeError("--out is a folder; expected the name of a table.", where=str(out))
    if out.exists() and any(Path(name).exists() and out.samefile(name) for name in named):
        raise RecipeError("--out would overwrite what is to be predicted.", where=str(out), remedy="Name another file.")


def _identity(model: LoadedModel, inputs: Sequence[Input]) -> str:
    """Hash the model's files, and each input's path, row, size and time of change."""
    digest = hashlib.sha256(repr(sorted(manifest.hashes(model.folder).items())).encode())
    for one in inputs:
        found = () if one.reason or not Path(one.path).exists() else size_and_change(one.path)
        digest.update(repr((one, found)).encode())
    return digest.hexdigest()


def preparation(model: LoadedModel) -> Image:
    """Return how the model's training pictures were made, which keras_med.json says."""
    image = manifest.image_of(model.manifest)
    if image is None:
        remedy = "Export it from a run, or give prepared pixels to its SavedModel."
        raise DataError(
            "This export does not say how its pictures were prepared.", where=str(model.folder), remedy=remedy
        )
    return image


def _predicted(
    answering: Answering, columns: Columns, block: Sequence[Input], image: Image, folder: Path, processes: int
) -> list[list[object]]:
    """Return the rows of one block, in its order: readable ones with outputs, the others with their reason."""
    table = pd.DataFrame(block, columns=["path", "row", "reason"])
    table["id"] = [f"{place:09d}" for place in range(len(table))]
    readable = table[table["reason"] == ""].drop(columns="reason")
    empty = [None] * len(columns.names)
    rows: list[list[object]] = [[one.path, one.row, *empty, one.reason] for one in block]
    if readable.empty:
        return rows
    prepared = prepare(readable, image, folder, at_once=processes, none_readable="allow")
    for name, reason in zip(prepared.excluded["id"], prepared.excluded["reason"], strict=True):
        rows[int(name)][-1] = reason
    found = prepared.table
    for start in range(0, len(found), BATCH):
        part = found.iloc[start : start + BATCH]
        places = zip(part["array"], part["array_row"], part["stack"], strict=True)
        pixels = np.stack([read_input(array, int(row), bool(stack), image) for array, row, stack in places])
        for name, output, image_of in zip(part["id"], answering(pixels), pixels, strict=True):
            one = block[int(name)]
            named = modality(Path(one.path)) if columns.by_modality else ""
            rows[int(name)] = [one.path, one.row, *columns.values(output, image_of, named), ""]
    return rows
