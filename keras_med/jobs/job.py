"""What a job is, and what its own process does: the folder's action, its log, and an error that the parent can read."""

import errno
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_med.errors import RunFailed, UserError
from keras_med.jobs import leases
from keras_med.terminal import from_os_error

DONE = "done.json"
LOG = "log.txt"
FAILURE = "failure.txt"
INTERRUPTED = 130  # the exit code of a job that wrote its last checkpoint


@dataclass(frozen=True)
class Job:
    """A folder with a complete input, and the function ("module:name") that turns it into a finished one."""

    folder: Path
    action: str

    @property
    def done(self) -> bool:
        """Whether an earlier process finished it."""
        return (self.folder / DONE).is_file()


def run_here(job: Job) -> None:
    """Do the job in this process."""
    if not job.done:
        _action(job.action)(job.folder)


def work(folder: str, action: str) -> None:
    """Do the job in a process of its own: everything it prints goes to its log, an error to its failure file."""
    path = Path(folder)
    with (path / LOG).open("a", encoding="utf-8", buffering=1) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
        try:
            with leases.held(path, until=lambda: (path / DONE).is_file()) as mine:
                if mine:
                    _action(action)(path)
        except KeyboardInterrupt:
            os._exit(INTERRUPTED)
        except BaseException as error:
            with suppress(OSError):  # a full disk leaves an empty file, by which `check` knows it
                _write_failure(path, error)
                traceback.print_exc()
            os._exit(error.exit_code if isinstance(error, UserError) else 1)


def check(job: Job, code: int | None) -> None:
    """Raise what an ended job died of; nothing if it is done.

    Args:
        code: of its process, negative for the signal that ended it.
    """
    if job.done and not code:
        return
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    failure = job.folder / FAILURE
    if failure.is_file():
        if not failure.stat().st_size:
            raise from_os_error(OSError(errno.ENOSPC, "", str(job.folder)))
        raise _failure(failure, job)
    told = f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"
    if code == -signal.SIGKILL:
        told += " (often: the machine ran out of memory)"
    raise RunFailed(f"{job.folder.name} {told}.", where=str(job.folder / LOG), remedy="Run again with --resume.")


def _action(name: str) -> Callable[[Path], Any]:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _write_failure(folder: Path, error: BaseException) -> None:
    """Leave the error for the parent: its class (of those in errors.py), then what, where and remedy, a line each."""
    if isinstance(error, OSError):
        error = from_os_error(error)
    if isinstance(error, UserError):
        kind = next(base.__name__ for base in type(error).__mro__ if base.__module__ == UserError.__module__)
        lines = [kind, error.what, error.where, error.remedy]
    else:
        lines = ["RunFailed", f"{type(error).__name__}: {error}", "", ""]
    text = "\n".join(line.replace("\n", " ") for line in lines)
    (folder / FAILURE).write_text(text, encoding="utf-8")


def _failure(file: Path, job: Job) -> UserError:
    import keras_med.errors

    kind, what, where, remedy = [*file.read_text(encoding="utf-8").split("\n"), "", "", "", ""][:4]
    known = getattr(keras_med.errors, kind, RunFailed)
    return known(what, where=where or str(job.folder / LOG), remedy=remedy)
