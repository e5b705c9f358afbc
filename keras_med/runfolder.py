"""The names of everything that a run writes, and the atomic writes."""

import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_med.errors import DataError, EnvironmentProblem, RecipeError

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1


@dataclass(frozen=True)
class RunFolder:
    """One run's folder; every file below it has its name here and nowhere else."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.py"

    @property
    def settings(self) -> Path:
        return self.path / "settings.json"

    @property
    def environment(self) -> Path:
        return self.path / "environment.json"

    @property
    def index(self) -> Path:
        return self.path / "index.csv"

    @property
    def excluded(self) -> Path:
        return self.path / "excluded.csv"

    @property
    def audit(self) -> Path:
        return self.path / "audit.json"

    @property
    def splits(self) -> Path:
        return self.path / "splits.csv"

    @property
    def fits(self) -> Path:
        return self.path / "fits"

    @property
    def features(self) -> Path:
        return self.fits / "features"

    @property
    def preflight(self) -> Path:
        return self.path / "preflight.json"

    @property
    def search(self) -> Path:
        return self.path / "search.csv"

    @property
    def trials(self) -> Path:
        return self.path / "trials.json"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.csv"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def model(self) -> Path:
        return self.path / "model.keras"

    @property
    def export(self) -> Path:
        return self.path / "export"

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def submission(self) -> Path:
        return self.path / "submission.csv"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def card(self) -> Path:
        return self.path / "card.md"

    @property
    def log(self) -> Path:
        return self.path / "run.log"

    @property
    def test_uses(self) -> Path:
        return self.path.parent / "test_uses.csv"

    def fit(self, name: str) -> "FitFolder":
        """Return the folder of one fit."""
        return FitFolder(self.fits / name)


@dataclass(frozen=True)
class FitFolder:
    """One fit's folder: its input is complete, its outputs are atomic, done.json comes last."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "settings.json"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def best(self) -> Path:
        return self.path / "best.keras"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.csv"

    @property
    def done(self) -> Path:
        return self.path / "done.json"

    @property
    def log(self) -> Path:
        return self.path / "log.txt"

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.path.parent.parent)


def new_run(runs: Path, recipe_name: str) -> RunFolder:
    """Make a folder that no other run has, and let `latest` point at it."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = runs / recipe_name / f"{stamp}-{secrets.token_hex(2)}"
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"The run folder cannot be made: {error.strerror}",
            where=str(path),
            remedy="Name another place with --out DIR.",
        ) from None
    _point_latest(path)
    return RunFolder(path)


def find_run(runs: Path, recipe_name: str, named: str | None) -> RunFolder:
    """Return the run to resume: the named one, or the newest of this recipe."""
    if named:
        path = Path(named) if Path(named).is_dir() else runs / recipe_name / named
    else:
        folders = [path for path in (runs / recipe_name).glob("*-????") if path.is_dir() and not path.is_symlink()]
        path = max(folders, key=lambda folder: folder.name, default=runs / recipe_name)
    if not (path / "settings.json").is_file():
        raise RecipeError("There is no run to resume.", where=str(path), remedy="Leave --resume out to start one.")
    return RunFolder(path)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary neighbour, sync it, and rename it over `path`: a reader sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.tmp{path.suffix}")
    try:
        write(temporary)
        _sync(temporary)
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True) if temporary.is_dir() else temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON with its format number atomically; what is no JSON number (NaN) is written as null."""
    text = json.dumps({"format": FORMAT, **_plain(content)}, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read JSON that this program wrote; a DataError names a damaged file or one of another format."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read: {error}", where=str(path.parent)) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path.name} is not of format {FORMAT}", where=str(path.parent))
    return content


def write_csv(path: Path, table: "pd.DataFrame", *, private: bool = False) -> None:
    """Write a table atomically; a private one is readable by its owner alone."""

    def write(temporary: Path) -> None:
        if private:
            temporary.touch(mode=0o600)
        table.to_csv(temporary, index=False)

    write_atomically(path, write)


def _plain(value: Any) -> Any:
    """Return the value as JSON has it."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return str(value) if isinstance(value, Path) else value


def _sync(path: Path) -> None:
    for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def _point_latest(path: Path) -> None:
    """Let `latest` link to the folder, or name it where the system has no links."""
    latest = path.parent / "latest"
    temporary = path.parent / f".latest-{path.name}"
    try:
        temporary.symlink_to(path.name)
    except OSError:
        temporary.write_text(path.name + "\n", encoding="utf-8")
    temporary.replace(latest)
