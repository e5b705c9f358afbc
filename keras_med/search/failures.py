"""Failures of fits to trials that failed, told at once, and to the end of a search in which all fail alike."""

from collections.abc import Iterable
from pathlib import Path

from keras_med.errors import EnvironmentProblem, RunFailed, UserError
from keras_med.jobs.job import DONE, Job
from keras_med.terminal import say

_SAME_FAILURES = 3


class Failures:
    """Tells at once why a trial failed; the same cause in three trials in a row stops the search."""

    def __init__(self) -> None:
        self.why: dict[str, str] = {}
        self._trials: dict[Path, str] = {}
        self._streak: list[str] = []
        self._finished = 0

    def own(self, trial: str, jobs: Iterable[Job]) -> None:
        """Remember whose fits these are."""
        self._trials |= {job.folder: trial for job in jobs}

    def see(self, job: Job, error: UserError) -> None:
        """Take the failure of one fit."""
        self.note(self._trials[job.folder], error, cause=error.what.replace(job.folder.name, "a fit"))

    def note(self, trial: str, error: UserError, *, cause: str = "") -> None:
        """Take a failure; a full disk or an absent device is no fault of the trial and stops everything.

        Args:
            cause: by which failures are told to be alike; else what the error says.
        """
        if isinstance(error, EnvironmentProblem):
            raise error
        if trial in self.why:
            return
        self.why[trial] = error.what
        say(f"{trial} failed: {error.what}\n{error.where}")
        cause = cause or error.what
        finished = sum((folder / DONE).is_file() for folder in self._trials)
        again = finished == self._finished and self._streak[-1:] == [cause]
        self._streak, self._finished = [*(self._streak if again else []), cause], finished
        if len(self._streak) >= _SAME_FAILURES:
            what = f"{len(self._streak)} trials in a row failed for the same reason: {error.what}"
            raise RunFailed(what, where=error.where, remedy=error.remedy or "Mend it, then --resume.")
