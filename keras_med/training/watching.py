"""Running fits' histories to progress: a bar on a terminal, one line an epoch elsewhere."""

from collections.abc import Callable, Sequence
from pathlib import Path

from keras_med.runfolder import FitFolder
from keras_med.terminal import Counter

_SHOWN = ("loss", "validation_loss", "learning_rate", "seconds")


class EpochWatch:
    """Tells each epoch of each fit once; give `see` to the job runner.

    Args:
        counter: shows how many epochs are done; fits that stop early give theirs back.
        epochs: most epochs of each fit, by folder.

    Attributes:
        last: the newest epoch of each fit that was seen, as its history has it.
    """

    def __init__(self, counter: Counter, epochs: dict[Path, int]) -> None:
        self._counter = counter
        self._epochs = epochs
        self._told = {folder: len(_rows(folder)) for folder in epochs}
        self._changed: dict[Path, int] = {}
        self.last: dict[Path, dict[str, str]] = {}

    def see(self, folders: Sequence[Path]) -> None:
        """Look at the folders' histories and tell what is new."""
        for folder in folders:
            history = FitFolder(folder).history
            if not history.is_file():
                continue
            changed = history.stat().st_mtime_ns
            if self._changed.get(folder) != changed:
                self._changed[folder] = changed
                self._tell(folder)
        done = sum(self.done(folder) for folder in self._epochs)
        self._counter.reach(done)

    def done(self, folder: Path) -> int:
        """Return the epochs of a fit that need not be waited for."""
        return self._epochs[folder] if FitFolder(folder).done.is_file() else self._told.get(folder, 0)

    def _tell(self, folder: Path) -> None:
        rows = _rows(folder)
        for row in rows[self._told.get(folder, 0) :]:
            shown = "  ".join(f"{name} {_short(row[name])}" for name in _SHOWN if row.get(name))
            self._counter.note(f"{folder.name}  epoch {row['epoch']}/{self._epochs[folder]}  {shown}")
        self._told[folder] = len(rows)
        self.last[folder] = rows[-1]


class CountWatch:
    """Tells the sum of the numbers that jobs keep in small files.

    Args:
        reach: is told.
        before: what was done already.
    """

    def __init__(self, reach: Callable[[int], None], files: Sequence[Path], before: int = 0) -> None:
        self._reach = reach
        self._files = files
        self._before = before

    def see(self, _: Sequence[Path]) -> None:
        """Look at the files; while none is there, nothing is told."""
        found = [_number(file) for file in self._files]
        if any(found):
            self._reach(self._before + sum(found))


def _number(file: Path) -> int:
    try:
        return int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0


def _rows(folder: Path) -> list[dict[str, str]]:
    history = FitFolder(folder).history
    if not history.is_file():
        return []
    header, *lines = history.read_text(encoding="utf-8").splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def _short(number: str) -> str:
    return f"{float(number):.4g}"
