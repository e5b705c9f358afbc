"""Folders and files to the table that a recipe's `index` returns: one row an example, with id, path and label.

    folders(root)                                 the folder's name is the label
    files(root, "images/*.png")                   no labels yet
    dicom(root)                                   DICOM headers: patient, study, series, position
    stack(root / "knees.npy", label="normal")     one row a sample of an array
    labelled(table, root / "labels.csv", ...)     labels from a CSV

What cannot be used is never dropped in silence: it goes to excluded.csv with its reason.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from keras_med.data.dicom_index import dicom
from keras_med.data.file_lists import Found, decodable, excluded, is_picture, printable, stem, walk, with_excluded
from keras_med.data.identifiers import keyed_hash
from keras_med.data.labels import labelled, read_csv
from keras_med.data.stacks import open_stack, read_npy
from keras_med.data.table_checks import checked
from keras_med.errors import DataError, five_of
from keras_med.recipe.kinds import near

__all__ = [
    "checked",
    "dicom",
    "excluded",
    "files",
    "folders",
    "keyed_hash",
    "labelled",
    "read_csv",
    "stack",
    "stacks",
]

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


def folders(root: Path, labels: Mapping[str, object] | None = None) -> pd.DataFrame:
    """Take the label of each picture from its class folder.

    `root/class/...` gives id, path and label; `root/train/class/...` (train, val, valid, validation, test) gives a
    column split too. The id is the path below root, with forward slashes.

    Args:
        labels: class folder -> label, where the folder's name is not the label itself; other folders are left out.
    """
    found = [item for item in walk(root) if is_picture(item.file)]
    tops = {item.name.partition("/")[0] for item in found if "/" in item.name}
    depth = 1 if tops and all(top.lower() in SPLITS for top in tops) else 0
    rows, left_out = [], []
    for item in found:
        parts = item.name.split("/")
        reason = _unusable(item) or ("" if len(parts) > depth + 1 else "it lies in no class folder")
        if not reason and labels is not None and parts[depth] not in labels:
            reason = f"its folder {parts[depth]!r} is not among the labels"
        if reason:
            left_out.append((printable(item.name), printable(item.path), reason))
        else:
            rows.append((item.name, item.path, parts[depth], SPLITS.get(parts[0].lower(), "")))
    parts_of = [item.name.split("/") for item in found]
    _check_folders(root, {parts[depth] for parts in parts_of if len(parts) > depth + 1}, labels)
    table = pd.DataFrame(rows, columns=["id", "path", "label", "split"])
    if labels is not None:
        table["label"] = pd.Series([labels[name] for name in table["label"]])
    return with_excluded(table if depth else table.drop(columns="split"), left_out)


def files(root: Path, pattern: str = "**/*.png") -> pd.DataFrame:
    """List the files below root that match a pattern. The id is the name without suffix, or the path if those meet.

    Args:
        pattern: as of `Path.glob`; `**/*.{png,jpg}` takes both.
    """
    matches = _glob(pattern)
    found = [item for item in walk(root) if matches(item.name)]
    usable = [item for item in found if decodable(item.name)]
    if not usable:
        remedy = "Give another pattern or --data DIR."
        raise DataError(f"No file matches {pattern!r}.", where=str(root / pattern), remedy=remedy)
    stems = [stem(item.file) for item in usable]
    names = stems if len(set(stems)) == len(stems) else [item.name for item in usable]
    table = pd.DataFrame({"id": names, "path": [item.path for item in usable]})
    unnamed = [item for item in found if not decodable(item.name)]
    return with_excluded(table, [(printable(item.name), printable(item.path), _unusable(item)) for item in unnamed])


def stack(npy_path: Path, *, label: object = None, labels: Path | None = None) -> pd.DataFrame:
    """List the samples of an .npy array, whose first axis counts them; ids are `stem-000012`.

    Args:
        label: the label of every sample.
        labels: an .npy array with one label a sample.
    """
    shape = open_stack(npy_path).shape
    if len(shape) not in (3, 4, 5) or not shape[0]:
        raise DataError(
            f"The array has shape {shape}; expected (samples, rows, columns[, slices][, channels])", where=str(npy_path)
        )
    count = shape[0]
    digits = max(6, len(str(count)))
    table = pd.DataFrame(
        {
            "id": [f"{npy_path.stem}-{row:0{digits}}" for row in range(count)],
            "path": str(Path(npy_path).absolute()),
            "row": np.arange(count),
        }
    )
    if labels is not None:
        values = read_npy(labels).reshape(-1)
        if len(values) != count:
            raise DataError(f"{len(values)} labels for {count} samples of {npy_path.name}", where=str(labels))
        table["label"] = values
    elif label is not None:
        table["label"] = pd.Series([label] * count)
    return table


def stacks(labels: Mapping[Path, object]) -> pd.DataFrame:
    """Put several .npy arrays together, each with the label of all its samples."""
    if not labels:
        raise DataError("stacks() got no array.", remedy='stacks({root / "normal.npy": 0, root / "abnormal.npy": 1})')
    return pd.concat([stack(path, label=label) for path, label in labels.items()], ignore_index=True)


def _unusable(item: Found) -> str:
    return "" if decodable(item.name) else "its name is not valid Unicode; rename it"


def _glob(pattern: str) -> Callable[[str], object]:
    """Match as `Path.glob`: `**/` stands for any folders or none, `*` and `?` for parts of a name, {a,b} for either."""
    wild = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]", "{": "(?:", ",": "|", "}": ")"}
    wild = wild if "{" in pattern else {token: wild[token] for token in ("**/", "*", "?")}
    tokens = re.findall(r"(?<![^/])\*\*/|\*|\?|\[[^]/]+\]|.", pattern)
    parts = [wild.get(token) or (token if token[0] == "[" and token[1:] else re.escape(token)) for token in tokens]
    return re.compile("".join(parts)).fullmatch


def _check_folders(root: Path, classes: set[str], labels: Mapping[str, object] | None) -> None:
    absent = sorted(name for name in labels or {} if name not in classes)
    if absent:
        known = near(absent[0], sorted(classes)) if classes else "There are no class folders with pictures."
        raise DataError(f"No pictures in the class folder {five_of(absent)}", where=str(root), remedy=known)
    if not classes:
        remedy = "Expected FOLDER/<class>/<picture>; for other trees use tables.files and tables.labelled."
        raise DataError("There are no class folders with pictures.", where=str(root), remedy=remedy)
