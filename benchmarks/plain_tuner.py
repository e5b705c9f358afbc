"""A search over learning rates on a frozen ResNet50: this program against plain KerasTuner scripts, end to end.

    python benchmarks/plain_tuner.py [--pictures 300] [--side 128] [--epochs 20] [--measured 2]

Five rates. All sides read the same PNG files, in processes of their own, imports included; ours is timed until
search.csv is written. The plain script is a careful one: pictures decoded once and held in memory, no XLA, and no
training pass through the frozen layers' gradients; but its trials compute the backbone in each epoch. It trains
`--measured` epochs of one trial, the others are that many times the mean epoch after the first. The third side is the
same script whose author has cached the backbone's features by hand; it trains all trials for all epochs.
Wanted: 10 times faster than the first script, and no slower than the second.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import watched_search

HERE = Path(__file__).resolve()
RATES = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
RECIPE = '''"""Bright or dark spots."""

from keras_med import Binary, Data, Holdout, Image, Model, Recipe, Search, Train, tables
from keras_med.models import resnet50


def index(root):
    return tables.labelled(tables.files(root, "*.png"), root / "labels.csv", key="name", label="bright")


def network(image):
    import keras

    return keras.layers.Dense(512, activation="relu")(resnet50(image, frozen=True, pretrained=False))


recipe = Recipe(
    target=Binary(),
    data=Data(index, duplicates="allow"),
    image=Image(size=(SIDE, SIDE)),
    split=Holdout(validation=0.2, test=0.15),
    model=Model(network),
    train=Train(epochs=EPOCHS),
    search=Search(over={"train.learning_rate": RATES}),
)
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--measured", type=int, default=2)
    parser.add_argument("--script", choices=["plain", "cached"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.script == "plain":
        return plain(Path("data"), given.measured)
    if given.script == "cached":
        return cached(Path("data"), given.epochs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder, given.pictures, given.side)
        text = RECIPE.replace("SIDE", str(given.side)).replace("EPOCHS", str(given.epochs)).replace("RATES", str(RATES))
        (folder / "spots.py").write_text(text)
        by_hand, _ = timed_script(folder, "cached", "--epochs", str(given.epochs))
        seen = watched_search.run(folder, "spots.py", "--data", "data", "--fits-at-once", "2")
        whole, told = timed_script(folder, "plain", "--measured", str(given.measured))
    ours, epochs = seen[-1].clock - seen[0].clock, json.loads(told)
    usual = float(np.mean(epochs[1:]))
    scaled = whole - sum(epochs) + len(RATES) * epochs[0] + len(RATES) * (given.epochs - 1) * usual
    print(f"{given.pictures} pictures of {given.side}x{given.side}, {len(RATES)} trials of {given.epochs} epochs")
    print(f"keras_med, until search.csv              {ours:8.1f} s")
    print(
        f"KerasTuner, scaled from 1 trial          {scaled:8.1f} s ({usual:.1f} s an epoch)  ratio {scaled / ours:.2f}"
    )
    print(f"KerasTuner, features cached by hand      {by_hand:8.1f} s  ratio {by_hand / ours:.2f}")
    return None


def make_pictures(folder: Path, count: int, side: int) -> None:
    draw = np.random.default_rng(0)
    (folder / "data").mkdir()
    lines = ["name,bright"]
    for number in range(count):
        picture = draw.normal(100, 20, (side, side))
        down, along = draw.integers(16, side - 16, 2)
        picture[down - 12 : down + 12, along - 12 : along + 12] += 60 if number % 2 else -60
        cv2.imwrite(str(folder / "data" / f"p{number:05d}.png"), np.clip(picture, 0, 255).astype(np.uint8))
        lines.append(f"p{number:05d},{number % 2}")
    (folder / "data" / "labels.csv").write_text("\n".join(lines) + "\n")


def timed_script(folder: Path, script: str, *arguments: str) -> tuple[float, str]:
    """Run a script of this file in a process of its own; return its seconds and the last line that it printed."""
    begun = time.perf_counter()
    typed = [sys.executable, str(HERE), "--script", script, *arguments]
    told = subprocess.run(typed, check=True, capture_output=True, text=True, cwd=folder).stdout
    return time.perf_counter() - begun, told.splitlines()[-1]


def read(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures, labels, and which of them are watched."""
    import pandas as pd

    rows = pd.read_csv(data / "labels.csv")
    images = np.stack([cv2.imread(str(data / f"{name}.png")) for name in rows["name"]]).astype("float32")
    return images, rows["bright"].to_numpy("float32")[:, None], np.arange(len(images)) % 5 == 0


def frozen(shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return a picture's input and what the frozen backbone makes of it."""
    import keras

    image = keras.Input(shape)
    centred = keras.applications.resnet50.preprocess_input(image)
    backbone = keras.applications.ResNet50(include_top=False, weights=None, pooling="avg")
    backbone.trainable = False
    return image, backbone(centred, training=False)


def headed(inputs: Any, features: Any, rate: float) -> Any:
    """Return a compiled network with a head of its own."""
    import keras

    hidden = keras.layers.Dense(512, activation="relu")(features)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    return model


def cached(data: Path, epochs: int) -> None:
    """Search as a careful notebook does: the backbone's features once, then heads alone, every trial to its end."""
    import keras
    import keras_tuner

    images, labels, watched = read(data)
    image, pooled = frozen(images.shape[1:])
    features = keras.Model(image, pooled).predict(images, verbose=0)

    def build(values: keras_tuner.HyperParameters) -> keras.Model:
        inputs = keras.Input(features.shape[1:])
        return headed(inputs, inputs, values.Choice("learning_rate", RATES))

    tuner = keras_tuner.GridSearch(build, "val_accuracy", max_trials=len(RATES), directory="tuner", overwrite=True)
    held_out = (features[watched], labels[watched])
    tuner.search(
        features[~watched], labels[~watched], validation_data=held_out, epochs=epochs, batch_size=32, verbose=0
    )
    print(tuner.get_best_hyperparameters()[0].values)


def plain(data: Path, epochs: int) -> None:
    """Search as a notebook does, for one trial, and print the seconds of its epochs."""
    import keras
    import keras_tuner

    class Clock(keras.callbacks.Callback):
        seconds: list[float] = []  # noqa: RUF012  # KerasTuner copies its callbacks

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.begun = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            self.seconds.append(time.perf_counter() - self.begun)

    images, labels, watched = read(data)

    def build(values: keras_tuner.HyperParameters) -> keras.Model:
        image, pooled = frozen(images.shape[1:])
        return headed(image, pooled, values.Choice("learning_rate", RATES))

    tuner = keras_tuner.GridSearch(build, "val_accuracy", max_trials=1, directory="tuner", overwrite=True)
    tuner.search(
        images[~watched],
        labels[~watched],
        validation_data=(images[watched], labels[watched]),
        epochs=epochs,
        batch_size=32,
        verbose=0,
        callbacks=[Clock()],
    )
    print(json.dumps(Clock.seconds))


if __name__ == "__main__":
    main()
