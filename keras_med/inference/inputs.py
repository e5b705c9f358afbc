"""What stands behind MODEL on the command line to the pictures that are predicted, in one fixed order."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_med.data.file_lists import is_picture, printable, walk
from keras_med.data.readers import MOST_CHANNELS
from keras_med.data.stacks import open_stack
from keras_med.errors import DataError

_NO_FILE = "There is no such file."
_NO_PATH = "The table names no path in this row."
_MOST_ROWS = 2**31  # of a stack; a larger number is no row, and none that a table of whole numbers holds
_UNNAMEABLE = "Its name is not valid Unicode. Rename it."


class Input(NamedTuple):
    """One picture: a file, a folder that is one DICOM series, or a row of a stack; or why it cannot be one."""

    path: str
    row: int | None = None
    reason: str = ""


def listed(named: Sequence[str], dimensions: int) -> list[Input]:
    """List the pictures that files, folders and tables of paths name.

    Args:
        dimensions: of the network's pictures; with three a folder of DICOM slices is one volume.
    """
    found = [one for name in named for one in _of(Path(name), dimensions)]
    if not found:
        what = "There is no image in what was named."
        raise DataError(what, where=" ".join(named), remedy="Name DICOM files, images, .npy stacks or folders of them.")
    return found


def _of(path: Path, dimensions: int) -> Iterator[Input]:
    if path.is_dir():
        yield from _below(path, dimensions)
    elif path.suffix.lower() == ".csv" and path.is_file():
        yield from _in_table(path, dimensions)
    else:
        yield from _file(str(path), dimensions)


def _below(folder: Path, dimensions: int) -> Iterator[Input]:
    series: set[str] = set()
    for found in walk(folder):
        dicom = _is_dicom(found.path)
        if not dicom and not is_picture(found.file):
            continue
        parent = os.path.dirname(found.path)  # noqa: PTH120 - a Path each is slow for a million files
        if dicom and dimensions == 3:
            if parent not in series:
                series.add(parent)
                yield Input(printable(parent))
            continue
        yield from _file(found.path, dimensions)


def _in_table(path: Path, dimensions: int) -> Iterator[Input]:
    """Read a CSV with the column `path`, and `row` where it has one; paths are relative to the table."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if "path" not in (table.fieldnames or ()):
                raise DataError("A table of paths needs the column path.", where=str(path))
            for line in table:
                named, row = line["path"] or "", line.get("row") or ""
                place = str(path.parent / named)
                if not named:
                    yield Input("", reason=_NO_PATH)
                elif row.isdecimal() and int(row) > _MOST_ROWS:
                    yield Input(place, reason=f"There is no row {row[:20]}.")
                elif row.isdecimal():
                    yield Input(place, int(row))
                elif os.path.isdir(place):  # noqa: PTH112 - a name that is too long is no folder, and no error
                    yield from _below(Path(place), dimensions)
                else:
                    yield from _file(place, dimensions)
    except (UnicodeDecodeError, csv.Error):
        raise DataError("The table of paths is no UTF-8 CSV.", where=str(path)) from None


def _file(path: str, dimensions: int) -> Iterator[Input]:
    if printable(path) != path:
        yield Input(printable(path), reason=_UNNAMEABLE)
    elif not os.path.isfile(path):  # noqa: PTH113
        yield Input(path, reason=_NO_FILE)
    elif path.lower().endswith(".npy"):
        yield from _rows(path, dimensions)
    else:
        yield Input(path)


def _rows(path: str, dimensions: int) -> Iterator[Input]:
    try:
        shape = open_stack(Path(path)).shape
    except DataError:
        yield Input(path)  # reading it gives the reason
        return
    yield from (Input(path, row) for row in range(shape[0])) if is_stack(shape, dimensions) else [Input(path)]


def is_stack(shape: Sequence[int], dimensions: int) -> bool:
    """Tell a stack of pictures from one by its axes, as the readers tell channels from rows."""
    return len(shape) == dimensions + 2 or (len(shape) == dimensions + 1 and shape[-1] > MOST_CHANNELS)


def _is_dicom(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
