"""A recipe and its data folder to the audited table of a run: read, prepare, audit, in this order."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from keras_med.data.audit import Audit, audit
from keras_med.data.dataset import read_table
from keras_med.data.identifiers import label_text
from keras_med.data.location import default_cache, locate
from keras_med.data.prepare import prepare
from keras_med.jobs.local import warm_up
from keras_med.recipe.loading import LoadedRecipe
from keras_med.recipe.opening import Options
from keras_med.recipe.words import Binary, Column, Recipe, Regression
from keras_med.terminal import Counter, say


@dataclass(frozen=True)
class Examined:
    """What is known of the data before anything is trained.

    index: every row that can be used, labelled or not, as index.csv holds it; `labelled` tells which.
    excluded: id and reason of every other.
    """

    index: pd.DataFrame
    excluded: pd.DataFrame
    audit: Audit

    def classes(self, recipe: Recipe) -> dict[str, Any]:
        """Name both classes of a binary target as the labels do, the positive one last."""
        if not isinstance(recipe.target, Binary):
            return {}
        positive = label_text(recipe.target.positive)
        others = sorted(set(self.index.loc[self.index["labelled"], "label"]) - {positive})
        return {"positive": positive, "classes": [*others, positive]}

    def lines(self) -> list[str]:
        """Return what was found, for a reader: each finding with its first examples and what to do."""
        findings = self.audit.findings
        told = [f"{len(self.audit.table)} examples audited, {len(self.excluded)} left out, {len(findings)} findings"]
        for finding in findings:
            told.append(f"{finding.severity:<5}  {finding.sentence}")
            told += [f"       {', '.join(finding.rows[:5])}"] if finding.rows else []
            told += [f"       {finding.remedy}"] if finding.remedy else []
        return told


def examine_alone(loaded: LoadedRecipe, options: Options) -> tuple[Examined, bool]:
    """Find the data, examine them, and tell whether they are demo data; for a command that does no more."""
    warm_up(["keras_med.data.shards"], {})
    cache = (options.cache or default_cache()).absolute()
    place = locate(loaded.recipe.data, loaded.path.stem, options.data, cache, say)
    return examine(loaded.recipe, place.root, cache), place.demo


def examine(recipe: Recipe, root: Path, cache: Path, *, smoke: bool = False) -> Examined:
    """Read the table, decode every file once and look for what makes results wrong; nothing is refused yet.

    Args:
        smoke: a few rows of each label alone.
    """
    table = read_table(recipe, root, smoke=smoke)
    with Counter("reading files", len(table)) as counter:
        prepared = prepare(table, recipe.image, cache, at_once=os.cpu_count() or 1, reached=counter.reach)
    excluded = pd.concat([table.attrs["excluded"], prepared.excluded], ignore_index=True)[["id", "reason"]]
    if prepared.pictures is not None:
        say(f"PNG files of what the network sees: {prepared.pictures}")
    labelled = prepared.table["labelled"].to_numpy(bool)
    split = recipe.split if isinstance(recipe.split, Column) else None
    found = audit(
        prepared.table[labelled].reset_index(drop=True),
        thumbnails=prepared.thumbnails if labelled.all() else prepared.thumbnails[labelled],
        kind=recipe.target.kind,
        duplicates=recipe.data.duplicates,
        given_split=split.name if split else False,
        leaks=split.leaks if split else "error",
        excluded=excluded,
    )
    index = pd.concat([found.table, prepared.table[~labelled]], ignore_index=True)
    index["label"] = [_text(label, recipe) for label in index["label"]]
    excluded = pd.concat([excluded, found.dropped[["id", "reason"]]], ignore_index=True)
    return Examined(index.sort_values("id", kind="stable", ignore_index=True), excluded, found)


def _text(label: object, recipe: Recipe) -> str:
    """Write a label so that it compares equal to the target's own when it is read again."""
    if pd.isna(label):  # type: ignore[call-overload]
        return ""
    return repr(float(str(label))) if isinstance(recipe.target, Regression) else label_text(label)
