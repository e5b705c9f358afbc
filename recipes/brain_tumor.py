"""Tumour or not on brain MR slices: the Kaggle brain tumour set, with a frozen MobileNetV2 or a network of its own.

Command
    python -m keras_med.run recipes/brain_tumor.py --data DIR   (or :cnn; without --data: demo images)

Data
    The Kaggle set "brain-tumor" of jakeshbohaju, unpacked: Brain Tumor.csv (Image, Class, 13 texture measures; 3,762
    rows, 1,683 of them with Class 1, a tumour) and Brain Tumor/Brain Tumor/Image1.jpg ..., 240x240. It names no
    patients, and neighbouring numbers are often slices of one head: only twins found by their pixels are kept on one
    side of the split. `--set data.blocks=40` adds a network that is tested on whole runs of numbers.

Protocol
    70 % training, 20 % test, 10 % validation; 224x224, batches of 16, 20 epochs, Adam 1e-4, cross-entropy. The weights
    with the best validation loss are kept. `recipe` (also `mobilenet`): MobileNetV2 keeps its ImageNet weights, and the
    layers behind it are trained. `cnn`: two convolutions and the fully connected layers, from nothing.

    The notebook flattened MobileNetV2's last maps, which makes a first layer of 128 million weights; here their average
    is taken, and `--set model.pooling=none` flattens. Its two outputs are one here, with the same cross-entropy.

    `as_published` has the notebook's folders, which were not emptied between its runs: 3,755 of the 3,762 images lie in
    train, 2,533 in test, 1,531 in validation. The weights are chosen on the test images, as its validation loader did.

Published
    Accuracy 99.72 %.

Demo data
    `recipe` with random weights for MobileNetV2: LEARNED, AUROC 0.96 in the mean of three seeds (95 % interval 0.86 to
    0.99) on 80 images. `cnn`: LEARNED, AUROC 0.99 (0.96 to 1.00).
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from keras_med import Binary, Column, Data, Holdout, Image, Model, Recipe, Train, tables
from keras_med.models import mobilenet_v2

if TYPE_CHECKING:
    import keras
    import pandas as pd

IMAGES = 3762
FOUND = {"train": 3755, "test": 2533, "validation": 1531}  # files in the notebook's folders after its last run


def index(root: Path) -> "pd.DataFrame":
    images = tables.files(root, "Brain Tumor/Brain Tumor/*.jpg")
    return tables.labelled(images, root / "Brain Tumor.csv", key="Image", label="Class")


def stale_folders(root: Path) -> "pd.DataFrame":
    """List an image once for each folder it lies in; every image lies in train, in test, or in both."""
    import numpy as np
    import pandas as pd

    images = index(root)
    draw = np.random.default_rng(42)
    count = {folder: round(len(images) * found / IMAGES) for folder, found in FOUND.items()}
    order = draw.permutation(len(images))
    rows = {
        "train": order[: count["train"]],
        "test": order[-count["test"] :],
        "validation": draw.permutation(len(images))[: count["validation"]],
    }
    copies = [images.take(places).assign(split=folder) for folder, places in rows.items()]
    table = pd.concat(copies, ignore_index=True)
    return table.assign(id=table["split"] + "/" + table["id"])


def mobilenet_network(
    image: "keras.KerasTensor",
    *,
    frozen: bool | str = True,
    alpha: float = 1.0,
    pooling: Literal["average", "maximum", "none"] = "average",
) -> "keras.KerasTensor":
    """Put new fully connected layers behind MobileNetV2.

    frozen: keep the backbone's weights, or those before a layer: until:NAME
    alpha: width of the backbone
    pooling: what becomes of its last maps; none flattens them
    """
    import keras

    x = mobilenet_v2(image, frozen=frozen, alpha=alpha, pooling=pooling)
    if pooling == "none":
        x = keras.layers.Flatten()(x)
    for units in (2048, 128):
        x = keras.layers.Dense(units, activation="relu")(x)
    return x


def cnn_network(image: "keras.KerasTensor") -> "keras.KerasTensor":
    """Lead two convolutions with pooling to fully connected layers."""
    import keras

    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for filters in (8, 16):
        x = keras.layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten()(x)
    for units in (2048, 512, 128):
        x = keras.layers.Dense(units, activation="relu")(x)
    return x


mobilenet = Recipe(
    target=Binary(positive=1),
    data=Data(index, phantom="brain_tumor"),
    image=Image(size=(224, 224), channels=3),
    split=Holdout(validation=0.1, test=0.2),
    model=Model(mobilenet_network),
    train=Train(epochs=20, batch_size=16, learning_rate=1e-4),
    seed=42,
)

recipe = mobilenet
cnn = replace(mobilenet, model=Model(cnn_network))

as_published = replace(
    mobilenet,
    data=Data(stale_folders, phantom="brain_tumor"),
    split=Column("split", leaks="allow", watch="test"),
    model=Model(mobilenet_network, pooling="none"),
)
