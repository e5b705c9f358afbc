"""What a search costs beside training: 200 tiny trials through the real runner, each fit a process of its own.

    python benchmarks/search_overhead.py [--trials 200] [--pictures 200] [--epochs 3]

Wanted: under 1 s a fit beside its epochs, whose seconds stand in its history (from the end of one fit to that of the
next, median); and memory of the parent that grows by less than 0.1 MiB a trial (its own pages; least squares without
the first tenth of the trials).
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import watched_search

RECIPE = '''"""Bright or dark spots."""

from keras_med import Binary, Data, Float, Holdout, Image, Model, Recipe, Search, Train, tables


def index(root):
    return tables.labelled(tables.files(root, "*.png"), root / "labels.csv", key="name", label="bright")


def network(image):
    import keras

    x = keras.layers.MaxPooling2D(4)(keras.layers.Rescaling(1 / 255)(image))
    return keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(x))


recipe = Recipe(
    target=Binary(),
    data=Data(index, duplicates="allow"),
    image=Image(size=(32, 32)),
    split=Holdout(validation=0.25, test=0.15),
    model=Model(network),
    train=Train(epochs=EPOCHS, threads=1),
    search=Search(over={"train.learning_rate": Float(1e-4, 1e-1, log=True)}, by="random", trials=TRIALS),
)
'''


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder, given.pictures)
        text = RECIPE.replace("EPOCHS", str(given.epochs)).replace("TRIALS", str(given.trials))
        (folder / "spots.py").write_text(text)
        seen = watched_search.run(folder, "spots.py", "--data", "data")[1:]
        (run,) = folder.glob("runs/spots/*-????")
        ends, training = fits_of(run)
    each = np.diff(ends)
    beside = float(np.median(each - training[1:]))
    processor = (seen[-1].processor - seen[0].processor) / len(ends)
    steady = [one for one in seen if given.trials // 10 <= one.fits < given.trials]
    slope = np.polyfit([one.fits for one in steady], [one.memory for one in steady], 1)[0]
    print(f"{len(ends)} trials of {given.epochs} epochs on {given.pictures} pictures, a fit each")
    print(f"a fit, median: {np.median(each):.2f} s by the clock, of which its epochs {np.median(training):.2f} s")
    print(f"beside its epochs    {beside:6.2f} s; all of it {processor:.2f} s of processors")
    print(f"memory of the parent {steady[0].memory:6.1f} to {steady[-1].memory:.1f} MiB, {slope:.3f} MiB a trial")
    reached = beside < 1 and slope < 0.1
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


def fits_of(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return when each fit ended, in that order, and the seconds of its epochs."""
    done = sorted(run.glob("fits/t*-fold0/done.json"), key=lambda file: file.stat().st_mtime)
    seconds = [pd.read_csv(file.with_name("history.csv"))["seconds"].sum() for file in done]
    return np.array([file.stat().st_mtime for file in done]), np.array(seconds)


def make_pictures(folder: Path, count: int) -> None:
    draw = np.random.default_rng(0)
    (folder / "data").mkdir()
    lines = ["name,bright"]
    for number in range(count):
        picture = draw.normal(100, 20, (32, 32))
        down, along = draw.integers(8, 24, 2)
        picture[down - 6 : down + 6, along - 6 : along + 6] += 60 if number % 2 else -60
        cv2.imwrite(str(folder / "data" / f"p{number:05d}.png"), np.clip(picture, 0, 255).astype(np.uint8))
        lines.append(f"p{number:05d},{number % 2}")
    (folder / "data" / "labels.csv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
