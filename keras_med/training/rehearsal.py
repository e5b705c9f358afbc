"""The rehearsal job: a recipe's network, before any data are prepared, to the seconds and memory of its steps here."""

import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_med import runfolder
from keras_med.models import weights
from keras_med.recipe.opening import Options, read_recipe
from keras_med.recipe.words import Classes, Recipe
from keras_med.training import losses, memory, network, runtime, tuning
from keras_med.training.frozen import split_frozen
from keras_med.training.runtime import Runtime

IMAGES = "images.npy"  # a few of the recipe's own, prepared
_SECONDS = 4.0  # for each batch that is timed
_TIMED = 5
_SIZES = [2 * 4**power for power in range(12)]  # of batches that are tried first: from two the third is foreseen
_PASS = 32  # images of a batch of the frozen part


@dataclass(frozen=True)
class Stage:
    """What the steps of one stage of training cost.

    sizes: of the last two batches that were tried; the recipe's is the last, unless it would not fit.
    steps: seconds of a step with each.
    forward: seconds of the recipe's batch without training.
    memory: bytes of the whole process at its peak.
    batch: the recipe's if it fits the memory of this machine, or half of it, or half of that; 0 if none does.
    """

    sizes: tuple[int, ...]
    steps: tuple[float, ...]
    forward: float
    memory: int
    batch: int


def run_rehearsal(folder: Path) -> None:
    """Train a few steps on a few images, whatever they are; done.json says what each stage costs."""
    given = runfolder.read_json(folder / "settings.json")
    options = Options(given["reference"], tuple(given["assignments"]), smoke=given["smoke"])
    recipe, machine = read_recipe(options).recipe, Runtime(**given["runtime"])
    images = np.load(folder / IMAGES)
    runtime.start(machine, recipe.seed)
    # One device, whatever the fits have; a plan downloads nothing, and how long a step takes is no matter of weights.
    with (
        weights.policy(given["weights"], allow_random=True, allow_download=False),
        runtime.precise(recipe.train.precision),
    ):
        model = network.build(recipe, network.LabelScale())
    parts = split_frozen(model)
    kept = parts is not None and (recipe.augment is None or recipe.train.views is not None)
    shared = parts[0].count_params() if parts is not None else 0
    outcome: dict[str, Any] = {"parameters": model.count_params(), "frozen": None}
    if parts is not None and kept:
        outcome["frozen"] = _frozen(parts[0], images)
    trained, inputs = (parts[1], _numbers(parts[0])) if parts is not None and kept else (model, images)
    stages = [_stage(network.trained_on(trained), inputs, recipe, machine, given["limit"])]
    if recipe.train.fine_tune_from is not None:
        tuning.free(model, recipe.train.fine_tune_from)
        stages.append(_stage(network.trained_on(model), images, recipe, machine, given["limit"]))
        parts = split_frozen(model)
        shared = parts[0].count_params() if parts is not None else 0
    outcome |= {"shared": shared, "stages": [asdict(stage) for stage in stages]}
    runfolder.write_json(folder / "done.json", outcome)


def _frozen(prefix: keras.Model, images: np.ndarray) -> dict[str, Any]:
    """Time the pass that computes features; another engine than TensorFlow may be faster."""
    batch = _batch_of(images, _PASS)
    seconds, found = _timed(lambda: prefix.predict_on_batch(batch))
    return {"seconds_an_image": seconds / _PASS, "shape": list(prefix.output_shape[1:]), "memory": found}


def _stage(trained: keras.Model, inputs: np.ndarray, recipe: Recipe, machine: Runtime, limit: int) -> Stage:
    """Time a step, after smaller batches have shown that the recipe's own will fit."""
    optimizer, batch = network.optimizer_for(recipe, 1), recipe.train.batch_size
    trained.compile(optimizer, loss=losses.loss_for(recipe), jit_compile=machine.compiled)
    tried: list[tuple[int, float, int]] = []  # size, seconds, peak
    with memory.advised(batch, 1):
        for size in [*itertools.takewhile(lambda size: size < batch, _SIZES), batch]:
            each = _slope(tried)
            if tried and tried[-1][2] + each * (size - tried[-1][0]) > limit:
                return _refused(tried[-2:], each, batch, limit)
            tried.append((size, *_step(trained, inputs, recipe, size)))
        forward, _ = _timed(lambda: trained.predict_on_batch(_batch_of(inputs, batch)))
    sizes, steps, peaks = zip(*tried[-2:], strict=True)
    return Stage(sizes, steps, forward, max(peaks), batch)


def _slope(tried: list[tuple[int, float, int]]) -> float:
    """Return the bytes that one more example took."""
    if len(tried) < 2:
        return 0.0
    (small, _, least), (large, _, most) = tried[-2:]
    return max(0.0, (most - least) / (large - small))


def _refused(tried: list[tuple[int, float, int]], each: float, batch: int, limit: int) -> Stage:
    sizes, steps, peaks = zip(*tried, strict=True)
    wanted, fixed = int(peaks[-1] + each * (batch - sizes[-1])), peaks[-1] - each * sizes[-1]
    return Stage(sizes, steps, 0.0, wanted, largest(batch, limit - fixed, each))


def largest(batch: int, room: float, each: float) -> int:
    """Halve a batch until it fits the room, each of its examples taking so much; 0 if one does not."""
    while batch and batch * each > room:
        batch //= 2
    return batch


def _step(trained: keras.Model, inputs: np.ndarray, recipe: Recipe, size: int) -> tuple[float, int]:
    batch, labels = _batch_of(inputs, size), _labels(recipe, size)
    return _timed(lambda: trained.train_on_batch(batch, labels))


def _timed(work: Callable[[], object]) -> tuple[float, int]:
    """Return the median seconds of a few repetitions after a first one, which is compiled, and the peak of memory."""
    with memory.watched() as peak:
        work()
        seconds: list[float] = []
        deadline = time.monotonic() + _SECONDS
        while len(seconds) < _TIMED and (not seconds or time.monotonic() < deadline):
            started = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - started)
    return float(np.median(seconds)), peak()


def _batch_of(inputs: np.ndarray, size: int) -> np.ndarray:
    return np.resize(inputs, (size, *inputs.shape[1:])).astype(np.float32, copy=False)


def _numbers(prefix: keras.Model) -> np.ndarray:
    """Return a few features to train on; which, is no matter for the time of a step."""
    return np.random.default_rng(0).normal(size=(8, *prefix.output_shape[1:])).astype(np.float32)


def _labels(recipe: Recipe, size: int) -> np.ndarray:
    return np.zeros(size, np.int32) if isinstance(recipe.target, Classes) else np.zeros((size, 1), np.float32)
