"""Many files to predictions.csv, block by block: read as in training, predicted in batches, resumable."""

import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_med.data.prepare import size_and_change
from keras_med.errors import DataError, RecipeError
from keras_med.export import manifest
from keras_med.inference.answering import Answering
from keras_med.inference.blocks import Blocks
from keras_med.inference.columns import columns_of
from keras_med.inference.inputs import Input, listed
from keras_med.inference.load import LoadedModel
from keras_med.inference.partial import Partial
from keras_med.recipe.words import Image
from keras_med.runfolder import FORMAT
from keras_med.terminal import Counter, say

if TYPE_CHECKING:
    from keras_med.inference.heat_files import HeatFiles  # which imports Keras


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
    heat: Path | None = None

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
        beside = {"submission": self.submission, "heat": self.heat}
        return {"format": FORMAT, **told, **{name: str(path) if path else None for name, path in beside.items()}}

    def lines(self) -> list[str]:
        """Return it for a reader."""
        left = f", {self.unreadable:,} of them unreadable" if self.unreadable else ""
        told = [*(["DEMO MODEL"] if self.demo else []), f"{self.path}: {self.rows:,} rows{left}"]
        if self.out_of_range:
            told.append(f"out of range: {self.out_of_range:,}, unlike the training pictures; do not rely on these")
        told += [self.undecided] if self.undecided else []
        told += [f"{self.submission}: in the form of the sample"] if self.submission else []
        told += [f"{self.heat}: where the answers came from, named by row; they are no diagnosis"] if self.heat else []
        found = {"reason": self.unreadable, "out_of_range": self.out_of_range}
        columns = " and ".join(name for name, count in found.items() if count)
        look = f"the column {columns} of {self.path}" if columns else self.submission or self.path
        return [*told, f"Next: look at {look}"]


def predict(
    model: LoadedModel, named: Sequence[str], out: Path, cache: Path, *, heat: "HeatFiles | None" = None
) -> Predicted:
    """Predict everything that is named; an interrupted call goes on where it stopped when it is made again.

    Args:
        cache: where prepared pictures lie while their block is predicted.
        heat: also draw where each answer came from.
    """
    image = preparation(model)
    _check_out(out, named)
    inputs = listed(named, len(image.size))
    answering, columns = Answering(model, len(inputs)), columns_of(model.manifest)
    blocks = Blocks(answering, columns, image, heat)
    partial = Partial(out, blocks.names, _identity(model, inputs, heat))
    cache.mkdir(parents=True, exist_ok=True)
    done = partial.begin()
    answering.go_on(partial.noted())
    if heat:
        heat.begin(going_on=done > 0)
    with Counter("predicting", len(inputs)) as counter:
        for start in range(done, len(inputs), blocks.size):
            counter.reach(start)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                rows = blocks.rows(inputs[start : start + blocks.size], start, Path(folder))
            partial.note(answering.engine)
            partial.add(rows)
    if answering.told:
        say(answering.told)
    (unreadable, reason), (unlike, _) = (partial.filled(name) for name in ("reason", "out_of_range"))
    partial.finish()
    if unreadable == len(inputs):
        raise DataError(f"None of the {len(inputs)} files can be read: {reason}", where=str(out))
    maps = heat.folder if heat else None
    return Predicted(out, len(inputs), unreadable, model.demo, answering.engine, unlike, columns.undecided, heat=maps)


def _check_out(out: Path, named: Sequence[str]) -> None:
    """Refuse, before any work, a name for the table that is a folder or one of the inputs."""
    if out.is_dir():
        raise RecipeError("--out is a folder; expected the name of a table.", where=str(out))
    if out.exists() and any(Path(name).exists() and out.samefile(name) for name in named):
        raise RecipeError("--out would overwrite what is to be predicted.", where=str(out), remedy="Name another file.")


def _identity(model: LoadedModel, inputs: Sequence[Input], heat: "HeatFiles | None") -> str:
    """Hash the model's files, where heat goes, and each input's path, row, size and time of change."""
    drawn = str(heat.folder) if heat else ""
    digest = hashlib.sha256(repr((sorted(manifest.hashes(model.folder).items()), drawn)).encode())
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
