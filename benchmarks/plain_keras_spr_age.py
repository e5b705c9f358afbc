"""The protocol of recipes/spr_age.py as a plain Keras script, as a careful author would write it.

    python benchmarks/plain_keras_spr_age.py DATA WEIGHTS OUT [--features] [--folds 5] [--epochs 20] [--fits 6]

Pictures are decoded once, held in memory and prefetched; no XLA, which is eight times slower on a CPU; the backbone is
frozen, and its Dropout layers have rate 0, or it would be random in training. `--features` computes the backbone once
by hand and trains the head on what it gave. OUT gets times.json, predictions.csv and a SavedModel.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import tensorflow as tf

SIZE = 260
BATCH = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--fits", type=int, default=6, help="the folds, then the final network; 1 stops after fold 0")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    keras.utils.set_random_seed(1)
    clock = Clock()
    table = pd.read_csv(given.data / "train_age.csv")
    images = np.stack([picture(given.data, number) for number in table["imageId"]])
    ages = table["age"].to_numpy(np.float32)[:, None]
    clock.note("decode")
    backbone = frozen_backbone(given.weights)
    if given.features:
        pixels = tf.data.Dataset.from_tensor_slices(images).batch(BATCH).prefetch(2)
        images = backbone.predict(pixels, verbose=0)
    clock.note("backbone")
    order = np.random.default_rng(1).permutation(len(ages))
    test, rest = np.split(order, [round(0.15 * len(order))])
    folds = np.array_split(rest, 5)
    parts, fits = [], []
    for number in range(given.fits):
        held = folds[number] if number < 5 else np.empty(0, int)
        others = np.setdiff1d(rest, held)
        np.random.default_rng(number).shuffle(others)
        watched, train = np.split(others, [round((0.1 if number < 5 else 0.03) * len(others))])
        model = network(backbone, ages[train], on_features=given.features)
        fits.append(fit(model, images, ages, train, watched, given.epochs))
        scored = held if number < 5 else test
        predicted = model.predict(dataset(images, ages, scored), verbose=0)[:, 0]
        parts.append(pd.DataFrame({"id": scored, "fit": number, "label": ages[scored, 0], "predicted": predicted}))
        clock.note(f"fit {number}")
    predictions = pd.concat(parts)
    predictions.to_csv(given.out / "predictions.csv", index=False)
    whole = model if not given.features else keras.Model(backbone.input, model(backbone.output))
    whole.save(given.out / "model.keras")
    whole.export(given.out / "export", verbose=False)
    clock.note("export")
    error = (predictions["predicted"] - predictions["label"]).abs()
    found = {"seconds": clock.seconds, "fits": fits, "mae": error.groupby(predictions["fit"]).mean().to_dict()}
    (given.out / "times.json").write_text(json.dumps(found, indent=1))


class Clock:
    """Seconds of each part, by the clock and of the processor."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {"import": (time.perf_counter() - BEGUN, time.process_time())}
        self._last = (time.perf_counter(), time.process_time())

    def note(self, name: str) -> None:
        now = (time.perf_counter(), time.process_time())
        self.seconds[name] = (now[0] - self._last[0], now[1] - self._last[1])
        self._last = now


class EpochClock(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[tuple[float, float]] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self._begun = (time.perf_counter(), time.process_time())

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds.append((time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]))


def picture(data: Path, number: int) -> np.ndarray:
    grey = cv2.imread(str(data / "kaggle" / "kaggle" / "train" / f"{number:06d}.png"), cv2.IMREAD_GRAYSCALE)
    return cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[..., None]


def frozen_backbone(weights: Path) -> keras.Model:
    """Return EfficientNetB2 up to its pooling; the weights are of this very model."""
    image = keras.Input((SIZE, SIZE, 1))
    colour = keras.layers.Concatenate()([image, image, image])
    application = keras.applications.EfficientNetB2(input_tensor=colour, include_top=False, weights=None)
    maps = keras.Model(image, application.output)
    if weights.is_file():
        maps.load_weights(weights)
    backbone = keras.Model(image, keras.layers.GlobalAveragePooling2D()(maps.output))
    backbone.trainable = False
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return backbone


def network(backbone: keras.Model, ages: np.ndarray, *, on_features: bool) -> keras.Model:
    start = keras.Input(backbone.output_shape[1:]) if on_features else backbone.input
    x = start if on_features else backbone.output
    for units in (256, 128):
        x = keras.layers.Dropout(0.3)(keras.layers.Dense(units, activation="relu")(x))
    age = keras.layers.Rescaling(float(ages.std()), float(ages.mean()))(keras.layers.Dense(1)(x))
    return keras.Model(start, age)


def dataset(images: np.ndarray, ages: np.ndarray, chosen: np.ndarray, *, training: bool = False) -> tf.data.Dataset:
    made = tf.data.Dataset.from_tensor_slices((images[chosen], ages[chosen]))
    if training:
        made = made.shuffle(len(chosen))
    return made.batch(BATCH, drop_remainder=training).prefetch(2)


def fit(
    model: keras.Model, images: np.ndarray, ages: np.ndarray, train: np.ndarray, watched: np.ndarray, epochs: int
) -> dict[str, object]:
    steps = len(train) // BATCH
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, steps * epochs)
    model.compile(keras.optimizers.Adam(schedule), loss="mse", jit_compile=False)
    clock = EpochClock()
    best = keras.callbacks.EarlyStopping("val_loss", patience=epochs, restore_best_weights=True)
    model.fit(
        dataset(images, ages, train, training=True),
        validation_data=dataset(images, ages, watched),
        epochs=epochs,
        callbacks=[clock, best],
        verbose=0,
    )
    return {"steps": steps, "watched": len(watched), "epochs": clock.seconds}


BEGUN = time.perf_counter() - time.process_time()  # the imports above are nearly all work of the processor

if __name__ == "__main__":
    main()
