"""A checked table and its splits to what a run will cost: bytes, memory, steps and time, measured on a few files."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_med.data import costs
from keras_med.data.costs import Files
from keras_med.data.dataset import read_table
from keras_med.data.dividing import divide_index
from keras_med.data.location import default_cache, locate
from keras_med.errors import EnvironmentProblem
from keras_med.recipe.opening import Options, read_recipe
from keras_med.recipe.words import Image, KFold, Recipe
from keras_med.search import ahead, measuring
from keras_med.search.ahead import Phase
from keras_med.search.measuring import Measured
from keras_med.terminal import say
from keras_med.training import folds, memory

_WORKERS = (2, 4, 8)


@dataclass(frozen=True)
class Plan:
    """What a run will read, write and train, and how long that takes at most: fits that stop early are not foreseen.

    features_bytes: of the frozen features, the training images' views among them.
    memory_bytes: of this program and the fits that run side by side, at their peak.
    limit_bytes: of this machine.
    passes: images through the frozen part, changed views among them.
    fits: rows and steps an epoch of each fold.
    """

    recipe: Recipe
    files: Files
    measured: Measured
    phases: list[Phase]
    features_bytes: int
    memory_bytes: int
    limit_bytes: int
    passes: int
    fits: dict[str, dict[str, int]]

    @property
    def steps(self) -> dict[str, int]:
        """Steps of all fits of each kind, if none stops early."""
        found: dict[str, int] = {}
        for phase in self.phases:
            found[phase.name] = found.get(phase.name, 0) + sum(fit.steps for fit in phase.fits)
        return found

    @property
    def export_bytes(self) -> int:
        """Bytes of the weights that leave the run; members of an ensemble share what is frozen in all."""
        final, split = self.recipe.final, self.recipe.split
        members = split.folds if final is not None and final.ensemble and isinstance(split, KFold) else 1
        own = self.measured.parameters - self.measured.shared
        return 4 * (self.measured.shared + members * own)

    def seconds(self, workers: int | None = None) -> float:
        """Time of the whole run, on this machine or on so many workers like it that take a job each."""
        prepared = self.files.prepare_seconds(workers or self.files.workers)
        features = self.passes * self.measured.seconds_an_image / (workers or 1)
        return prepared + features + ahead.seconds_with(self.phases, self.measured.costs, workers or 1)

    def to_json(self) -> dict[str, Any]:
        """Return the plain values."""
        told = {name: value for name, value in asdict(self.files).items() if name != "images"}
        train = self.recipe.train
        return {
            **told,
            "prepare_seconds": round(self.files.prepare_seconds(self.files.workers), 1),
            "epochs": train.epochs,
            "batch_size": train.batch_size,
            "repeats": train.repeats,
            "fits": self.fits,
            "features_bytes": self.features_bytes,
            "seconds_a_feature": self.measured.seconds_an_image,
            "seconds_a_step": [cost.steps[-1] for cost in self.measured.costs],
            "steps": self.steps,
            "memory_bytes": self.memory_bytes,
            "limit_bytes": self.limit_bytes,
            "export_bytes": self.export_bytes,
            "seconds": round(self.seconds(), 1),
            "seconds_with_workers": {str(count): round(self.seconds(count), 1) for count in _WORKERS},
        }

    def lines(self) -> list[str]:
        """Return the plan for a reader."""
        files, train = self.files, self.recipe.train
        seeds = f" of {train.repeats} seeds each" if train.repeats > 1 else ""
        rate = f"{1000 * files.seconds_a_file:.1f} ms a file, measured on {costs.TIMED}"
        preparing = f"about {_time(files.prepare_seconds(files.workers))} with {files.workers} processes"
        shown = [
            f"examples       {files.examples} labelled, {files.unlabelled} unlabelled, {files.excluded} left out",
            f"to read        {_size(files.bytes_to_read)}; {rate}",
            f"preparing      {preparing}",
            f"prepared       at most {_size(files.prepared_bytes)}; {_size(files.free_bytes)} are free",
            *self._features(),
            f"folds          {len(self.fits)}{seeds}, at most {train.epochs} epochs, batches of {train.batch_size}",
        ]
        for name, fit in self.fits.items():
            places = ", ".join(f"{fit[place]} {place}" for place in fit if place != "steps" and fit[place])
            shown.append(f"  fold {name:<8} {fit['steps']} steps an epoch: {places}")
        return [*shown, *self._ahead()]

    def _features(self) -> list[str]:
        if self.measured.shape is None:
            return []
        each = f"{1000 * self.measured.seconds_an_image:.1f} ms each by TensorFlow, the slowest engine"
        return [f"features       {self.passes} images through the frozen part, {each}; {_size(self.features_bytes)}"]

    def _exported(self) -> list[str]:
        if self.recipe.final is None or not self.recipe.final.ensemble:
            return []
        one = f"{_size(4 * self.measured.parameters)} each, of which they share {_size(4 * self.measured.shared)}"
        return [f"export         {_size(self.export_bytes)} of weights: the mean of the folds' networks, {one}"]

    def _ahead(self) -> list[str]:
        counts = [f"{count:,} of {name}" for name, count in self.steps.items()]
        each = [f"{cost.steps[-1]:.2g} s" for cost in self.measured.costs]
        fits = sum(len(phase.fits) for phase in self.phases)
        times = ", ".join(f"{_time(self.seconds(count))} with {count}" for count in _WORKERS)
        time = f"at most about {_time(self.seconds())} here; on a cluster of such machines {times} workers"
        return [
            f"steps          at most {sum(self.steps.values()):,} in {fits} fits: {', '.join(counts)}",
            f"a step         {' and, in the second stage, '.join(each)}, measured here",
            *self._exported(),
            f"memory         {_size(self.memory_bytes)} at the peak; this machine has {_size(self.limit_bytes)}",
            f"time           {time}",
        ]


def plan_recipe(options: Options) -> Plan:
    """Say what a run would cost; nothing is kept, and no run folder is made."""
    loaded = read_recipe(options)
    recipe, cache = loaded.recipe, options.cache or default_cache()
    location = locate(recipe.data, loaded.path.stem, options.data, cache, say)
    table = read_table(recipe, location.root, smoke=options.smoke)
    splits = divide_index(table, recipe, fold=folds.exported_fold(recipe), partial=True).splits
    files = costs.look_at(table, recipe.image, cache)
    _check_disk(files, files.prepared_bytes, "The prepared arrays need", recipe.image, cache)
    measured = measuring.measure(options, recipe, files.images)
    made = estimate(files, splits, recipe, measured, options)
    check(made, options, cache)
    return made


def estimate(files: Files, splits: pd.DataFrame, recipe: Recipe, measured: Measured, options: Options) -> Plan:
    """Put together what was counted and what was measured."""
    views = recipe.train.views or 0
    trained = splits.loc[splits["split"] == "train", "id"].nunique() if views else 0
    passes = files.rows + views * trained if measured.shape is not None else 0
    features = passes * 4 * int(np.prod(measured.shape or (0,)))
    each = measured.memory + memory.held(features)
    return Plan(
        recipe=recipe,
        files=files,
        measured=measured,
        phases=ahead.phases(recipe, splits, measured.batches, with_test=not options.no_test),
        features_bytes=features,
        memory_bytes=memory.own() + (options.fits_at_once or 1) * each,
        limit_bytes=memory.limit(),
        passes=passes,
        fits=_fits(splits, recipe),
    )


def _fits(splits: pd.DataFrame, recipe: Recipe) -> dict[str, dict[str, int]]:
    train, copies = recipe.train, ahead.copies(recipe)
    found = {}
    whole = recipe.final is not None and recipe.final.ensemble  # whose fold is what its members trained on together
    for fold, places in ahead.counted(splits).items():
        if fold == folds.FINAL and whole:
            continue
        steps = ahead.steps_of_epoch(places.get("train", 0), train.examples, train.batch_size, copies)
        found[fold] = {"steps": steps, **places}
    return found


def check(plan: Plan, options: Options, cache: Path) -> None:
    """Refuse a plan that will not fit the disk or the memory of this machine, with a setting that would."""
    measured, batch, limit = plan.measured, plan.recipe.train.batch_size, _size(plan.limit_bytes)
    needed = plan.files.prepared_bytes + plan.features_bytes
    _check_disk(plan.files, needed, "Prepared arrays and frozen features need", plan.recipe.image, cache)
    if measured.batch < batch:
        remedy = f"--set train.batch_size={measured.batch}"
        if not measured.batch:
            remedy = "No batch is small enough: make image.size smaller, or the network."
        what = f"A step with a batch of {batch} needs about {_size(measured.memory)} of memory; there are {limit}."
        raise EnvironmentProblem(what, remedy=remedy)
    at_once = options.fits_at_once or 1
    if plan.memory_bytes > plan.limit_bytes and at_once > 1:
        each = (plan.memory_bytes - memory.own()) / at_once
        fitting = max(1, int((plan.limit_bytes - memory.own()) / each))
        what = f"{at_once} fits at once need about {_size(plan.memory_bytes)} of memory; there are {limit}."
        raise EnvironmentProblem(what, remedy=f"--fits-at-once {fitting}")


def _check_disk(files: Files, needed: int, what: str, image: Image, cache: Path) -> None:
    """Refuse more bytes than are free, and say which size would fit: rows and columns shrink alike, slices stay."""
    if needed <= files.free_bytes:
        return
    share = (files.free_bytes / needed) ** 0.5
    size = ", ".join(str(max(1, int(share * length))) for length in image.size[:2])
    size += f", {image.size[2]}" if len(image.size) == 3 else ""
    remedy = f'Name a larger disk with --cache DIR, or --set "image.size=({size})".'
    what = f"{what} up to {_size(needed)}; {_size(files.free_bytes)} are free."
    raise EnvironmentProblem(what, where=str(cache), remedy=remedy)


def _size(count: int) -> str:
    for unit, width in (("GiB", 2**30), ("MiB", 2**20)):
        if count >= width:
            return f"{count / width:.1f} {unit}"
    return f"{count / 1024:.0f} KiB"


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))
