"""Job folders to finished folders, each in its own process from a warm fork server.

A job is done when its folder holds done.json, so running a list again skips what is finished. A process that a signal
ends takes nobody with it: a pool would break as a whole, single processes do not. They die with this program, however
it ends, because each of them waits for that in a thread.
"""

import importlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from keras_med.errors import RunFailed, UserError

DONE = "done.json"
LOG = "log.txt"
FAILURE = "failure.txt"
_PATIENCE = 20.0  # seconds that an interrupted job has for its last checkpoint


@dataclass(frozen=True)
class Job:
    """A folder with a complete input, and the function ("module:name") that turns it into a finished one."""

    folder: Path
    action: str

    @property
    def done(self) -> bool:
        """Whether an earlier process finished it."""
        return (self.folder / DONE).is_file()


@dataclass
class _Running:
    job: Job
    process: BaseProcess
    started: float = field(default_factory=time.monotonic)


def warm_up(modules: Sequence[str], environment: dict[str, str]) -> None:
    """Start the fork server now: it imports the modules in the background while this process goes on.

    Args:
        modules: what every job needs; imported once.
        environment: variables that must stand before those imports, and for every job.
    """
    os.environ.update(environment)
    context = multiprocessing.get_context(_method())
    if _method() == "forkserver":
        context.set_forkserver_preload(["keras_med.jobs.preload"])
        os.environ["KERAS_MED_PRELOAD"] = ",".join(modules)
        multiprocessing.forkserver.ensure_running()


def run_jobs(
    jobs: Sequence[Job],
    *,
    at_once: int = 1,
    watch: Callable[[Sequence[Path]], None] | None = None,
    every: float = 0.1,
) -> None:
    """Run every job that is not done; the first failure stops the rest and is raised as what it was.

    Args:
        jobs: in the order in which they start.
        at_once: processes side by side.
        watch: called several times a second with the folders that run or have just ended.
        every: seconds between two calls.
    """
    waiting = [job for job in jobs if not job.done]
    running: list[_Running] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_start(waiting.pop(0)))
            multiprocessing.connection.wait([item.process.sentinel for item in running], timeout=every)
            ended = [item for item in running if not item.process.is_alive()]
            if watch is not None:
                watch([item.job.folder for item in running])
            running = [item for item in running if item not in ended]
            for item in ended:
                _collect(item)
    except KeyboardInterrupt:
        _interrupt(running)
        raise
    except BaseException:
        _kill(running)
        raise


def run_here(job: Job) -> None:
    """Do the job in this process."""
    if not job.done:
        _action(job.action)(job.folder)


def _start(job: Job) -> _Running:
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / FAILURE).unlink(missing_ok=True)
    context: Any = multiprocessing.get_context(_method())
    process = context.Process(target=_work, args=(str(job.folder), job.action), daemon=True)
    process.start()
    return _Running(job, process)


def _work(folder: str, action: str) -> None:
    """Run in the job's own process: everything it prints goes to its log, an error to its failure file."""
    _die_with_parent()
    path = Path(folder)
    with (path / LOG).open("a", encoding="utf-8", buffering=1) as log:
        os.dup2(log.fileno(), sys.stdout.fileno())
        os.dup2(log.fileno(), sys.stderr.fileno())
        try:
            _action(action)(path)
        except KeyboardInterrupt:
            os._exit(130)
        except BaseException as error:
            traceback.print_exc()
            _write_failure(path, error)
            os._exit(error.exit_code if isinstance(error, UserError) else 1)


def _action(name: str) -> Callable[[Path], None]:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _write_failure(folder: Path, error: BaseException) -> None:
    """Leave the error for the parent: its class (of those in errors.py), then what, where and remedy, a line each."""
    if isinstance(error, UserError):
        kind = next(base.__name__ for base in type(error).__mro__ if base.__module__ == UserError.__module__)
        lines = [kind, error.what, error.where, error.remedy]
    else:
        lines = ["RunFailed", f"{type(error).__name__}: {error}", "", ""]
    text = "\n".join(line.replace("\n", " ") for line in lines)
    (folder / FAILURE).write_text(text, encoding="utf-8")


def _collect(item: _Running) -> None:
    """Raise what the job died of; nothing if it is done."""
    item.process.join()
    code = item.process.exitcode
    item.process.close()
    if item.job.done and code == 0:
        return
    if code == 130:
        raise KeyboardInterrupt
    failure = item.job.folder / FAILURE
    if failure.is_file():
        raise _failure(failure, item.job)
    told = f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"
    if code == -signal.SIGKILL:
        told += " (often: the machine ran out of memory)"
    where = str(item.job.folder / LOG)
    raise RunFailed(f"{item.job.folder.name} {told}.", where=where, remedy="Run again with --resume.")


def _failure(file: Path, job: Job) -> UserError:
    import keras_med.errors

    kind, what, where, remedy = [*file.read_text(encoding="utf-8").split("\n"), "", "", "", ""][:4]
    known = getattr(keras_med.errors, kind, RunFailed)
    return known(what, where=where or str(job.folder / LOG), remedy=remedy)


def _interrupt(running: Sequence[_Running]) -> None:
    """Give every running job time to write its last checkpoint, then end it."""
    for item in running:
        with suppress(ProcessLookupError):
            os.kill(item.process.pid or 0, signal.SIGINT) if item.process.is_alive() else None
    deadline = time.monotonic() + _PATIENCE
    for item in running:
        item.process.join(max(0.0, deadline - time.monotonic()))
    _kill(running)


def _kill(running: Sequence[_Running]) -> None:
    for item in running:
        with suppress(ValueError):
            item.process.kill()
            item.process.join()


def _method() -> str:
    return "forkserver" if sys.platform == "linux" else "spawn"


def _die_with_parent() -> None:
    """End this process as soon as the program that asked for it has ended, however that ended.

    Not PR_SET_PDEATHSIG: it follows the fork server, which lives as long as one of its children holds its pipe.
    """
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=follow, daemon=True, name="parent-watch").start()
