"""A compiled network to the seconds of its training step, and of the wait for the images of one."""

import itertools
import time
from dataclasses import dataclass

import keras
import numpy as np

from keras_med import runfolder
from keras_med.data import pipeline
from keras_med.recipe.words import Recipe
from keras_med.runfolder import FitFolder
from keras_med.training import losses, network, runtime, tuning
from keras_med.training.examples import Examples
from keras_med.training.fit import build_model
from keras_med.training.folds import FitPlan
from keras_med.training.runtime import Runtime

_SECONDS = 6.0


@dataclass(frozen=True)
class Speed:
    """Medians of a few steps, in seconds."""

    wait: float
    step: float

    @property
    def both(self) -> float:
        return self.wait + self.step


def measured(trained: keras.Model, examples: Examples, recipe: Recipe, seed: int) -> Speed:
    """Train a few steps through the whole pipeline."""
    rows, batch = examples.rows("train"), recipe.train.batch_size
    batches = pipeline.training(rows, batch, range(1), seed, changes=recipe.augment).as_numpy_iterator()
    waits, steps = [], []
    deadline = time.monotonic() + _SECONDS
    for number in itertools.count():
        started = time.perf_counter()
        given = next(batches, None)
        read = time.perf_counter()
        if given is None or (number > 1 and time.monotonic() > deadline):
            break
        trained.train_on_batch(*given)
        waits.append(read - started)
        steps.append(time.perf_counter() - read)
    # the first step is compiled
    return Speed(*(float(np.median(times[1:] or times)) for times in (waits, steps)))


def of_second_stage(job: FitFolder, plan: FitPlan, recipe: Recipe) -> Speed:
    """Train a few steps of the whole network on images, whatever its weights."""
    given, examples = runfolder.read_json(job.settings), Examples(job.run, plan.fold, recipe, most=plan.examples)
    with runtime.precise(recipe.train.precision):
        model = build_model(recipe, examples, given, None)
        tuning.free(model, recipe.train.fine_tune_from or tuning.ALL)
        trained, compiled = network.trained_on(model), Runtime(**given["runtime"]).compiled
        trained.compile(network.optimizer_for(recipe, 1), loss=losses.loss_for(recipe), jit_compile=compiled)
    return measured(trained, examples, recipe, plan.seed)
