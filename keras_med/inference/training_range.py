"""A finished run to what keras_med.json says of its training pictures, and how many of the others are unlike them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data.copies import MARK
from keras_med.data.dataset import UNLABELLED, read_index
from keras_med.data.pixels import read_input
from keras_med.inference import range as in_range
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Recipe
from keras_med.runfolder import RunFolder

_SHOWN = 200  # pictures on which formats are compared
_MOST = 1000  # training pictures that are measured, and half as many of the others


def training_range(run: RunFolder, recipe: Recipe, fold: str) -> dict[str, Any] | None:
    """Measure training pictures of the exported network; None where they are too few to say what is usual.

    `held_out` counts pictures that the network did not train on, and those of them that are flagged all the same.
    """
    splits = pd.read_csv(run.splits, dtype=str, keep_default_na=False)
    own = splits[(splits["fold"] == fold) & ~splits["id"].str.endswith(MARK)]
    index = read_index(run.index).set_index("id", drop=False)
    draw = np.random.default_rng(seed_for(recipe.seed, "range"))
    training = _some(index, own.loc[own["split"] == "train", "id"], _MOST, draw)
    if len(training) < in_range.FEWEST:
        return None
    groups = training["group"] if "group" in training else training["id"]
    modalities = [in_range.modality(Path(path)) for path in training["path"].unique()]
    made = in_range.fit([in_range.measure(one) for one in _pictures(training, recipe)], list(groups), modalities)
    others = _some(index, own.loc[~own["split"].isin(["train", UNLABELLED]), "id"], _MOST // 2, draw)
    flagged = sum(bool(made.outside(one)) for one in _pictures(others, recipe))
    held_out = {"pictures": len(others), "flagged": flagged}
    return {**made.to_json(), "training": len(training), "held_out": held_out}


def held_out_pictures(run: RunFolder, recipe: Recipe, fold: str, threshold: float | None) -> Path | None:
    """Write pictures that the exported network did not train on, for what 8-bit weights change; return the file.

    None where there are none, as for the mean of folds without a test split.

    The threshold is that of a binary target; without a decision, as of a regression, it is no number.
    """
    splits = pd.read_csv(run.splits, dtype=str, keep_default_na=False)
    own = splits[(splits["fold"] == fold) & ~splits["split"].isin(["train", UNLABELLED])]
    index = read_index(run.index).set_index("id", drop=False)
    draw = np.random.default_rng(seed_for(recipe.seed, "held out"))
    chosen = _some(index, own.loc[own["id"].isin(index["id"]), "id"], _SHOWN, draw)
    if not len(chosen):
        return None
    decides = {"binary": 0.5 if threshold is None else threshold, "classes": 0.0}.get(recipe.target.kind, np.nan)
    pictures = np.stack(list(_pictures(chosen, recipe)))
    file = run.fit("export").path.absolute() / "held_out.npz"
    runfolder.write_atomically(file, lambda opened: np.savez(opened, pictures=pictures, threshold=decides))
    return file


def _some(index: pd.DataFrame, ids: pd.Series, most: int, draw: np.random.Generator) -> pd.DataFrame:
    chosen = np.sort(draw.permutation(len(ids))[:most])
    return index.loc[ids.iloc[chosen]]


def _pictures(rows: pd.DataFrame, recipe: Recipe) -> Iterator[np.ndarray]:
    for array, row, stack in zip(rows["array"], rows["array_row"], rows["stack"], strict=True):
        yield read_input(array, int(row), bool(stack), recipe.image)
