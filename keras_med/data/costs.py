"""A table to what reading and preparing its files costs, measured on a few of them."""

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from keras_med.data import pixels, shards
from keras_med.data.prepare import size_and_change
from keras_med.recipe.words import Image

TIMED = 24
_TRIED = 8  # images that are kept


@dataclass(frozen=True)
class Files:
    """What a table's files are to a run.

    prepared_bytes: of the arrays in the cache, at most (16 bits a value).
    free_bytes: on the cache's disk.
    seconds_a_file: to decode, hash and resize one, median of a few.
    workers: processes that prepare side by side here.
    images: a few, as the network takes them.
    """

    examples: int
    unlabelled: int
    excluded: int
    bytes_to_read: int
    prepared_bytes: int
    free_bytes: int
    seconds_a_file: float
    workers: int
    images: np.ndarray

    @property
    def rows(self) -> int:
        return self.examples + self.unlabelled

    def prepare_seconds(self, workers: int) -> float:
        """Time for decoding every file once."""
        return self.rows * self.seconds_a_file / workers


def look_at(table: pd.DataFrame, image: Image, cache: Path) -> Files:
    """Measure a few files and count the rest."""
    labelled = int(table["labelled"].sum())
    seconds, images = _tried(table, image)
    return Files(
        examples=labelled,
        unlabelled=len(table) - labelled,
        excluded=len(table.attrs.get("excluded", ())),
        bytes_to_read=sum(size_and_change(path)[0] for path in table["path"].unique()),
        prepared_bytes=2 * int(np.prod(image.shape)) * len(table),
        free_bytes=shutil.disk_usage(_existing(cache)).free,
        seconds_a_file=seconds,
        workers=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        images=images,
    )


def _tried(table: pd.DataFrame, image: Image) -> tuple[float, np.ndarray]:
    """Do to a few files what a shard does to all of its own; return the seconds a file, and the first images."""
    shards.keep_freed_memory()
    chosen = table.iloc[np.linspace(0, len(table) - 1, TIMED).astype(int)]
    seconds: list[float] = []
    images: list[np.ndarray] = []
    for row in chosen.to_dict("records"):
        place = int(row["row"]) if pd.notna(row.get("row")) else None
        started = time.perf_counter()
        picture, _, found = shards.read_row(row["path"], place, image)
        if not found["reason"]:
            seconds.append(time.perf_counter() - started)
            if len(images) < _TRIED:
                used = pixels.read(Path(row["path"]), place, image)[1] if picture is None else pixels.unpack(picture)
                images.append(used)
    made = np.stack(images) if images else np.zeros((1, *image.shape), np.float32)
    return (float(np.median(seconds)) if seconds else 0.0), made


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
