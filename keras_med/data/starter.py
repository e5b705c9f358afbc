"""A folder, with or without a CSV of labels, to a short recipe that runs and that its user goes on from."""

from pathlib import Path

import pandas as pd

from keras_med.data import tables
from keras_med.data.file_lists import Found, walk
from keras_med.data.labels import DICOM_COLUMNS, read_csv
from keras_med.data.starter_guess import (
    PATIENT_NAMES,
    Key,
    guess_key,
    guess_label,
    guess_pictures,
    guess_target,
    kind_of,
    pattern_of,
)
from keras_med.data.starter_text import Draft, call, recipe_text, said
from keras_med.errors import DataError, RecipeError
from keras_med.runfolder import write_text


def write_starter(folder: Path, labels: Path | None, out: Path) -> str:
    """Write a recipe for the data of a folder and return its text; an existing file is never overwritten.

    Args:
        labels: a CSV with a column that names files, ids or patients, and one with their labels.
        out: the recipe's file.
    """
    if out.suffix != ".py":
        raise RecipeError(f"A recipe is a Python file, not {out.name!r}", remedy=f"--write {out.stem or 'my'}.py")
    if out.exists():
        raise RecipeError(f"{out.name} exists and is not overwritten.", where=str(out), remedy="Name another file.")
    kind, found = kind_of(folder)
    draft = _from_csv(folder, kind, found, labels) if labels else _from_folder(folder, kind, found)
    target = guess_target(draft.table["label"])
    text = recipe_text(draft, target, guess_pictures(kind, draft.table), folder=folder, out=out)
    write_text(out, text)
    return text


def _from_csv(root: Path, kind: str, found: list[Found], labels: Path) -> Draft:
    rows = read_csv(labels)
    place = _place(root, labels)
    listed, table = _listing(root, kind, found)
    if kind == "stacks" and len(rows) == len(table) and "id" not in rows:
        column = guess_label(rows, Key("", "row", 0, len(rows)))
        code = [f"labels = tables.read_csv({place})", f"return {listed}.assign(label=labels[{said(column)}])"]
        return Draft(
            code, table.assign(label=rows[column]), [f"row n of {labels.name} has the label {column!r} of sample n"]
        )
    key = guess_key(table, rows)
    label = guess_label(rows, key)
    arguments: dict[str, object] = {"key": key.column, "label": label}
    if key.on != DICOM_COLUMNS.get(key.column, "id"):
        arguments["on"] = key.on
    if key.zfill:
        arguments["zfill"] = key.zfill
    patients = [str(name) for name in rows.columns if str(name).lower() in PATIENT_NAMES and name != key.column]
    if patients and "patient" not in table:
        arguments["columns"] = {patients[0]: "patient"}
    made = tables.labelled(table, labels, **arguments)  # type: ignore[arg-type]
    told = [f"examples = {listed}"]
    named = [f"{name}={said(value)}" for name, value in arguments.items()]
    told += call("return tables.labelled", ["examples", place, *named], indent=4)
    others = [str(name) for name in rows.columns if name not in (key.column, label)]
    guess = f"column {key.column!r} of {labels.name} names the {key.on} and {label!r} is the label"
    if made["label"].isna().any():
        told[-1] += '.dropna(subset=["label"])'
        guess += f", {int(made['label'].isna().sum())} images have none and are left out"
        made = made.dropna(subset=["label"])
    guess += f" (other columns: {', '.join(others[:8])})" if others else ""
    return Draft(told, made, [guess], by_patient=key.on == "patient")


def _from_folder(root: Path, kind: str, found: list[Found]) -> Draft:
    if kind == "stacks":
        return _from_stacks(root, found)
    if kind == "dicom":
        return _from_dicom_folders(root, found)
    return Draft(["return tables.folders(root)"], tables.folders(root), ["each class folder is a label"])


def _from_dicom_folders(root: Path, found: list[Found]) -> Draft:
    """Take labels from class folders and patients from the headers."""
    names = {item.path: item.name.split("/") for item in found}
    depth = 1 if all(parts[0].lower() in tables.SPLITS for parts in names.values()) else 0
    if any(len(parts) < depth + 2 for parts in names.values()):
        remedy = (
            "Give --labels CSV, with a column PatientID or one of file names, or sort the files into class folders."
        )
        raise DataError("The DICOM files lie in no class folders.", where=str(root), remedy=remedy)
    table = tables.dicom(root)
    code = [
        "examples = tables.dicom(root)",
        f'folders = [Path(path).relative_to(root).parts[{depth}] for path in examples["path"]]',
        "return examples.assign(label=folders)",
    ]
    labels = [names[path][depth] for path in table["path"]]
    return Draft(code, table.assign(label=labels), ["each class folder is a label"])


def _from_stacks(root: Path, found: list[Found]) -> Draft:
    if len(found) > 1:
        labels = {Path(item.path): Path(item.path).stem for item in found}
        entries = {item.name: Path(item.path).stem for item in found}
        told = [f"root / {said(name)}: {said(label)}" for name, label in entries.items()]
        code = call("return tables.stacks", ["{" + ", ".join(told) + "}"])
        return Draft(code, tables.stacks(labels), ["each array is a class"])
    stack = found[0]
    for other in walk(root):
        if other.file.endswith(".npy") and other != stack:
            try:
                table = tables.stack(Path(stack.path), labels=Path(other.path))
            except DataError:
                continue
            code = [f"return tables.stack(root / {said(stack.name)}, labels=root / {said(other.name)})"]
            return Draft(code, table, [f"{other.name} holds the labels"])
    remedy = "Give --labels CSV with a row a sample, a second .npy with the labels, or one .npy a class."
    raise DataError("There is one array and no labels.", where=stack.path, remedy=remedy)


def _listing(root: Path, kind: str, found: list[Found]) -> tuple[str, pd.DataFrame]:
    """Return the call that lists the examples, and what it gives."""
    if kind == "dicom":
        return "tables.dicom(root)", tables.dicom(root)
    if kind == "pictures":
        pattern = pattern_of(found)
        return f"tables.files(root, {said(pattern)})", tables.files(root, pattern)
    if len(found) > 1:
        names = ", ".join(item.name for item in found[:5])
        raise DataError(
            f"{len(found)} arrays and one CSV: {names}", remedy="Put one array in the folder, or write index()."
        )
    return f"tables.stack(root / {said(found[0].name)})", tables.stack(Path(found[0].path))


def _place(root: Path, labels: Path) -> str:
    """Write the path of the CSV: below the data folder where it lies there."""
    place, base = labels.absolute(), root.absolute()
    if place.is_relative_to(base):
        return f"root / {said(place.relative_to(base).as_posix())}"
    return f"Path({said(str(place))})"
