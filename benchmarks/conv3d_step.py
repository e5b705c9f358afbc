"""A training step of the 3-D network through the whole engine, against train_on_batch on one batch that lies in memory.

    python benchmarks/conv3d_step.py [--size 128 128 64] [--batch 4] [--volumes 24] [--rounds 5] [--precision float32]

The engine's side is what a fit does: prepared volumes in a memory map of 8 bits, read, widened and shuffled by the
pipeline, in Keras' fit with a callback that looks at the loss; the bare side repeats `train_on_batch`. Both train the
same compiled network and take turns; a round of the engine is an epoch without its first step, which fills the
pipeline. Beside the time stands the processors' own (all threads of this program), which others' work does not change.
Wanted: medians of the steps within 5 %.
"""

import argparse
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
import pandas as pd

from keras_med import Binary, Data, Holdout, Image, Model, Recipe, Train, models
from keras_med.data import pipeline
from keras_med.data.pipeline import Rows
from keras_med.training import losses, network, runtime
from keras_med.training.examples import image_rows
from keras_med.training.runtime import Runtime

Times = tuple[float, float]  # by the clock, by the processors


def now() -> Times:
    return time.perf_counter(), time.process_time()


class Clock(keras.callbacks.Callback):
    """Notes when each step ends, by the clock and by the processors, and looks at the loss as a fit's own does."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[Times] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note the time."""
        if batch % 25 == 0:
            float((logs or {})["loss"])
        self.ends.append(now())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=3, default=(128, 128, 64))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--volumes", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    given = parser.parse_args()
    recipe = Recipe(
        target=Binary(),
        data=Data(lambda root: None),
        image=Image(size=tuple(given.size)),
        split=Holdout(),
        model=Model(models.conv3d),
        train=Train(batch_size=given.batch, precision=given.precision),
    )
    machine = Runtime()
    runtime.start(machine, seed=0)
    with runtime.precise(recipe.train.precision):
        trained = network.trained_on(network.build(recipe, network.LabelScale()))
        trained.compile(network.optimizer_for(recipe, 1), loss=losses.loss_for(recipe), jit_compile=machine.compiled)
    with tempfile.TemporaryDirectory() as folder:
        rows = prepared(Path(folder), recipe, given.volumes)
        return compare(trained, rows, given)


def prepared(folder: Path, recipe: Recipe, count: int) -> Rows:
    """Write volumes as preparing leaves them."""
    draw, file = np.random.default_rng(0), folder / "shard.npy"
    np.save(file, draw.integers(0, 256, (count, *recipe.image.shape), np.uint8))
    table = pd.DataFrame({"id": [str(row) for row in range(count)], "array": str(file), "array_row": range(count)})
    return image_rows(table, recipe.image, draw.integers(0, 2, (count, 1)).astype(np.float32))


def compare(trained: keras.Model, rows: Rows, given: argparse.Namespace) -> int:
    """Print the medians of both sides and their ratios."""
    steps = len(rows) // given.batch
    batch = rows.read(np.arange(given.batch)), rows.labels[: given.batch]
    bare(trained, batch, 2)
    through(trained, rows, given.batch)
    sides: dict[str, list[Times]] = {"bare": [], "engine": []}
    for _ in range(given.rounds):
        sides["bare"] += bare(trained, batch, steps - 1)
        sides["engine"] += through(trained, rows, given.batch)
    clock, processors = (
        {name: statistics.median(step[which] for step in found) for name, found in sides.items()} for which in (0, 1)
    )
    for name, found in sides.items():
        told = f"{1000 * clock[name]:9.1f} ms a step, {1000 * processors[name]:9.1f} of the processors"
        print(f"{name:8}{told}  ({len(found)} steps, {1000 * min(found)[0]:.1f} to {1000 * max(found)[0]:.1f} ms)")
    ratio = clock["engine"] / clock["bare"]
    print(f"engine / bare {ratio:.3f}, of the processors' time {processors['engine'] / processors['bare']:.3f}")
    print("reached" if ratio <= 1.05 else "MISSED")
    return 0 if ratio <= 1.05 else 1


def bare(trained: keras.Model, batch: tuple[np.ndarray, np.ndarray], steps: int) -> list[Times]:
    """Return the seconds of each step."""
    ends = [now()]
    for _ in range(steps):
        trained.train_on_batch(*batch)
        ends.append(now())
    return between(ends)


def through(trained: keras.Model, rows: Rows, batch: int) -> list[Times]:
    """Return the seconds of each step of one epoch but its first."""
    clock = Clock()
    given = pipeline.training(rows, batch, range(1), seed=0)
    trained.fit(given, steps_per_epoch=len(rows) // batch, callbacks=[clock], shuffle=False, verbose=0)
    return between(clock.ends)


def between(ends: list[Times]) -> list[Times]:
    return [(to[0] - at[0], to[1] - at[1]) for at, to in itertools.pairwise(ends)]


if __name__ == "__main__":
    sys.exit(main())
