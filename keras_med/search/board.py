"""What the trials of a batch are at to a table on a terminal, drawn anew several times a second."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_med.jobs.job import Job
from keras_med.search.oracles import Asked
from keras_med.search.ranking import LOWER_IS_BETTER, Figures
from keras_med.search.table import short

_MOST_ENDED = 10  # trials in the table; a taller one than the terminal would not be drawn


class Board:
    """Shows the trials that train, the best of those that have ended, and how many wait.

    It only looks at what others keep up to date, because it is asked from a thread of its own.

    Args:
        stages: the fits of each trial, one stage after the other, with their most epochs.
        found: figures of the trials that have ended.
        why: of those that failed.

    Attributes:
        last: the newest epoch of each fit that was seen.
    """

    def __init__(
        self,
        asked: Sequence[Asked],
        stages: Mapping[str, Sequence[Mapping[Job, int]]],
        found: Mapping[str, Figures],
        why: Mapping[str, str],
        metric: str,
    ) -> None:
        self._asked = asked
        self._stages = stages
        self._found = found
        self._why = why
        self._metric = metric
        self.last: Mapping[Path, Mapping[str, str]] = {}

    def table(self) -> Any:
        """Return the table as rich draws it."""
        from rich import box
        from rich.table import Table

        names = [name.rpartition(".")[2] for name in self._asked[0].changes]
        made = Table("trial", *names, "state", box=box.SIMPLE_HEAD, caption=self._others(), caption_justify="left")
        made.add_column(self._metric, no_wrap=True)
        for one in [*self._training(), *self._ended()[:_MOST_ENDED]]:
            made.add_row(one.trial, *map(short, one.changes.values()), *self._state(one.trial))
        return made

    def _training(self) -> list[Asked]:
        return [one for one in self._asked if not self._over(one.trial) and self._seen(one.trial)]

    def _ended(self) -> list[Asked]:
        """Return the trials that have ended, the best first and those that failed last."""
        return sorted((one for one in self._asked if self._over(one.trial)), key=lambda one: self._worth(one.trial))

    def _over(self, trial: str) -> bool:
        return trial in self._why or trial in self._found

    def _seen(self, trial: str) -> list[tuple[Mapping[str, str], int]]:
        """Return the newest epoch and the most epochs of each fit that has begun."""
        fits = [(self.last.get(job.folder), most) for stage in self._stages[trial] for job, most in stage.items()]
        return [(row, most) for row, most in fits if row is not None]

    def _worth(self, trial: str) -> float:
        found = self._found.get(trial)
        if found is None:
            return float("inf")
        return found.values[self._metric] * (1 if self._metric in LOWER_IS_BETTER else -1)

    def _state(self, trial: str) -> tuple[str, str]:
        found = self._found.get(trial)
        if trial in self._why:
            return f"failed: {self._why[trial]}"[:60], ""
        if found is not None:
            bounds = f" ({found.low:.3f} to {found.high:.3f})" if found.low is not None else ""
            return "done" if found.learned else "no better than chance", f"{found.values[self._metric]:.3f}{bounds}"
        seen, fits = self._seen(trial), sum(map(len, self._stages[trial]))
        row, most = seen[-1]
        loss = float(row["validation_loss"])
        return f"fit {len(seen)} of {fits}, epoch {row['epoch']} of {most}, validation loss {loss:.4g}", ""

    def _others(self) -> str:
        ended, training = len(self._ended()), len(self._training())
        hidden = f", {ended - _MOST_ENDED} of them not shown" if ended > _MOST_ENDED else ""
        return f"{ended} of {len(self._asked)} ended{hidden}, {len(self._asked) - ended - training} wait"
