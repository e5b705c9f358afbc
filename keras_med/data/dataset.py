"""A recipe's functions and a data folder to the one checked table of a run."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_med.data import tables
from keras_med.data.file_lists import excluded
from keras_med.data.nearest import with_nearest
from keras_med.errors import DataError, UserError
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Classes, Recipe, Regression

UNLABELLED = "unlabelled"
_SMOKE_ROWS = 64
_SMOKE_UNLABELLED = 4


def read_table(recipe: Recipe, root: Path, *, smoke: bool) -> pd.DataFrame:
    """Call the recipe's index and return the checked table; unlabelled rows say so in the column `labelled`.

    `attrs["excluded"]` holds what was left out.

    Args:
        smoke: keep a few rows of each label.
    """
    table = _labelled(recipe, root)
    table = table.assign(labelled=True)
    left_out = excluded(table)
    if smoke:
        table = _few(table, recipe)
    if recipe.data.unlabelled is not None:
        others = tables.checked(_called(recipe.data.unlabelled, root), None, "unlabelled()").assign(labelled=False)
        others = others.head(_SMOKE_UNLABELLED) if smoke else others
        left_out = pd.concat([left_out, excluded(others)], ignore_index=True)
        table = _joined(table, others)
    table.attrs = {"excluded": left_out}
    return table


def read_index(path: Path) -> pd.DataFrame:
    """Read index.csv with ids, paths and labels as text, in the order in which it was written."""
    texts = dict.fromkeys(("id", "path", "label", "array", "patient", "group"), str)
    return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[], low_memory=False)


def _labelled(recipe: Recipe, root: Path) -> pd.DataFrame:
    """Call and check the index; a folder nearby that it would have done with is named."""
    try:
        return tables.checked(_called(recipe.data.index, root), recipe.target, "index()")
    except DataError as error:
        names = recipe.target.names if isinstance(recipe.target, Classes) else ()
        raise with_nearest(error, root, [str(name) for name in names]) from error.__cause__


def _called(function: Callable[[Path], Any], root: Path) -> Any:
    """Call a recipe's function; whatever it raises is told with its line in the recipe."""
    try:
        return function(root)
    except UserError:
        raise
    except FileNotFoundError as error:
        remedy = "Name the folder that the publisher's archive unpacks to with --data DIR."
        raise DataError("The data folder lacks a file.", where=str(error.filename), remedy=remedy) from None
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if frame.name == function.__name__] or [frames[-1]]
        where = f"{own[-1].filename}, line {own[-1].lineno}"
        what = f"{function.__name__}() fails: {type(error).__name__}: {error}"
        raise DataError(what, where=where) from error


def _joined(table: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Put unlabelled rows below; an id that labelled rows have too gets the name of its role before it."""
    clash = others["id"].isin(set(table["id"]))
    others = others.assign(id=others["id"].where(~clash, UNLABELLED + "/" + others["id"]))
    return pd.concat([table, others], ignore_index=True)


def _few(table: pd.DataFrame, recipe: Recipe) -> pd.DataFrame:
    """Draw a few rows, as many of each label or each range of labels."""
    draw = np.random.default_rng(seed_for(recipe.seed, "smoke"))
    if isinstance(recipe.target, Regression):
        bins = np.asarray(pd.qcut(table["label"].astype(float).rank(method="first"), 4, labels=False))
    else:
        bins = pd.factorize(table["label"])[0]
    order = pd.Series(draw.permutation(len(table)), index=table.index)
    rank = order.groupby(bins).rank(method="first")
    each = -(-_SMOKE_ROWS // len(np.unique(bins)))
    return table[rank <= each].reset_index(drop=True)
