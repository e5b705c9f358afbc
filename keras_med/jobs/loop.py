"""Job folders to finished folders: the loop over their states, above a runner that knows where processes run.

A job is done when its folder holds done.json, so running a list again skips what is finished. What a machine or a
scheduler loses is simply submitted again: the folder is the truth, never what a runner remembers.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from keras_med.errors import RunFailed, UserError
from keras_med.jobs.job import FAILURE, LOG, Job, check
from keras_med.jobs.leases import STOP
from keras_med.jobs.local import LocalRunner

_LOSSES = 5  # of one job, with its machine, after which it is given up


class Runner(Protocol):
    """Where jobs run."""

    def room(self, at_once: int) -> int:
        """Return how many jobs it takes side by side when the program asks for `at_once`."""

    def start(self, job: Job) -> None:
        """Let a process begin the job."""

    def ended(self, seconds: float) -> list[tuple[Job, int | None]]:
        """Wait at most so long; return the jobs that ended, with exit code, or None where machine and job were lost."""

    def interrupt(self) -> None:
        """Give every job time for its last checkpoint, then end it."""

    def kill(self) -> None:
        """End every job now."""


_chosen: Callable[[], Runner] = LocalRunner


def use(runner: Callable[[], Runner]) -> None:
    """Let `runner` make the runner of every later list of jobs that names none."""
    global _chosen
    _chosen = runner


def run_jobs(
    jobs: Sequence[Job],
    *,
    at_once: int = 1,
    watch: Callable[[Sequence[Path]], None] | None = None,
    every: float = 0.1,
    runner: Runner | None = None,
    failed: Callable[[Job, UserError], None] | None = None,
) -> None:
    """Run every job that is not done; the first failure stops the rest and is raised as what it was.

    Args:
        jobs: in the order in which they start.
        at_once: processes side by side, where the runner leaves that to the program.
        watch: called several times a second with the folders that run or have just ended.
        every: seconds between two calls.
        runner: where they run; else where `use` said.
        failed: told of each job that fails, after which the others go on; what it raises stops them all.
    """
    waiting = deque(job for job in jobs if not job.done)
    if not waiting:
        return
    runner = runner or _chosen()
    running: dict[Job, None] = {}
    losses: Counter[Job] = Counter()
    try:
        while waiting or running:
            while waiting and len(running) < runner.room(at_once):
                job = waiting.popleft()
                _prepare(job)
                runner.start(job)
                running[job] = None
            ended = runner.ended(every)
            if watch is not None:
                watch([job.folder for job in running])
            for job, code in ended:
                del running[job]
                if code is None and not job.done:
                    waiting.appendleft(_lost(job, losses))
                else:
                    _check(job, code, failed)
    except KeyboardInterrupt:
        runner.interrupt()
        raise
    except BaseException:
        runner.kill()
        raise


def _check(job: Job, code: int | None, failed: Callable[[Job, UserError], None] | None) -> None:
    try:
        check(job, code)
    except UserError as error:
        if failed is None:
            raise
        failed(job, error)


def _prepare(job: Job) -> None:
    """Take away what an earlier attempt left for its parent."""
    job.folder.mkdir(parents=True, exist_ok=True)
    for name in (FAILURE, STOP):
        (job.folder / name).unlink(missing_ok=True)


def _lost(job: Job, losses: Counter[Job]) -> Job:
    """Count a loss; a job that takes every machine down with it is given up."""
    losses[job] += 1
    if losses[job] >= _LOSSES:
        what = f"{job.folder.name} was lost {losses[job]} times with the machine that ran it."
        remedy = "Often its memory is too small; see the log, then --resume."
        raise RunFailed(what, where=str(job.folder / LOG), remedy=remedy)
    return job
