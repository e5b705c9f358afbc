"""A warm process beside a worker of a cluster: a job a line comes in, its exit code goes out.

A worker may not fork processes of its own (Dask's are daemons), and starting Python with Keras for each job would take
longer than many jobs. This process has a fork server like a program on one machine, and ends with its worker: the pipe
it reads from closes, however the worker died.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from keras_med.jobs.job import Job
from keras_med.jobs.local import PRELOAD, LocalRunner, warm_up

_idle: dict[str, list["Server"]] = {}  # of this worker, by what they were started with
_lock = threading.Lock()


class Server:
    """One warm process, seen from the worker; it does one job at a time."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        variables = {**os.environ, **environment, PRELOAD: ",".join(modules)}
        command = [sys.executable, "-m", "keras_med.jobs.serving"]
        self._process = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def do(self, folder: str, action: str) -> int:
        """Run a job and return its exit code; of a process that was killed the negative signal."""
        assert self._process.stdin
        assert self._process.stdout
        try:
            self._process.stdin.write(json.dumps({"folder": folder, "action": action}) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())
        except (OSError, ValueError):
            return self._process.wait() or -signal.SIGKILL

    @property
    def alive(self) -> bool:
        """Whether it can do another job."""
        return self._process.poll() is None

    def close(self) -> None:
        """Let it end."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()


def run_on_worker(folder: str, action: str, modules: Sequence[str], environment: Mapping[str, str]) -> int:
    """Do a job in a warm process of this worker; what the cluster calls."""
    with _server(modules, environment) as server:
        return server.do(folder, action)


@contextmanager
def _server(modules: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    """Lend an idle process, or a new one; those of another program are let go, for their memory."""
    key = json.dumps([list(modules), sorted(environment.items())])
    with _lock:
        others = [server for other in list(_idle) if other != key for server in _idle.pop(other)]
        mine = _idle.setdefault(key, [])
        server = mine.pop() if mine else None
    for other in others:
        other.close()
    server = server or Server(modules, environment)
    try:
        yield server
    finally:
        if server.alive:
            with _lock:
                _idle.setdefault(key, []).append(server)


def serve() -> None:
    """Do the jobs that come in until the worker is gone."""
    answers = os.dup(1)
    os.dup2(2, 1)  # whatever else prints must not be taken for an answer
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    warm_up([name for name in os.environ.get(PRELOAD, "").split(",") if name], {})
    runner = LocalRunner(ahead=True)
    while True:
        told = json.loads(lines.get())
        os.write(answers, f"{_run(runner, Job(Path(told['folder']), told['action']))}\n".encode())


def _read(lines: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        lines.put(line)
    os.kill(os.getpid(), signal.SIGKILL)  # and the job's process follows, as it does any parent


def _run(runner: LocalRunner, job: Job) -> int:
    runner.start(job)
    while not (ended := runner.ended(1.0)):
        continue
    return ended[0][1] or 0


if __name__ == "__main__":
    serve()
