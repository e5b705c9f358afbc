"""What a search costs beside training: 200 tiny trials through the real runner, each fit a process of its own.

    python benchmarks/search_overhead.py [--trials 200] [--pictures 200] [--epochs 3]

Wanted: from the first fit's begin to search.csv under 1 s a fit beside its epochs, whose seconds stand in its history;
and memory of the parent that grows by less than 0.1 MiB a trial (its own pages; least squares without the first tenth
of the trials).
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
        fits = len(pd.read_csv(run / "search.csv"))
        training = sum(pd.read_csv(file)["seconds"].sum() for file in run.glob("fits/t*-fold0/history.csv")) / fits
    clock, processor = ((getattr(seen[-1], name) - getattr(seen[0], name)) / fits for name in ("clock", "processor"))
    steady = [one for one in seen if given.trials // 10 <= one.fits < given.trials]
    slope = np.polyfit([one.fits for one in steady], [one.memory for one in steady], 1)[0]
    print(f"{fits} trials of {given.epochs} epochs on {given.pictures} pictures, a fit each")
    print(
        f"a fit: {clock:.2f} s by the clock, {processor:.2f} s of processors; its epochs {training:.2f} s by the clock"
    )
    print(f"beside its epochs    {clock - training:6.2f} s")
    print(f"memory of the parent {steady[0].memory:6.1f} to {steady[-1].memory:.1f} MiB, {slope:.3f} MiB a trial")
    reached = clock - training < 1 and slope < 0.1
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


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
