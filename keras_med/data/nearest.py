"""A data folder that lacks what an index looks for to the folder nearby that holds it."""

import itertools
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from keras_med.errors import DataError

_DEPTH = 2  # levels below the folder, and above it
_MOST = 500  # folders looked at: a wrong --data may be a whole disk
_LEVELS = {1: "one level", 2: "two levels"}
_WILD = frozenset("*?[{")


def with_nearest(error: DataError, root: Path, wanted: Sequence[str] = ()) -> DataError:
    """Name in the remedy the nearest folder that --data should have named; without one, return the error as it is.

    Args:
        wanted: folders that lie in the right one; what the error's `where` lacks is looked for as well.
    """
    for names in (list(wanted), _lacking(root, error.where)):
        if names and not _holds(root, names):
            found = next((place for place in _nearby(root) if _holds(place, names)), None)
            if found is not None:
                return _told(error, root, names[0], found)
    return error


def _told(error: DataError, root: Path, name: str, found: Path) -> DataError:
    up = found in root.absolute().parents
    levels = abs(len(found.parts) - len(root.absolute().parts))
    remedy = f"Found {name} {_LEVELS[levels]} {'up' if up else 'down'}: use --data {shlex.quote(str(found))}"
    return DataError(error.what, where=error.where, remedy=remedy)


def _lacking(root: Path, where: str) -> list[str]:
    """Return what `where` names below the root and is not there; of a pattern, what stands before its wildcards."""
    if not where or not Path(where).is_relative_to(root) or Path(where) == root or Path(where).exists():
        return []
    parts = Path(where).relative_to(root).parts
    plain = list(itertools.takewhile(lambda part: not _WILD & set(part), parts))
    return [str(Path(*plain))] if plain else []


def _holds(folder: Path, names: Sequence[str]) -> bool:
    return all((folder / name).exists() for name in names)


def _nearby(root: Path) -> Iterator[Path]:
    """Give the folders below, the nearest first, then those above."""
    root = root.absolute()
    level, seen = [root], 0
    for _ in range(_DEPTH):
        level = [place for folder in level for place in _folders(folder)]
        yield from level[: _MOST - seen]
        seen += len(level)
        if seen >= _MOST:
            break
    yield from root.parents[:_DEPTH]


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
    return [folder / name for name in sorted(names)]
