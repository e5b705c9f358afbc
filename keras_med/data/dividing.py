"""An audited index and a recipe to the rows of splits.csv, and to the index with the copies that the recipe asks for.

The order is that of honest work: divide, then balance and mirror the training side alone. What some notebooks do
before the division is possible by name, and then counted instead of refused.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from keras_med.data import splits, subsets
from keras_med.data.copies import MARK, with_mirrored
from keras_med.data.dataset import UNLABELLED
from keras_med.data.search_folds import SEARCH, search_folds, search_holdout
from keras_med.errors import DataError, RecipeError
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Column, Holdout, KFold, Recipe

BLOCKS = "blocks"
_LINKS = ("patient", "study", "series", "group")


@dataclass(frozen=True)
class Division:
    """An index and where each of its rows went.

    index: with the mirrored copies, if the recipe has them.
    splits: as splits.csv holds them; its groups are those of patients and twins, also where the recipe cuts them.
    shared: groups on two sides of a fold; 0 unless the recipe accepts them by name.
    patients_known: whether any patient is.
    lines: what to tell the user.
    """

    index: pd.DataFrame
    splits: pd.DataFrame
    shared: int
    patients_known: bool
    lines: tuple[str, ...]


def divide_index(index: pd.DataFrame, recipe: Recipe, *, fold: str | None = None, partial: bool = False) -> Division:
    """Divide the labelled rows as the recipe says.

    Args:
        index: id, label and `labelled`; patient, study, series and group where they are known.
        fold: the one that predicts the unlabelled rows; none predicts none.
        partial: rows may be missing on either side of a given splits.csv, as in a smoke run.
    """
    if recipe.data.balance is not None and recipe.target.kind == "regression":
        raise RecipeError("data.balance needs classes, and the target is a number.", remedy="Leave it out.")
    index = index.copy(deep=False)
    index.attrs = {}  # tables in it, and pandas compares them when it puts rows together
    usable = index["labelled"].to_numpy(bool)
    table = index[usable].reset_index(drop=True)
    if recipe.evaluate.unit == "patient":
        _check_patients(table, one_label=recipe.target.kind != "binary")
    if recipe.data.mirror == "before_split":
        table = with_mirrored(table)
    made, lines = _placed(table, recipe, partial)
    divided = len(table)
    if recipe.data.blocks is not None and not (made["fold"] == BLOCKS).any():
        made = pd.concat([made, _in_blocks(table, recipe, recipe.data.blocks)], ignore_index=True)
    if recipe.search is not None:  # before the training side is balanced: a search scores natural shares
        made = pd.concat([made, _for_search(made, table, recipe)], ignore_index=True)
    if recipe.data.balance == "undersample":
        made = splits.undersampled(made, table, recipe.seed)
    if recipe.data.mirror == "training":
        trained = made.loc[made["split"] == "train", "id"]
        table = with_mirrored(table, set(trained))
        made = _with_copies(made, set(trained))
    made = splits.with_groups(made, table)
    shared = splits.check_disjoint(made, table, accepted=accepts_leaks(recipe))
    known = "patient" in table and bool(table["patient"].astype(bool).any())
    kind = "patients" if known else "groups of twins"
    told = (f"split {divided} examples: {shared} {kind} shared between its sides", *lines, *_mirrored(table, recipe))
    others = index[~usable]
    if fold is not None and len(others):
        extra = others[["id"]].assign(group="", split=UNLABELLED, fold=fold)
        made = pd.concat([made, extra], ignore_index=True)
    whole = pd.concat([table, others]).sort_values("id", kind="stable", ignore_index=True)
    if "mirrored" in whole:
        whole["mirrored"] = whole["mirrored"].isin([True])
    return Division(whole, made, shared, known, told)


def _check_patients(table: pd.DataFrame, *, one_label: bool) -> None:
    """Refuse before the training what cannot be scored by patient after it."""
    remedy = "--set evaluate.unit=example"
    known = table["patient"].fillna("").astype(bool) if "patient" in table else pd.Series(False, table.index)
    if not known.all():
        what = f"evaluate.unit is patient, and {int((~known).sum())} of {len(table)} labelled examples have none."
        raise DataError(what, remedy=f"Give index() a column patient, or {remedy}")
    torn = int((table.groupby("patient")["label"].nunique() > 1).sum()) if one_label else 0
    if torn:
        what = f"evaluate.unit is patient; patients with several labels: {torn}."
        raise DataError(what, remedy=f"Mend the labels, or {remedy}")


def accepts_leaks(recipe: Recipe) -> bool:
    """Tell whether the recipe lets patients, twins or copies lie on two sides, which is then counted and told."""
    if recipe.data.mirror == "before_split" or recipe.data.duplicates == "allow":
        return True
    return recipe.split.leaks == "allow" if isinstance(recipe.split, Column) else recipe.split.by == "example"


def _placed(table: pd.DataFrame, recipe: Recipe, partial: bool) -> tuple[pd.DataFrame, list[str]]:
    """Give every row its places, from a given file or by a new division."""
    if recipe.data.splits is not None:
        return _given(table, recipe, Path(recipe.data.splits), partial)
    kept = table
    if recipe.data.balance == "undersample_before_split":
        kept = table[subsets.balanced(table, seed_for(recipe.seed, "undersample before split"))]
    made = splits.make_splits(
        _linked(kept, recipe), recipe.split, recipe.final, kind=recipe.target.kind, seed=recipe.seed
    )
    dropped, lines = made.attrs.get("dropped", ()), []
    if len(dropped):
        lines.append(f"{len(dropped)} examples that another side of the given split knows are left out of training")
    if len(kept) < len(table):
        lines.append(f"{len(table) - len(kept)} examples of the larger classes are left out before the split")
        absent = table.loc[~table["id"].isin(kept["id"]), ["id"]].assign(group="", split="unused")
        made = pd.concat([made, *(absent.assign(fold=fold) for fold in made["fold"].unique())], ignore_index=True)
    return made, lines


def _for_search(made: pd.DataFrame, table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Divide what the run trains on for its search; the test split stays outside."""
    folds = recipe.search.folds if recipe.search is not None else 1
    kind, seed = recipe.target.kind, recipe.seed
    if folds == 1:
        return search_holdout(made, table, kind=kind, seed=seed)
    return search_folds(made, table, folds=folds, kind=kind, seed=seed)


def _mirrored(table: pd.DataFrame, recipe: Recipe) -> list[str]:
    if recipe.data.mirror is None:
        return []
    copies = f"{int(table['mirrored'].sum())} mirrored copies"
    return [f"{copies} train beside their pictures" if recipe.data.mirror == "training" else f"{copies} among them"]


def _linked(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Return the table with the links between rows that this recipe's division respects."""
    links = [name for name in _LINKS if name in table]
    if not isinstance(recipe.split, Column) and recipe.split.by == "example":
        return table.drop(columns=links)
    if recipe.data.duplicates == "allow":
        table, links = table.drop(columns="group", errors="ignore"), [name for name in links if name != "group"]
    if recipe.data.mirror != "before_split":
        return table
    apart = table.copy()  # the copies are divided as if they were pictures of other patients
    for name in links:
        known = table["mirrored"] & table[name].notna() & (table[name] != "")
        apart[name] = table[name].where(~known, table[name].astype(str) + " mirrored")
    return apart


def _in_blocks(table: pd.DataFrame, recipe: Recipe, count: int) -> pd.DataFrame:
    """Divide by runs of consecutive files, which often are of one patient, into the fold "blocks".

    What has a twin on another side is left out of training, for twins would chain the blocks together.
    """
    if "patient" in table and table["patient"].astype(bool).any():
        raise RecipeError("data.blocks is for data without patients, and these have them.", remedy="Leave it out.")
    if isinstance(recipe.split, Column):
        raise RecipeError("data.blocks cannot be used with a split that the data came with.", remedy="Leave it out.")
    order = np.array(sorted(range(len(table)), key=lambda row: natural(str(table["id"].iloc[row]))))
    block = np.empty(len(table), np.int64)
    for number, rows in enumerate(np.array_split(order, count)):
        block[rows] = number
    parts = splits.make_splits(
        table[["id", "label"]].assign(group=[f"b{number}" for number in block]),
        Holdout(validation=recipe.split.validation or 0.15, test=recipe.split.test or 0.15),
        None,
        kind=recipe.target.kind,
        seed=seed_for(recipe.seed, "blocks"),
    )
    places = table["id"].map(parts.set_index("id")["split"])
    apart = table.drop(columns="split", errors="ignore").assign(split=places)
    given = Column("split", leaks="drop_from_training")
    return splits.make_splits(apart, given, None, kind=recipe.target.kind, seed=recipe.seed).assign(fold=BLOCKS)


def natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts 9 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _given(table: pd.DataFrame, recipe: Recipe, file: Path, partial: bool) -> tuple[pd.DataFrame, list[str]]:
    made = splits.read_splits(file, table, accepted=accepts_leaks(recipe), partial=partial)
    expected = {str(fold) for fold in range(recipe.split.folds)} if isinstance(recipe.split, KFold) else {"0"}
    expected |= {"final"} if recipe.final is not None else set()
    made = made[~made["fold"].str.startswith(SEARCH)].reset_index(drop=True)  # a search divides anew
    if recipe.data.blocks is None:
        made = made[made["fold"] != BLOCKS].reset_index(drop=True)
    if partial:  # a smoke run has two folds only
        made = made[made["fold"].isin({*expected, BLOCKS})].reset_index(drop=True)
    if recipe.final is not None and recipe.final.ensemble:  # the file may be of a run that had a final network
        known = (made["fold"] == "final") & made["split"].isin(["validation", "calibration"])
        made = made.assign(split=made["split"].mask(known, "train"))
    found = set(made["fold"]) - {BLOCKS}
    if found != expected:
        raise RecipeError(
            f"The file has the folds {', '.join(sorted(found))}; this recipe makes {', '.join(sorted(expected))}.",
            where=str(file),
            remedy="Give the splits.csv of a run of this recipe, or the recipe the split and final of that run.",
        )
    return made, [f"divided as {file} says"]


def _with_copies(made: pd.DataFrame, trained: set[str]) -> pd.DataFrame:
    """Let each copy train where its picture trains; elsewhere it is unused."""
    copies = made[made["id"].isin(trained)]
    places = copies["split"].where(copies["split"] == "train", "unused")
    return pd.concat([made, copies.assign(id=copies["id"] + MARK, split=places)], ignore_index=True)
