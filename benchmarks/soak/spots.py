"""A search that is cheap and whose trials differ: bright and dark spots, every fourth label wrong."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

RECIPE = '''"""Bright or dark spots, every fourth label wrong."""

from keras_med import Binary, Data, Holdout, Image, Model, Recipe, Search, Train, tables


def index(root):
    return tables.labelled(tables.files(root, "*.png"), root / "labels.csv", key="name", label="bright")


def network(image):
    import keras

    x = keras.layers.Rescaling(1 / 255)(image)
    x = keras.layers.MaxPooling2D()(keras.layers.Conv2D(16, 3, activation="relu")(x))
    x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
    return keras.layers.Dense(32, activation="relu")(x)


recipe = Recipe(
    target=Binary(),
    data=Data(index, duplicates="allow"),
    image=Image(size=(48, 48)),
    split=Holdout(),
    model=Model(network),
    train=Train(epochs=EPOCHS, batch_size=16, threads=1),
    search=Search(over={"train.learning_rate": RATES, "train.batch_size": [8, 16]}, folds=3),
)
'''


def make(folder: Path, count: int, *, epochs: int, rates: Sequence[float]) -> None:
    """Write data/ and the recipe spots.py."""
    draw = np.random.default_rng(0)
    (folder / "data").mkdir()
    lines = ["name,bright"]
    for number in range(count):
        bright = int(draw.integers(2))
        picture = draw.normal(100, 30, (48, 48))
        down, along = draw.integers(8, 40, 2)
        picture[down - 6 : down + 6, along - 6 : along + 6] += 25 if bright else -25
        cv2.imwrite(str(folder / "data" / f"p{number:05d}.png"), np.clip(picture, 0, 255).astype(np.uint8))
        lines.append(f"p{number:05d},{bright if draw.uniform() < 0.75 else 1 - bright}")
    (folder / "data" / "labels.csv").write_text("\n".join(lines) + "\n")
    text = RECIPE.replace("EPOCHS", str(epochs)).replace("RATES", repr(list(rates)))
    (folder / "spots.py").write_text(text)
