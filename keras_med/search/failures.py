"""Failures of fits to trials that failed, told at once, and to the end of a search that fails again and again."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_med.errors import EnvironmentProblem, RunFailed, UserError
from keras_med.jobs.job import Job
from keras_med.terminal import say

_SAME_FAILURES = 3


class Failures:
    """Tells at once why a trial failed; the same cause in three trials that were asked for in a row stops the search.

    Only what was asked for counts, not when it failed: a search that resumes runs failed trials again one after the
    other, and must not stop where the first one went on.

    Args:
        asked: the names of the trials, in their order.
        before: why each of the trials before them failed, in their order; empty for one that did not.
    """

    def __init__(self, asked: Sequence[str], before: Sequence[str] = ()) -> None:
        self.why: dict[str, str] = {}
        self._asked = list(asked)
        self._before = list(before)
        self._trials: dict[Path, str] = {}

    def own(self, trial: str, jobs: Iterable[Job]) -> None:
        """Remember whose fits these are."""
        self._trials |= {job.folder: trial for job in jobs}

    def see(self, job: Job, error: UserError) -> None:
        """Take the failure of one fit; causes are alike whatever the fit's name."""
        self.note(self._trials[job.folder], error, error.what.replace(job.folder.name, "a fit"))

    def note(self, trial: str, error: UserError, why: str = "") -> None:
        """Take a failure; a full disk or an absent device is no fault of the trial and stops everything.

        Args:
            why: in fewer words than the error's.
        """
        if isinstance(error, EnvironmentProblem):
            raise error
        if trial in self.why:
            return
        self.why[trial] = why or error.what
        say(f"{trial} failed: {error.what}\n{error.where}")
        if (alike := self._row(trial)) >= _SAME_FAILURES:
            what = f"{alike} trials in a row failed for the same reason: {error.what}"
            raise RunFailed(what, where=error.where, remedy=error.remedy or "Mend it, then --resume.")

    def _row(self, trial: str) -> int:
        """Count the trials beside this one, with itself, that failed for its cause."""
        causes = [*self._before, *(self.why.get(name, "") for name in self._asked)]
        first = last = len(self._before) + self._asked.index(trial)
        while first > 0 and causes[first - 1] == causes[last]:
            first -= 1
        while last + 1 < len(causes) and causes[last + 1] == causes[first]:
            last += 1
        return last - first + 1
