"""A run's splits to those of a search: folds, or one validation part, inside what the run trains on; never its test.

Both return rows like those of splits.csv, for folds of their own names; rows outside have the split "unused". They are
made before the training side is undersampled or mirrored, so that what a search scores keeps its natural shares.
"""

import numpy as np
import pandas as pd

from keras_med.data.split_division import Units, divide, groups_of, strata_of
from keras_med.errors import RecipeError
from keras_med.recipe.seeds import seed_for

SEARCH = "search"
INSIDE = ("train", "validation", "out_of_fold")


def search_folds(
    splits: pd.DataFrame,
    table: pd.DataFrame,
    *,
    folds: int,
    kind: str,
    seed: int,
    validation: float = 0.1,
    inside: tuple[str, ...] = INSIDE,
    fold: str = "0",
) -> pd.DataFrame:
    """Divide by patient and twins, each class alike, into the folds "search0", "search1" and so on.

    A fold's own rows are "out_of_fold"; a share of its training side is "validation", for early stopping.

    Args:
        splits: of the run, before balancing; its test split, or what else is not `inside`, is never part of a fold.
        table: id and label; patient, study, series and group where they are known.
        inside: the places of `fold` that are divided; without "out_of_fold" the search is nested in that fold.
    """
    rows, units = _inside(splits, table, inside, fold, kind)
    equal = {str(number): 1 / folds for number in range(folds)}
    numbers = divide(units, equal, seed_for(seed, "search folds"))
    made = []
    for number in equal:
        places = np.where(numbers == number, "out_of_fold", "train").astype(object)
        places = _cut(places, units, validation, seed_for(seed, f"search validation {number}"))
        made.append(_placed(splits, fold, rows["id"], places, f"{SEARCH}{number}"))
    return pd.concat(made, ignore_index=True)


def search_holdout(
    splits: pd.DataFrame, table: pd.DataFrame, *, kind: str, seed: int, validation: float = 0.15, fold: str = "0"
) -> pd.DataFrame:
    """Return the fold "search": one validation part for all rounds, and everything else outside the test to train on.

    The validation part is the run's own where it has one, else a share cut by patient and twins.

    Args:
        splits: of the run, before balancing.
        table: as `search_folds` takes it.
    """
    rows, units = _inside(splits, table, INSIDE, fold, kind)
    places = np.where(rows["split"] == "validation", "validation", "train").astype(object)
    if not (places == "validation").any():
        places = _cut(places, units, validation, seed_for(seed, "search validation"))
    return _placed(splits, fold, rows["id"], places, SEARCH)


def _inside(
    splits: pd.DataFrame, table: pd.DataFrame, inside: tuple[str, ...], fold: str, kind: str
) -> tuple[pd.DataFrame, Units]:
    """Return the rows that a search may see, in the order of their ids, and their groups and classes."""
    mine = splits[splits["fold"] == fold]
    if not (~mine["split"].isin((*inside, "unused", "unlabelled"))).any():
        raise RecipeError(
            "A search needs a part of the data that it never sees.",
            remedy="Set split.test to 0.15, or search inside each fold.",
        )
    rows = mine[mine["split"].isin(inside)].sort_values("id").reset_index(drop=True)
    known = rows[["id"]].merge(table.assign(id=table["id"].astype(str)), on="id", how="left", validate="1:1")
    strata, names = strata_of(known["label"], kind)
    return rows, Units(groups_of(known), strata, names, "patients or groups of twins")


def _cut(places: np.ndarray, units: Units, share: float, seed: int) -> np.ndarray:
    """Cut a share of whole groups from the training side."""
    if not share:
        return places
    train = places == "train"
    made = places.copy()
    made[train] = divide(units.only(train), {"train": 1 - share, "validation": share}, seed)
    return made


def _placed(splits: pd.DataFrame, fold: str, ids: pd.Series, places: np.ndarray, name: str) -> pd.DataFrame:
    mine = splits[(splits["fold"] == fold) & (splits["split"] != "unlabelled")]
    found = mine["id"].map(pd.Series(places, index=ids.to_numpy())).fillna("unused")
    return mine.assign(split=found.astype(str), fold=name).reset_index(drop=True)
