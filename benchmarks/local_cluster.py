"""A real Dask cluster on this machine, a process for the scheduler and for each worker: for benchmarks and tests."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class LocalCluster:
    """Starts, kills and restarts the processes, as a supervisor and its enemies do.

    folder: of the processes' logs; they also work there.
    imports: folders whose modules the workers can import, beside this package.
    """

    folder: Path
    imports: Sequence[Path] = ()
    port: int = field(default_factory=lambda: free_port())
    scheduler: "subprocess.Popen[bytes] | None" = None
    workers: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start(self, workers: int) -> None:
        """Start a scheduler and so many workers."""
        self.start_scheduler()
        for _ in range(workers):
            self.start_worker()

    def start_scheduler(self) -> None:
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard")

    def start_worker(self, *more: str) -> None:
        options = ["--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "60"]
        self.workers.append(self._start("worker", self.address, *options, *more))

    def kill_worker(self, number: int = 0) -> None:
        """End a worker by SIGKILL; its jobs end with it."""
        _kill(self.workers.pop(number))

    def restart_scheduler(self) -> None:
        """End the scheduler by SIGKILL and start it again, with as many workers: they end with it."""
        if self.scheduler is not None:
            _kill(self.scheduler)
        count = len(self.workers)
        while self.workers:
            self.kill_worker()
        self.start(count)

    def __enter__(self) -> "LocalCluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in [*self.workers, *([self.scheduler] if self.scheduler else [])]:
            _kill(process)

    def _start(self, *words: str) -> "subprocess.Popen[bytes]":
        paths = [str(ROOT), *map(str, self.imports), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        command = [sys.executable, "-W", "ignore", "-m", "dask", *words]
        with (self.folder / f"{words[0]}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=environment)


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
