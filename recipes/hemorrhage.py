"""Bleeding on a head CT slice: the RSNA 2019 intracranial haemorrhage challenge, with a frozen ResNet50.

Command
    python -m keras_med.run recipes/hemorrhage.py --data DIR --fits-at-once 2  (without --data: demo images)

Data
    The Kaggle competition "rsna-intracranial-hemorrhage-detection", stage 2, unpacked: stage_2_train.csv (ID, Label;
    six rows an image) and stage_2_train_images/ID_xxxxxxxxx.dcm (752,803 files, 459 GB). The DICOM headers name
    patients, which are divided as a whole.

Protocol
    15 % of the patients are the test split. 20 % of the rest watch; the training side alone is drawn down to one slice
    without bleeding for each with. Slices become 180x180 PNG of the brain window, without augmentation. ResNet50 keeps
    its ImageNet weights; a fully connected layer of 512 is trained behind it. Two rounds look for the learning rate on
    2,000 slices: five for 10 epochs, then the best three for 30. The run then trains on up to 20,000 slices for 30
    epochs. All trials are compared at the threshold where they find 95 % of the bleeding: precision, then accuracy.

    `as_published` draws all data down before the split, divides slices instead of patients, and compares sensitivity,
    precision and accuracy at p = 0.5.

Published
    Accuracy 0.533 on 600 test slices; no figure for the final training.

Demo data
    140 patients, four slices a study: about as few as give a test of 20 patients, below which nothing can be said.
    ResNet50 then has random weights, unless published ones are found: LEARNED, AUROC 0.99 in the mean of three seeds
    (95 % interval 0.97 to 1.00).
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from keras_med import Binary, Data, Holdout, Image, Model, Recipe, Round, Search, Train, tables
from keras_med.models import resnet50

if TYPE_CHECKING:
    import keras
    import pandas as pd


def index(root: Path) -> "pd.DataFrame":
    labels = tables.read_csv(root / "stage_2_train.csv", text=["ID"])
    labels[["ID", "type"]] = labels["ID"].str.rsplit("_", n=1).to_list()  # ID_63eb1e259_epidural
    slices = tables.dicom(root / "stage_2_train_images")
    return tables.labelled(slices, labels[labels["type"] == "any"], key="ID", label="Label")


def network(image: "keras.KerasTensor", *, frozen: bool = True, units: int = 512) -> "keras.KerasTensor":
    """Put one fully connected layer behind ResNet50.

    frozen: keep the backbone's weights
    units: of the fully connected layer
    """
    import keras

    return keras.layers.Dense(units, activation="relu")(resnet50(image, frozen=frozen))


search = Search(
    over={"train.learning_rate": [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]},
    by="staged",
    rounds=(Round(epochs=10, keep=3, examples=2000), Round(epochs=30, examples=2000)),
    metrics=("precision", "accuracy"),
    sensitivity=0.95,
)

recipe = Recipe(
    target=Binary(positive=1),
    data=Data(index, phantom="rsna", balance="undersample"),
    image=Image(size=(180, 180), values=((40, 80),), store_as="png"),
    split=Holdout(validation=0.2, test=0.15),
    model=Model(network),
    train=Train(epochs=30, batch_size=32, learning_rate=1e-4, examples=20000),
    search=search,
    seed=42,
)

as_published = replace(
    recipe,
    data=replace(recipe.data, balance="undersample_before_split"),
    split=Holdout(validation=0.2, test=0.15, by="example"),
    search=replace(search, metrics=("sensitivity", "precision", "accuracy"), sensitivity=None),
)
