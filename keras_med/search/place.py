"""What a search needs to know of its run, and where it reads what trials predicted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from keras_med.data.dataset import read_index
from keras_med.evaluation import gathering
from keras_med.evaluation.summary import Scoring
from keras_med.recipe.search import Search
from keras_med.recipe.words import Recipe
from keras_med.runfolder import RunFolder
from keras_med.search import ranking


@dataclass(frozen=True)
class Searching:
    """What a search needs to know of its run.

    common: what stands in every job's settings.
    fold: whose images give a backbone without weights its statistics.
    """

    run: RunFolder
    recipe: Recipe
    search: Search
    common: Mapping[str, Any]
    scoring: Scoring
    fold: str
    at_once: int = 1
    smoke: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are compared, the first one deciding."""
        return ranking.compared(self.search.metrics, self.scoring.kind)

    @property
    def ranked(self) -> bool:
        """Whether the oracle is told ranks, by which rounds keep their best, instead of the first metric."""
        return self.search.by in ("grid", "staged") and self.search.oracle is None

    def predictions(self, fits: Sequence[str]) -> pd.DataFrame:
        """Return what some fits predicted, with the patients where they are known."""
        rows = gathering.gathered({name: self.run.fit(name).predictions for name in fits})
        return gathering.with_patients(rows, self._index)

    @cached_property
    def _index(self) -> pd.DataFrame:
        return read_index(self.run.index)  # once: every trial asks, and a table may be long


def plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes as they come back from a JSON file."""
    return dict(json.loads(json.dumps(changes)))
