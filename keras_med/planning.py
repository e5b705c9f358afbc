"""A checked table and its splits to what a run will cost: rows, bytes, steps, and seconds measured on a few files."""

import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_med.data import shards
from keras_med.data.dataset import read_table
from keras_med.data.dividing import divide_index
from keras_med.data.location import default_cache, locate
from keras_med.data.prepare import size_and_change
from keras_med.errors import EnvironmentProblem
from keras_med.recipe.opening import Options, read_recipe
from keras_med.recipe.words import Image, Recipe
from keras_med.terminal import say

_TIMED = 24


@dataclass(frozen=True)
class Plan:
    """What a run will read, write and train.

    prepared_bytes: of the arrays in the cache, at most (16 bits a value).
    seconds_a_file: to decode, hash and resize one, median of a few.
    repeats: networks of each fold, a seed each.
    fits: rows and steps an epoch of each fold.
    """

    examples: int
    unlabelled: int
    excluded: int
    bytes_to_read: int
    prepared_bytes: int
    free_bytes: int
    seconds_a_file: float
    workers: int
    epochs: int
    batch_size: int
    repeats: int
    fits: dict[str, dict[str, int]]

    @property
    def prepare_seconds(self) -> float:
        """Time for decoding every file once."""
        return (self.examples + self.unlabelled) * self.seconds_a_file / self.workers

    def to_json(self) -> dict[str, Any]:
        """Return the plain values."""
        return {**asdict(self), "prepare_seconds": round(self.prepare_seconds, 1)}

    def lines(self) -> list[str]:
        """Return the plan for a reader."""
        seeds = f" of {self.repeats} seeds each" if self.repeats > 1 else ""
        rate = f"{1000 * self.seconds_a_file:.1f} ms a file, measured on {_TIMED}"
        shown = [
            f"examples       {self.examples} labelled, {self.unlabelled} unlabelled, {self.excluded} left out",
            f"to read        {_size(self.bytes_to_read)}; {rate}",
            f"preparing      about {self.prepare_seconds:.0f} s with {self.workers} workers",
            f"prepared       at most {_size(self.prepared_bytes)}; {_size(self.free_bytes)} are free",
            f"fits           {len(self.fits)}{seeds}, at most {self.epochs} epochs each, batches of {self.batch_size}",
        ]
        for name, fit in self.fits.items():
            places = ", ".join(f"{fit[place]} {place}" for place in fit if place != "steps" and fit[place])
            shown.append(f"  fold {name:<8} {fit['steps']} steps an epoch: {places}")
        return shown


def plan_recipe(options: Options) -> Plan:
    """Say what a run would cost; nothing is prepared or trained, and no run folder is made."""
    loaded = read_recipe(options)
    recipe, cache = loaded.recipe, options.cache or default_cache()
    location = locate(recipe.data, loaded.path.stem, options.data, cache, say)
    table = read_table(recipe, location.root, smoke=options.smoke)
    parts = divide_index(table, recipe, partial=True).splits
    return estimate(table, parts, recipe, cache)


def estimate(table: pd.DataFrame, splits: pd.DataFrame, recipe: Recipe, cache: Path) -> Plan:
    """Measure a few files and count the rest; a plan that does not fit the disk is refused."""
    batch = recipe.train.batch_size
    fits = {}
    for fold, rows in splits.groupby("fold", sort=False):
        counts = {str(place): int(count) for place, count in rows["split"].value_counts().items()}
        copies = 2 if recipe.data.mirror == "training" else 1  # they come with the pictures that are drawn
        most = copies * recipe.train.examples if recipe.train.examples else counts.get("train", 0)
        fits[str(fold)] = {"steps": min(most, counts.get("train", 0)) // batch, **counts}
    labelled = int(table["labelled"].sum())
    prepared, free = 2 * int(np.prod(recipe.image.shape)) * len(table), shutil.disk_usage(_existing(cache)).free
    if prepared > free:
        what = f"The prepared arrays need up to {_size(prepared)}; {_size(free)} are free."
        raise EnvironmentProblem(
            what, where=str(cache), remedy="Name a larger disk with --cache DIR, or lower image.size."
        )
    return Plan(
        examples=labelled,
        unlabelled=len(table) - labelled,
        excluded=len(table.attrs.get("excluded", ())),
        bytes_to_read=sum(size_and_change(path)[0] for path in table["path"].unique()),
        prepared_bytes=prepared,
        free_bytes=free,
        seconds_a_file=_seconds_a_file(table, recipe.image),
        workers=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        epochs=recipe.train.epochs,
        batch_size=batch,
        repeats=recipe.train.repeats,
        fits=fits,
    )


def _seconds_a_file(table: pd.DataFrame, image: Image) -> float:
    """Do to a few files what a shard does to all of its own."""
    shards.keep_freed_memory()
    chosen = table.iloc[np.linspace(0, len(table) - 1, _TIMED).astype(int)]
    seconds = []
    for row in chosen.to_dict("records"):
        started = time.perf_counter()
        _, _, found = shards.read_row(row["path"], int(row["row"]) if pd.notna(row.get("row")) else None, image)
        if not found["reason"]:
            seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)) if seconds else 0.0


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())


def _size(count: int) -> str:
    for unit, width in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= width:
            return f"{count / width:.1f} {unit}"
    return f"{count / 1024:.0f} KiB"
