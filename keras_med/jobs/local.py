"""Jobs on this machine: each in its own process from a warm fork server.

A process that a signal ends takes nobody with it: a pool would break as a whole, single processes do not. They die with
this program, however it ends, because each of them waits for that in a thread.
"""

import multiprocessing
import multiprocessing.connection
import multiprocessing.forkserver
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from keras_med.jobs.job import Job, work

PATIENCE = 20.0  # seconds that an interrupted job has for its last checkpoint
PRELOAD = "KERAS_MED_PRELOAD"  # names the modules for jobs/preload.py


def warm_up(modules: Sequence[str], environment: dict[str, str]) -> None:
    """Start the fork server now: it imports the modules in the background while this process goes on.

    Args:
        modules: what every job needs; imported once.
        environment: variables that must stand before those imports, and for every job.
    """
    os.environ.update(environment)
    os.environ[PRELOAD] = ",".join(modules)
    context = multiprocessing.get_context(start_method())
    if start_method() == "forkserver":
        context.set_forkserver_preload(["keras_med.jobs.preload"])
        multiprocessing.forkserver.ensure_running()


class LocalRunner:
    """Processes of this machine.

    Args:
        ahead: always have one process more, that waits for its job, so that the next one starts without a fork.
    """

    def __init__(self, *, ahead: bool = False) -> None:
        self._running: dict[Job, BaseProcess] = {}
        self._ahead = _waiting() if ahead else None

    def room(self, at_once: int) -> int:
        """Return as many as the program asks for."""
        return at_once

    def start(self, job: Job) -> None:
        """Give the job to a process of its own."""
        process, jobs = self._ahead if self._ahead and self._ahead[0].is_alive() else _waiting()
        jobs.send((str(job.folder), job.action))
        jobs.close()
        self._running[job] = process
        if self._ahead:
            self._ahead = _waiting()

    def ended(self, seconds: float) -> list[tuple[Job, int | None]]:
        """Wait for a process to end; a killed one is no loss of the machine, its exit code says so."""
        multiprocessing.connection.wait([process.sentinel for process in self._running.values()], timeout=seconds)
        over = [job for job, process in self._running.items() if not process.is_alive()]
        return [(job, _exit_code(self._running.pop(job))) for job in over]

    def interrupt(self) -> None:
        """Send Ctrl-C to every process, wait, and kill those that stay."""
        for process in self._running.values():
            with suppress(ProcessLookupError):
                os.kill(process.pid or 0, signal.SIGINT) if process.is_alive() else None
        deadline = time.monotonic() + PATIENCE
        for process in self._running.values():
            process.join(max(0.0, deadline - time.monotonic()))
        self.kill()

    def kill(self) -> None:
        """Kill every process."""
        for process in [*self._running.values(), *([self._ahead[0]] if self._ahead else [])]:
            process.kill()
            process.join()


def _exit_code(process: BaseProcess) -> int | None:
    process.join()
    code = process.exitcode
    process.close()
    return code


def _waiting() -> tuple[BaseProcess, Connection]:
    """Fork a process that does the one job that is sent to it."""
    context: Any = multiprocessing.get_context(start_method())
    theirs, ours = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _work(jobs: Connection) -> None:
    die_with_parent()
    try:
        told = jobs.recv()
    except EOFError:  # its program has ended
        return
    work(*told)


def start_method() -> str:
    """Name how processes are started here."""
    return "forkserver" if sys.platform == "linux" else "spawn"


def die_with_parent() -> None:
    """End this process as soon as the program that asked for it has ended, however that ended.

    Not PR_SET_PDEATHSIG: it follows the fork server, which lives as long as one of its children holds its pipe.
    """
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=follow, daemon=True, name="parent-watch").start()
