"""The audited table to splits.csv: the place of each example in each fold, with no patient or twin on both sides.

One row for each example and fold: id, group, split (train, validation, calibration, out_of_fold, test, unused) and fold
("0", "1" and so on, "final"). Groups are named after their first id.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from keras_med.data.copies import MARK
from keras_med.data.split_division import Units, divide, groups_of, strata_of
from keras_med.data.tables import SPLITS
from keras_med.errors import DataError, RecipeError, five_of
from keras_med.recipe.kinds import near
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Column, Final, Holdout, KFold, Split

PLACES = ("train", "validation", "calibration", "out_of_fold", "test", "unused", "unlabelled")
COLUMNS = ["id", "group", "split", "fold"]
_SIDES = ("train", "validation", "calibration", "out_of_fold", "test")


def make_splits(table: pd.DataFrame, split: Split, final: Final | None, *, kind: str, seed: int) -> pd.DataFrame:
    """Divide the labelled examples by patient and twins, each class or range of labels alike.

    The result depends on ids, labels, groups and the seed, never on the order of the rows. `attrs["dropped"]` lists the
    ids that Column(leaks="drop_from_training") took out; their split is "unused".

    Args:
        table: id and label; patient, study, series, group and the split's column where they are known.
        final: adds the fold "final".
        kind: regression, binary or classes.
        seed: the recipe's.
    """
    table = table.assign(id=table["id"].astype(str)).sort_values("id").reset_index(drop=True)
    strata, names = strata_of(table["label"], kind)
    units = Units(groups_of(table), strata, names, "patients or groups" if "patient" in table else "groups of images")
    dropped: list[str] = []
    if isinstance(split, Holdout):
        folds = {"0": _holdout(units, split, seed)}
    elif isinstance(split, KFold):
        folds = _kfold(units, split, seed)
    else:
        places, dropped = _column(table, units, split, seed)
        folds = {"0": places}
    if final is not None:
        folds["final"] = _final(units, next(iter(folds.values())), final, seed)
    made = _long(table["id"], units.groups, folds)
    _check_training(made, units, table["id"])
    made.attrs["dropped"] = dropped
    return made


def undersampled(splits: pd.DataFrame, table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Set aside ("unused") training examples of the larger classes until all classes are as small as the smallest.

    Validation, test and the fold itself keep their natural shares.
    """
    labels = splits["id"].map(table["label"].map(str).set_axis(table["id"].astype(str)))
    made = splits.copy()
    for fold in sorted(set(splits["fold"])):
        rows = np.flatnonzero((splits["fold"] == fold) & (splits["split"] == "train"))
        order = rows[np.random.default_rng(seed_for(seed, f"undersample {fold}")).permutation(len(rows))]
        drawn = labels.iloc[order]
        surplus = drawn.groupby(drawn).cumcount() >= drawn.value_counts().min()
        made.loc[made.index[order[surplus]], "split"] = "unused"
    return made


def with_groups(splits: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Name the group of patients and twins that each row belongs to, whether or not the division respected it."""
    ordered = table.assign(id=table["id"].astype(str)).sort_values("id").reset_index(drop=True)
    names = _group_names(ordered["id"], groups_of(ordered))
    return splits.assign(group=splits["id"].map(pd.Series(names, index=ordered["id"])))[COLUMNS]


def check_disjoint(splits: pd.DataFrame, table: pd.DataFrame, *, accepted: bool = False) -> int:
    """Return how many patients or twin groups lie on two sides of a fold: always 0, or a DataError says which fold.

    Args:
        accepted: count them only; the recipe asked for it by name.
    """
    groups = pd.Series(groups_of(table), index=table["id"].astype(str))
    used = splits[splits["split"].isin(_SIDES)]
    placed = pd.DataFrame({"fold": used["fold"], "split": used["split"], "group": used["id"].map(groups)})
    sides = placed.drop_duplicates().groupby(["fold", "group"]).size()
    shared = sides[sides > 1]
    if len(shared) and not accepted:
        folds = five_of([str(fold) for fold in shared.index.get_level_values("fold").unique()])
        raise DataError(
            f"{len(shared)} patients or twin groups lie on both sides of a split (fold {folds}).",
            where="splits.csv",
            remedy="Leave splits.csv to the program, or keep each patient and its twins on one side.",
        )
    return int(shared.index.get_level_values("group").nunique())


def read_splits(path: Path, table: pd.DataFrame, *, accepted: bool = False, partial: bool = False) -> pd.DataFrame:
    """Read a splits.csv that is given back: every example of the table once in each fold, no patient on both sides.

    Copies that an earlier run mirrored for training are passed over: they follow their pictures.

    Args:
        accepted: patients and twins may lie on both sides, since the recipe asks for it by name.
        partial: read the examples that file and table share.
    """
    try:
        given = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"The splits cannot be read: {str(error).splitlines()[0]}", where=str(path)) from None
    for column in ("id", "split", "fold"):
        if column not in given:
            raise DataError(
                f"There is no column {column!r}.", where=str(path), remedy=near(column, list(given.columns))
            )
    given = given[given["split"] != "unlabelled"].reset_index(drop=True)
    odd = sorted(set(given["split"]) - set(PLACES))
    if odd:
        raise DataError(f"No such split: {five_of(odd)}", where=str(path), remedy=near(odd[0], list(PLACES)))
    ids = table["id"].astype(str)
    copies = given["id"].str.endswith(MARK) & ~given["id"].isin(ids)
    given = given[~copies].reset_index(drop=True)
    if partial:
        given, table = given[given["id"].isin(ids)].reset_index(drop=True), table[ids.isin(given["id"])]
        ids = table["id"].astype(str)
    _refuse(path, "ids that the data do not have", sorted(set(given["id"]) - set(ids)), "Delete their rows.")
    twice = given[given.duplicated(["id", "fold"])]["id"]
    _refuse(path, "ids that stand twice in a fold", sorted(set(twice)), "Keep one row of each.")
    for fold in sorted(set(given["fold"])):
        absent = sorted(set(ids) - set(given.loc[given["fold"] == fold, "id"]))
        _refuse(path, f"ids that fold {fold} lacks", absent, 'Add them; split "unused" leaves them out.')
        if not ((given["fold"] == fold) & (given["split"] == "train")).any():
            raise DataError(f"Fold {fold} has no training examples.", where=str(path))
    check_disjoint(given, table, accepted=accepted)
    return with_groups(given, table)


def _holdout(units: Units, split: Holdout, seed: int) -> np.ndarray:
    train = 1 - split.test - split.validation
    if train <= 0:
        raise RecipeError(
            f"Holdout(validation={split.validation:g}, test={split.test:g}) leaves nothing to train on.",
            remedy="Their sum must be below 1.",
        )
    _check_classes(units, 3, "training, validation and test")
    shares = {"train": train, "validation": split.validation, "test": split.test}
    return divide(units, shares, seed_for(seed, "split"))


def _kfold(units: Units, split: KFold, seed: int) -> dict[str, np.ndarray]:
    _check_classes(units, 3 if split.test else 2, "two folds and the test split" if split.test else "two folds")
    places = np.full(len(units.groups), "train", dtype=object)
    if split.test:
        places = divide(units, {"train": 1 - split.test, "test": split.test}, seed_for(seed, "test"))
    rest = places == "train"
    numbers = np.full(len(places), "", dtype=object)
    equal = {str(fold): 1 / split.folds for fold in range(split.folds)}
    numbers[rest] = divide(units.only(rest), equal, seed_for(seed, "folds"))
    folds = {}
    for fold in equal:
        mine = np.where(numbers == fold, "out_of_fold", places)
        folds[fold] = _with_part(units, mine, split.validation, seed_for(seed, f"validation {fold}"))
    return folds


def _column(table: pd.DataFrame, units: Units, split: Column, seed: int) -> tuple[np.ndarray, list[str]]:
    """Return the places that the data came with, and the ids that leaked and were dropped."""
    if split.name not in table:
        raise DataError(
            f"The table has no column {split.name!r} for Column({split.name!r}).",
            remedy=near(split.name, [str(column) for column in table.columns]),
        )
    given = table[split.name].map(lambda value: "" if pd.isna(value) else str(value).strip().lower())
    unknown = given[~given.isin(list(SPLITS))].value_counts()
    if len(unknown):
        told = five_of(
            [f"{value!r} ({count} rows)" if value else f"nothing ({count} rows)" for value, count in unknown.items()]
        )
        raise DataError(
            f"The column {split.name!r} says {told}; expected train, validation (val, valid) or test",
            remedy="Rename or drop them in index().",
        )
    places = given.map(SPLITS).to_numpy(dtype=object)
    if split.leaks == "allow":
        leaked = np.zeros(len(places), bool)
    else:
        places, leaked = _without_leaks(units, places, split)
    if not (places == "validation").any():
        places = _with_part(units, places, split.validation, seed_for(seed, "validation 0"))
    return places, list(table["id"][leaked])


def _without_leaks(units: Units, places: np.ndarray, split: Column) -> tuple[np.ndarray, np.ndarray]:
    """Take out of training what reaches into validation or test, and out of validation what reaches into test."""
    count = units.groups.max() + 1
    sides = ("train", "validation", "test")
    train, validation, test = (np.bincount(units.groups[places == side], minlength=count) > 0 for side in sides)
    leaked = (places == "train") & (validation | test)[units.groups]
    leaked |= (places == "validation") & test[units.groups]
    if leaked.any() and split.leaks == "error":
        pairs = {
            "train and validation": train & validation,
            "train and test": train & test,
            "validation and test": validation & test,
        }
        told = ", ".join(f"{int(shared.sum())} between {pair}" for pair, shared in pairs.items() if shared.any())
        raise DataError(
            f"The split that came with the data shares {units.known}: {told} ({int(leaked.sum())} examples).",
            where=f"column {split.name!r}",
            remedy=f'Column("{split.name}", leaks="drop_from_training") trains without them.',
        )
    return np.where(leaked, "unused", places), leaked


def _with_part(units: Units, places: np.ndarray, share: float, seed: int, part: str = "validation") -> np.ndarray:
    """Cut a share of whole groups from the training side."""
    if not share:
        return places
    train = places == "train"
    made = places.copy()
    made[train] = divide(units.only(train), {"train": 1 - share, part: share}, seed)
    return made


def _final(units: Units, first: np.ndarray, final: Final, seed: int) -> np.ndarray:
    """Train on nearly everything outside the test split; `redraw` takes the test split too, as some notebooks do.

    An ensemble has trained on all of it: each fold's own part is known to the other folds' networks.
    """
    kept = np.isin(first, ["test", "unused"])
    places = np.where(kept & (not final.redraw), first, "train").astype(object)
    if final.ensemble:
        return places
    places = _with_part(units, places, final.calibration, seed_for(seed, "calibration"), "calibration")
    return _with_part(units, places, 1 - final.share, seed_for(seed, "final"))


def _check_classes(units: Units, needed: int, sides: str) -> None:
    """Refuse a class that has fewer groups than there are sides that need it."""
    held = pd.DataFrame({"stratum": units.strata, "group": units.groups}).drop_duplicates()["stratum"].value_counts()
    rare = [
        f"{name!r} has {held.get(number, 0)}" for number, name in enumerate(units.names) if held.get(number, 0) < needed
    ]
    if rare:
        raise DataError(
            f"Too few {units.known} of a class for {sides}: {five_of(rare)}, {needed} are needed.",
            remedy="Leave the class out or join it to another in index(), or add data.",
        )


def _check_training(made: pd.DataFrame, units: Units, ids: pd.Series) -> None:
    strata = pd.Series(units.strata, index=ids)
    train = made[made["split"] == "train"]
    there = train["id"].map(strata).groupby(train["fold"]).nunique() if len(train) else pd.Series(dtype=int)
    for fold in made["fold"].unique():
        if there.get(fold, 0) < max(1, len(units.names)):
            what = "examples of every class" if units.names and there.get(fold, 0) else "training examples"
            raise DataError(f"Fold {fold} has no {what} on its training side.", remedy="Use other shares or more data.")


def _long(ids: pd.Series, groups: np.ndarray, folds: dict[str, np.ndarray]) -> pd.DataFrame:
    names = _group_names(ids, groups)
    parts = [pd.DataFrame({"id": ids, "group": names, "split": places, "fold": fold}) for fold, places in folds.items()]
    return pd.concat(parts, ignore_index=True)[COLUMNS].astype(str)


def _group_names(ids: pd.Series, groups: np.ndarray) -> np.ndarray:
    """Name each group after its first id: hashes of patients differ between users, ids do not."""
    first = pd.Series(ids.to_numpy()).groupby(groups).first()
    return first.to_numpy()[groups]


def _refuse(path: Path, what: str, rows: list[str], remedy: str) -> None:
    if rows:
        raise DataError(f"{len(rows)} {what}: {five_of(rows)}", where=str(path), remedy=remedy)
