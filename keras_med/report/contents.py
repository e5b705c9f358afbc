"""A run folder's files to the tables that the report is written from; whatever is missing is said in a sentence."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import pandas as pd

from keras_med.data.identifiers import label_text
from keras_med.errors import DataError
from keras_med.runfolder import RunFolder, read_json

T = TypeVar("T")
TRIAL = re.compile(r"t(?!000)\d{3}-")  # fits of a search's trials; the run's own are of t000
Kind = Literal["regression", "binary", "classes"]


@dataclass(frozen=True)
class Target:
    """What the network predicts.

    Attributes:
        kind: regression, binary or classes.
        classes: their names as predictions.csv has them; of a binary target the positive one is last.
    """

    kind: Kind
    unit: str = ""
    classes: tuple[str, ...] = ()

    @property
    def positive(self) -> str:
        return self.classes[-1] if self.classes else "1"


@dataclass(frozen=True)
class Fit:
    """One fit's curves, what it was to do, and what it ended with.

    Attributes:
        before: epochs of the first stage that it goes on after.
    """

    name: str
    history: pd.DataFrame
    plan: dict[str, Any]
    done: dict[str, Any]
    before: int = 0

    @property
    def final(self) -> bool:
        return str(self.plan.get("head") or self.name).endswith("final")

    @property
    def stage(self) -> int:
        """The stage of its training: the second, if it goes on with the head of another fit."""
        return 2 if self.plan.get("head") else 1

    @property
    def kept_epoch(self) -> int | None:
        """The epoch whose weights were kept: the last, or the one of the lowest validation loss."""
        if self.plan.get("keep") == "last":
            return int(self.history["epoch"].iloc[-1])
        if self.done.get("best_epoch") is not None:
            return int(self.done["best_epoch"])
        if "validation_loss" not in self.history:
            return None
        losses = pd.to_numeric(self.history["validation_loss"], errors="coerce")
        return int(self.history["epoch"].iloc[int(losses.argmin())]) if losses.notna().any() else None

    @property
    def ending(self) -> str:
        """How it stopped, in words."""
        if not self.done:
            return "not finished"
        planned, epochs = self.plan.get("epochs"), self.done.get("epochs", len(self.history))
        early = self.done.get("stopped_early", planned is not None and epochs < planned)
        return "early" if early else "after the last epoch"


@dataclass(frozen=True)
class Contents:
    """Everything a report is made of; a table that is missing is empty and has a sentence in `absent`."""

    run: RunFolder
    settings: dict[str, Any]
    metrics: dict[str, Any]
    environment: dict[str, Any]
    audit: dict[str, Any]
    index: pd.DataFrame
    excluded: pd.DataFrame
    splits: pd.DataFrame
    predictions: pd.DataFrame
    test_uses: pd.DataFrame
    fits: tuple[Fit, ...]
    weights: tuple[dict[str, Any], ...]
    absent: tuple[str, ...]

    @property
    def target(self) -> Target:
        said = self.settings.get("target") or {}
        classes = tuple(label_text(name) for name in said.get("classes") or ())
        kind = cast(Kind, str(said.get("kind", "regression")))
        if kind == "binary":
            positive = label_text(said.get("positive", classes[-1] if classes else 1))
            others = tuple(name for name in classes if name != positive)
            classes = (*(others or (f"not {positive}",)), positive)
        return Target(kind, str(said.get("unit") or ""), classes)

    @property
    def title(self) -> str:
        recipe = self.settings.get("recipe") or {}
        return str(recipe.get("title") or recipe.get("file") or self.run.path.parent.name)

    @property
    def labelled(self) -> pd.DataFrame:
        """The rows of the index that have a label to learn or to score."""
        if "labelled" not in self.index:
            return self.index
        return self.index[self.index["labelled"].astype(str).str.lower().isin(("true", "1"))]

    @property
    def images(self) -> pd.DataFrame:
        """The labelled rows that are no mirrored copies of others."""
        rows = self.labelled
        return rows[rows["mirrored"].astype(str) != "True"] if "mirrored" in rows else rows

    @property
    def patients(self) -> int | None:
        """How many patients the labelled rows are of; None where they are not known."""
        if "patient" not in self.index or not self.labelled["patient"].notna().any():
            return None
        return int(self.labelled["patient"].nunique())

    @property
    def case(self) -> Literal["example", "patient"]:
        """What the figures count."""
        return "patient" if self.chosen("evaluate.unit") == "patient" else "example"

    @property
    def cases(self) -> str:
        """The same as the head of a column of counts."""
        return f"{self.case.capitalize()}s"

    @property
    def demo(self) -> bool:
        return bool(self.settings.get("demo"))

    @property
    def smoke(self) -> bool:
        return bool(self.settings.get("smoke"))

    @property
    def pictures(self) -> bool:
        return self.chosen("report.pictures", True) is not False

    def chosen(self, name: str, default: object = None) -> Any:
        """Return one setting by its dotted name."""
        return (self.settings.get("settings") or {}).get(name, default)


def read(run: RunFolder) -> Contents:
    """Read a run; a DataError if settings.json or metrics.json is missing or damaged."""
    absent: list[str] = []

    def optional(path: Path, use: str, reader: Callable[[Path], T], empty: T) -> T:
        if not path.is_file():
            absent.append(f"{path.name} is missing: {use}.")
            return empty
        try:
            return reader(path)
        except (DataError, ValueError, OSError):
            absent.append(f"{path.name} cannot be read: {use}.")
            return empty

    none, nothing = pd.DataFrame(), dict[str, Any]()
    return Contents(
        run=run,
        settings=read_json(run.settings),
        metrics=read_json(run.metrics),
        environment=optional(run.environment, "versions and processor are not known here", read_json, {}),
        audit=optional(run.audit, "the data were not audited, or its findings are lost", read_json, {}),
        index=optional(run.index, "images cannot be counted or shown", table, none),
        excluded=_quiet(run.excluded, table, none),
        splits=optional(run.splits, "the parts of the data cannot be shown", table, none),
        predictions=optional(run.predictions, "no figure can be drawn from them", table, none),
        test_uses=_quiet(run.test_uses, table, none),
        fits=_fits(run, absent),
        weights=tuple(_quiet(run.features / "done.json", read_json, nothing).get("weights") or ()),
        absent=tuple(absent),
    )


def table(path: Path) -> pd.DataFrame:
    """Read a CSV file whose names (ids, labels, patients, folds) stay the text they are, 'NA' and '007' included."""
    texts = dict.fromkeys(("id", "label", "patient", "group", "split", "fold", "fit", "role", "reason"), str)
    return pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""], low_memory=False)


def _quiet(path: Path, reader: Callable[[Path], T], empty: T) -> T:
    """Read a file whose absence says that there is nothing to tell."""
    try:
        return reader(path) if path.is_file() else empty
    except (DataError, ValueError, OSError):
        return empty


def _fits(run: RunFolder, absent: list[str]) -> tuple[Fit, ...]:
    folders = sorted(file.parent for file in run.fits.glob("*/history.csv") if not TRIAL.match(file.parent.name))
    found = []
    for folder in folders:
        fit = run.fit(folder.name)
        history = _quiet(fit.history, table, pd.DataFrame())
        if {"epoch", "loss"} <= set(history.columns) and len(history):
            nothing: dict[str, Any] = {}
            plan = _quiet(fit.settings, read_json, nothing).get("plan") or {}
            found.append(Fit(folder.name, history, plan, _quiet(fit.done, read_json, nothing)))
    if not found:
        absent.append("No fit has a history.csv: learning curves cannot be drawn.")
    epochs = {fit.name: len(fit.history) for fit in found}
    found = [replace(fit, before=epochs.get(str(fit.plan.get("head")), 0)) for fit in found]
    return tuple(sorted(found, key=lambda fit: (fit.final, fit.name)))
