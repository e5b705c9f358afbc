"""A folder to the list of files below it, and a table's left-out rows with their reasons."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from keras_med.errors import DataError

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".dicom", ".npy", ".npz", ".nii", ".nii.gz")
OTHER_PICTURES = (".bmp", ".gif", ".webp")  # listed too, so that they end as rows with a reason and not in silence
_SUFFIX = re.compile(r"(\.nii\.gz|\.[a-z][a-z0-9]*)$", re.IGNORECASE)


class Found(NamedTuple):
    """One file below a folder: its relative path with forward slashes, and where it is."""

    name: str
    path: str

    @property
    def file(self) -> str:
        """The name without its folders."""
        return self.name.rpartition("/")[2]


class Excluded(pd.DataFrame):
    """Rows that a table had to leave out: id, path, reason.

    It travels in `table.attrs`, whose values pandas compares by == when tables are put together.
    """

    @property
    def _constructor(self) -> type["Excluded"]:
        return Excluded

    def __eq__(self, other: object) -> bool:  # type: ignore[override]
        return isinstance(other, pd.DataFrame) and self.equals(other)

    __hash__ = None


def excluded(table: pd.DataFrame) -> pd.DataFrame:
    """Return what a table left out, as columns id, path and reason."""
    empty = pd.DataFrame({name: pd.Series(dtype=object) for name in ("id", "path", "reason")})
    return pd.DataFrame(table.attrs.get("excluded", empty)).reset_index(drop=True)


def with_excluded(table: pd.DataFrame, rows: Iterable[tuple[str, str, str]]) -> pd.DataFrame:
    """Return the table with more rows of id, path and reason left out."""
    made = table.copy(deep=False)
    more = pd.DataFrame(list(rows), columns=["id", "path", "reason"], dtype=object)
    made.attrs["excluded"] = Excluded(pd.concat([excluded(table), more], ignore_index=True))
    return made


def walk(root: Path) -> list[Found]:
    """List all files below a folder in the order of their names, hidden ones and archive debris aside."""
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise DataError(
            f"The data folder {what}.", where=str(root), remedy="Name the place of the data with --data DIR."
        )
    return sorted(_walk(str(root.absolute()), "", set()))


def is_picture(file: str) -> bool:
    """Tell by its name whether a file may be a picture or a volume."""
    return file.lower().endswith(PICTURES + OTHER_PICTURES)


def stem(file: str) -> str:
    """Return a file's name without its suffix; `.nii.gz` is one, and the `.45` of 1.2.3.45 is none."""
    return _SUFFIX.sub("", file) or file


def decodable(name: str) -> bool:
    """Tell whether a file's name is valid Unicode, as every table and report must be."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\n" not in name and "\r" not in name


def printable(name: str) -> str:
    """Return a name that can be written, with what is not Unicode replaced."""
    return name.encode("utf-8", "replace").decode().replace("\n", "?").replace("\r", "?")


def _walk(folder: str, prefix: str, above: set[tuple[int, int]]) -> Iterator[Found]:
    """Go down in one pass of scandir; a link that leads to a folder above is not followed again."""
    status = Path(folder).stat()
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"A folder cannot be read: {error.strerror}", where=folder) from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        if entry.is_dir():
            yield from _walk(entry.path, f"{prefix}{entry.name}/", above | {here})
        elif entry.is_file():
            yield Found(f"{prefix}{entry.name}", entry.path)
