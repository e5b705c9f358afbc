"""A run's index.csv and splits.csv to the rows of one fold: inputs and labels, ready for the pipeline."""

import numpy as np
import pandas as pd

from keras_med.data import pixels, subsets
from keras_med.data.dataset import read_index
from keras_med.data.identifiers import label_text
from keras_med.data.pipeline import Rows
from keras_med.recipe.words import Binary, Image, Recipe, Regression
from keras_med.runfolder import RunFolder
from keras_med.training.features import Features
from keras_med.training.network import LabelScale


class Examples:
    """The examples of one fold.

    Args:
        run: whose index and splits are read.
        fold: as splits.csv names it.
        features: what the frozen prefix gave, when the fit trains on that instead of on images.
        most: training examples; those that a draw leaves out are in no place. Mirrored copies come with their pictures.
    """

    def __init__(
        self, run: RunFolder, fold: str, recipe: Recipe, features: Features | None = None, *, most: int | None = None
    ) -> None:
        splits = pd.read_csv(run.splits, dtype=str, keep_default_na=False)
        places = splits[splits["fold"] == fold].set_index("id")["split"]
        table = read_index(run.index)
        table["place"] = table["id"].map(places)
        if most is not None:
            table["place"] = table["place"].mask(subsets.beyond(table, most, recipe))
        self._table = table
        self._recipe = recipe
        self._features = features

    def table(self, place: str) -> pd.DataFrame:
        """Return id and label of the rows in a place (train, validation, out_of_fold, test, unlabelled)."""
        return self._table.loc[self._table["place"] == place, ["id", "label"]].reset_index(drop=True)

    def rows(self, place: str) -> Rows:
        """Return inputs and labels of the rows in a place."""
        chosen = self._table[self._table["place"] == place]
        labels = encoded(chosen["label"], self._recipe)
        if self._features is not None:
            at, names = chosen.index.to_numpy(), chosen["id"].tolist()
            views = self._features.view_readers(at) if place == "train" else ()
            return Rows(self._features.reader(at), self._features.shape, labels, names, views)
        return image_rows(chosen, self._recipe.image, labels)

    def label_scale(self) -> LabelScale:
        """Return mean and deviation of the training labels; (0, 1) for a classifier."""
        if not isinstance(self._recipe.target, Regression):
            return LabelScale()
        labels = encoded(self.table("train")["label"], self._recipe)
        deviation = float(labels.std())
        return LabelScale(float(labels.mean()), deviation if deviation > 0 else 1.0)


def image_rows(table: pd.DataFrame, image: Image, labels: np.ndarray) -> Rows:
    """Return rows that are read from the prepared arrays as they are asked for."""
    arrays = table["array"].to_numpy()
    places = table["array_row"].to_numpy(int)
    stacks = _flags(table, "stack")
    mirrored = _flags(table, "mirrored")

    def read_one(at: int) -> np.ndarray:
        return pixels.read_input(arrays[at], int(places[at]), bool(stacks[at]), image, mirrored=bool(mirrored[at]))

    def read(positions: np.ndarray) -> np.ndarray:
        return np.stack([read_one(at) for at in positions])

    return Rows(read, image.shape, labels, table["id"].tolist())


def _flags(table: pd.DataFrame, column: str) -> np.ndarray:
    return (table[column].astype(str) == "True").to_numpy() if column in table else np.zeros(len(table), bool)


def encoded(labels: pd.Series, recipe: Recipe) -> np.ndarray:
    """Return labels as the loss takes them; a row without a label gets a zero, which nothing reads."""
    texts = labels.astype(str)
    target = recipe.target
    if isinstance(target, Regression):
        return pd.to_numeric(texts.replace("", "0")).to_numpy(np.float32)[:, None]
    if isinstance(target, Binary):
        return (texts == label_text(target.positive)).to_numpy(np.float32)[:, None]
    numbers = {label_text(name): number for number, name in enumerate(target.names)}
    return texts.map(numbers).fillna(0).to_numpy(np.int32)
