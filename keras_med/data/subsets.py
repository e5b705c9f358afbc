"""Training examples to fewer of them: a stratified draw in which the larger number holds the smaller one's examples."""

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from keras_med.data.copies import original
from keras_med.data.split_division import strata_of
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Recipe


def drawn(table: pd.DataFrame, count: int, *, kind: str, seed: int) -> NDArray[np.bool_]:
    """Say which rows a draw of `count` takes: each class, or range of labels, in its share to within one.

    An example's place in its class comes from a hash of the seed and its id. A draw of 2,000 is therefore part of one
    of 20,000 from the same rows, and the order of the rows changes nothing.

    Args:
        table: id and label.
        kind: regression, binary or classes.
    """
    if count >= len(table):
        return np.ones(len(table), bool)
    strata = strata_of(table["label"].reset_index(drop=True), kind)[0]
    lots = np.array([_lot(seed, name) for name in table["id"].astype(str)])
    frame = pd.DataFrame({"stratum": strata, "lot": lots})
    place = frame.groupby("stratum")["lot"].rank(method="first").to_numpy()
    size = frame.groupby("stratum")["lot"].transform("size").to_numpy()
    # Evenly spread over its class: after any number of rows each class has given the same share of itself.
    order = np.lexsort((lots, (place - 0.5) / size))
    chosen = np.zeros(len(table), bool)
    chosen[order[:count]] = True
    return chosen


def balanced(table: pd.DataFrame, seed: int) -> NDArray[np.bool_]:
    """Say which rows are kept when every class is drawn down to the size of the smallest.

    Args:
        table: id and label.
    """
    order = np.argsort([_lot(seed, name) for name in table["id"].astype(str)], kind="stable")
    labels = table["label"].map(str).iloc[order]
    kept = np.zeros(len(table), bool)
    kept[order] = (labels.groupby(labels).cumcount() < labels.value_counts().min()).to_numpy()
    return kept


def beyond(table: pd.DataFrame, most: int, recipe: Recipe) -> pd.Series:
    """Say which training rows of a fold a fit of at most so many examples leaves out.

    Copies that were mirrored for training come with their pictures and do not count.

    Args:
        table: id, label and place.
    """
    train = table["place"] == "train"
    names = original(table["id"]) if recipe.data.mirror == "training" else table["id"]
    pictures = table[train & (table["id"] == names)]
    chosen = drawn(pictures, most, kind=recipe.target.kind, seed=seed_for(recipe.seed, "examples"))
    return train & ~names.isin(pictures["id"][chosen])


def _lot(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=7).digest(), "big")
