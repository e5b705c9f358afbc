"""A recipe's table to one that the trainer can rely on: unique ids, existing files, a fitting label in every row."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from keras_med.data.file_lists import excluded
from keras_med.data.identifiers import DIGITS, key_text, keyed_hashes, label_text
from keras_med.errors import DataError, five_of
from keras_med.recipe.kinds import near
from keras_med.recipe.words import Binary, Classes, Regression, Target

IDENTIFIERS = ("patient", "study", "series")
_HASH = re.compile(f"[0-9a-f]{{{DIGITS}}}")
_MANY = 20  # files of one folder from which listing it is quicker than asking for each


def checked(table: object, target: Target | None, where: str = "index()") -> pd.DataFrame:
    """Return the table with ids as text, absolute paths, hashed patients and labels that equal the target's own.

    Labels become numbers (float) for Regression; for Binary and Classes they compare equal (==) to `positive` and
    `names`, whether the table said 1, 1.0 or "1". `attrs["excluded"]` holds what was left out: id, path and reason.

    Args:
        target: what the labels are for; None for a table without labels.
        where: the function that made the table, for errors.
    """
    if not isinstance(table, pd.DataFrame):
        remedy = "Return what tables.folders, files, dicom, stack or labelled give."
        raise DataError(
            f"It returned a {type(table).__name__}; expected a pandas.DataFrame", where=where, remedy=remedy
        )
    _check_columns(table, ["id", "path"] if target is None else ["id", "path", "label"], where)
    if table.empty:
        left_out = len(excluded(table))
        told = f"; {left_out} were left out, the first because {excluded(table)['reason'].iloc[0]}" if left_out else ""
        raise DataError(
            f"It returned a table without rows{told}.", where=where, remedy="Look at --data DIR and the pattern."
        )
    made = table.reset_index(drop=True)
    made["id"] = _checked_ids(made["id"], where)
    made["path"] = _checked_paths(made, where)
    if target is not None:
        made["label"] = _checked_labels(made, target, where)
    for column in IDENTIFIERS:
        if column in made and not (column in table.attrs.get("hashed", ()) and _look_hashed(made[column])):
            made[column] = keyed_hashes(made[column])
    made.attrs["hashed"] = IDENTIFIERS
    return made


def missing_files(paths: Iterable[str]) -> set[str]:
    """Return the paths that lead nowhere, by listing each folder once instead of asking for each of its files."""
    folders: dict[str, list[str]] = {}
    for path in set(paths):
        folders.setdefault(path.rpartition(os.sep)[0], []).append(path)
    absent: set[str] = set()
    for folder, members in folders.items():
        there = _listed(folder) if len(members) > _MANY else set()
        unsure = [path for path in members if path.rpartition(os.sep)[2] not in there]
        absent.update(path for path in unsure if not Path(path).exists())
    return absent


def _look_hashed(column: pd.Series) -> bool:
    """Tell whether a column that was hashed still is: a recipe may have put its own in its place."""
    return all(_HASH.fullmatch(str(value)) for value in column.dropna().unique())


def _listed(folder: str) -> set[str]:
    """Return the names that are surely there; links are left to be followed one by one."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.is_symlink()}
    except OSError:
        return set()


def _check_columns(table: pd.DataFrame, needed: list[str], where: str) -> None:
    names = [str(name) for name in table.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"The column {five_of(twice)} stands twice in the table.", where=where)
    for name in needed:
        if name not in names:
            remedy = (
                "tables.labelled(table, csv, key=..., label=...) adds labels." if name == "label" else near(name, names)
            )
            raise DataError(f"The table has no column {name!r}.", where=where, remedy=remedy)


def _checked_ids(ids: pd.Series, where: str) -> pd.Series:
    texts = key_text(ids)
    empty = np.flatnonzero(texts.isna())
    if len(empty):
        rows = five_of([str(row) for row in empty])
        raise DataError(f"{len(empty)} rows have no id: rows {rows}", where=where, remedy="Give each row a unique id.")
    twice = texts[texts.duplicated()].unique()
    if len(twice):
        raise DataError(
            f"{len(twice)} ids are not unique: {five_of(list(twice))}",
            where=where,
            remedy="Give each row its own id, or drop_duplicates('id') where they are the same example.",
        )
    return texts


def _checked_paths(table: pd.DataFrame, where: str) -> pd.Series:
    empty = table["path"].isna()
    if empty.any():
        ids = five_of(list(table.loc[empty, "id"]))
        raise DataError(f"{int(empty.sum())} rows have no path: {ids}", where=where, remedy="Drop them in index().")
    codes, values = pd.factorize(table["path"])
    known = [str(value) if str(value)[:1] == os.sep else str(Path(value).absolute()) for value in values]
    absent = missing_files(known)
    if absent:
        rows = sum(known[code] in absent for code in codes)
        raise DataError(
            f"{len(absent)} files of {rows} rows do not exist: {five_of(sorted(absent))}",
            where=where,
            remedy="Look at --data DIR; drop rows without a file in index().",
        )
    return pd.Series([known[code] for code in codes], index=table.index, dtype=object)


def _checked_labels(table: pd.DataFrame, target: Target, where: str) -> pd.Series:
    labels = table["label"]
    missing = labels.isna() | (labels.map(str).str.strip() == "")
    if missing.any():
        raise DataError(
            f"{int(missing.sum())} of {len(table)} rows have no label: {five_of(list(table.loc[missing, 'id']))}",
            where=where,
            remedy='Drop them in index() with .dropna(subset=["label"]), or give them as Data(unlabelled=...).',
        )
    if isinstance(target, Regression):
        return _numbers(table, where)
    codes, values = pd.factorize(labels)
    texts = [label_text(value) for value in values]
    own = _binary_labels(target, texts, where) if isinstance(target, Binary) else _class_labels(target, texts, where)
    return pd.Series([own[texts[code]] for code in codes], index=table.index, dtype=object).infer_objects()


def _numbers(table: pd.DataFrame, where: str) -> pd.Series:
    numbers = pd.to_numeric(table["label"], errors="coerce").astype("float64")
    bad = ~np.isfinite(numbers.to_numpy())
    if bad.any():
        rows = [f"{row.label!r} of {row.id}" for row in table[bad].head(6).itertuples()]
        rest = f" and {int(bad.sum()) - 5} more" if bad.sum() > 5 else ""
        raise DataError(
            f"{int(bad.sum())} labels are no finite number: {', '.join(rows[:5])}{rest}",
            where=f"{where}, row {int(np.flatnonzero(bad)[0])}",
            remedy="Correct or drop them; a decimal point is a point.",
        )
    return numbers


def _binary_labels(target: Binary, texts: list[str], where: str) -> dict[str, object]:
    found = sorted(set(texts))
    positive = label_text(target.positive)
    if len(found) != 2:
        remedy = f"Classes(names=({', '.join(map(repr, found[:5]))}, ...)) is for several." if len(found) > 2 else ""
        raise DataError(f"Binary needs two labels; found {len(found)}: {five_of(found)}", where=where, remedy=remedy)
    if positive not in found:
        raise DataError(
            f"The labels are {found[0]!r} and {found[1]!r}; neither is positive={target.positive!r}",
            where=where,
            remedy=f"For example Binary(positive={found[1]!r}).",
        )
    other = next(text for text in found if text != positive)
    return {positive: target.positive, other: _of_the_same_type(other, target.positive)}


def _of_the_same_type(text: str, example: object) -> object:
    if isinstance(example, bool) and text in ("0", "1"):
        return text == "1"
    if isinstance(example, int) and text.lstrip("-").isdecimal():
        return int(text)
    return text


def _class_labels(target: Classes, texts: list[str], where: str) -> dict[str, object]:
    names = {label_text(name): name for name in target.names}
    unknown = sorted(set(texts) - set(names))
    if unknown:
        raise DataError(
            f"Labels that Classes(names=...) does not have: {five_of(unknown)}",
            where=where,
            remedy=near(unknown[0], [repr(name) for name in target.names]),
        )
    absent = [text for text in names if text not in set(texts)]
    if absent:
        raise DataError(
            f"No example has the label {five_of(absent)}", where=where, remedy="Take it out of Classes(names=...)."
        )
    return dict(names)
