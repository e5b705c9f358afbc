"""Prepared images through the frozen prefix, once for all folds, trials and runs, to a folder of feature blocks."""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data.pipeline import Read, Rows
from keras_med.data.stacks import open_stack
from keras_med.engines import Run
from keras_med.runfolder import FitFolder
from keras_med.training import blocks, memory

_PREFIX = "prefix.npz"
VIEWED = "viewed.npy"  # in the job's folder: the positions in index.csv of the rows that views have


@dataclass(frozen=True)
class Features:
    """Where the features of every row of index.csv lie, in its order.

    job: that made them.
    folder: of the cache; block-00000.npy holds the first 1,024 rows.
    shape: of one row.
    rows: of the table.
    views: a folder each, where the features of the changed training images lie.
    """

    job: Path
    folder: Path
    shape: tuple[int, ...]
    rows: int
    views: tuple[Path, ...] = ()

    @classmethod
    def of(cls, job: Path) -> "Features | None":
        """Return what a finished feature job left; None where the network has no frozen prefix."""
        found = runfolder.read_json(job / "done.json")
        if not found["folder"]:
            return None
        views = tuple(Path(view) for view in found["views"])
        return cls(job, Path(found["folder"]), tuple(found["shape"]), int(found["rows"]), views)

    def reader(self, positions: np.ndarray) -> Read:
        """Return a function that reads the features of the chosen rows, from memory where they fit."""
        return self._reader(self.folder, positions)

    def view_readers(self, positions: np.ndarray) -> tuple[Read, ...]:
        """Return a reader of the same rows for each view; they must be training rows of a fold."""
        if not self.views:
            return ()
        at = np.searchsorted(np.load(self.job / VIEWED), positions)
        return tuple(self._reader(view, at) for view in self.views)

    def _reader(self, folder: Path, positions: np.ndarray) -> Read:
        stacks = [open_stack(block) for block in sorted(folder.glob("block-*.npy"))]
        if memory.held(4 * self.rows * int(np.prod(self.shape)) * (1 + len(self.views))):
            everything = np.concatenate([stack.read(range(len(stack))) for stack in stacks])
            chosen = everything[positions]
            return lambda wanted: chosen[wanted]
        return lambda wanted: np.concatenate(
            [stacks[at // blocks.ROWS].read([at % blocks.ROWS]) for at in positions[wanted]]
        )

    def weights(self) -> list[np.ndarray]:
        """Return the weights of the prefix that made the features."""
        return prefix_weights(self.folder)


def job_of(fit: FitFolder) -> Path:
    """Return the features job that a fit rests on: the run's, or that of trials whose frozen part is another."""
    return fit.run.fit(runfolder.read_json(fit.settings).get("features") or fit.run.features.name).path


def prefix_weights(folder: Path) -> list[np.ndarray]:
    """Return the weights of a prefix that were written beside its features."""
    with np.load(folder / _PREFIX, allow_pickle=False) as saved:
        return [saved[f"w{number:05d}"] for number in range(len(saved.files))]


def key(prefix_hash: str, table: pd.DataFrame, preparation: dict[str, Any], runtime: dict[str, Any]) -> str:
    """Name the features by all that decides about them: weights and graph, pixels in their order, versions, threads."""
    digest = hashlib.sha256(prefix_hash.encode())
    content = [preparation, runtime, table["id"].tolist(), table["pixel_hash"].tolist()]
    digest.update(json.dumps(content, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:24]


def write_prefix(prefix: keras.Model, folder: Path) -> None:
    """Keep the weights of the prefix where its features lie."""
    weights = {f"w{number:05d}": weight for number, weight in enumerate(prefix.get_weights())}
    runfolder.write_atomically(folder / _PREFIX, lambda file: _savez(file, weights))


def compute(
    run: Run, rows: Rows, folder: Path, numbers: Iterable[int], batch_size: int, progress: Callable[[int], object]
) -> None:
    """Run the prefix over the rows of some blocks and write one after another.

    Args:
        progress: called with the number of rows that are done.
    """
    done = 0
    for number in numbers:
        span = range(number * blocks.ROWS, min((number + 1) * blocks.ROWS, len(rows)))
        _write_block(
            folder / blocks.name(number), run, rows, span, batch_size, functools.partial(_more, progress, done)
        )
        done += len(span)


def _more(progress: Callable[[int], object], before: int, done: int) -> None:
    progress(before + done)


def _write_block(
    block: Path, run: Run, rows: Rows, span: range, batch_size: int, progress: Callable[[int], object]
) -> None:
    """Compute the rows of one block; every batch has the same size, so that no batch is computed in another way."""
    parts = []
    for images in _read_ahead(rows, span, batch_size):
        missing = batch_size - len(images)
        padded = np.concatenate([images, np.repeat(images[:1], missing, axis=0)]) if missing else images
        parts.append(run(padded)[: len(images)])
        progress(min(len(parts) * batch_size, len(span)))
    features = np.concatenate(parts).astype(np.float32)
    runfolder.write_atomically(block, lambda file: np.save(file, features))


def _read_ahead(rows: Rows, span: range, batch_size: int) -> Iterator[np.ndarray]:
    """Read one batch in a thread while another is computed; no more, or memory would fill."""
    batches = [np.arange(start, min(start + batch_size, span.stop)) for start in span[::batch_size]]
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(rows.read, batches[0])
        for following in [*batches[1:], None]:
            images = coming.result()
            if following is not None:
                coming = reader.submit(rows.read, following)
            yield images


def _savez(file: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(file, **arrays)  # type: ignore[arg-type]
