"""Jobs on a Dask cluster: one task a job, in warm processes beside the workers; the folders lie on a shared disk.

Nothing here trusts the scheduler to remember: when it goes, its client is thrown away, a new one waits for the next
scheduler at the address, and every folder without done.json is submitted again.
"""

import queue
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from keras_med.errors import EnvironmentProblem, RecipeError
from keras_med.jobs.job import Job
from keras_med.jobs.leases import STOP
from keras_med.jobs.local import PATIENCE
from keras_med.jobs.serving import run_on_worker

if TYPE_CHECKING:
    from distributed import Client, Future

_ANSWER = 10.0  # seconds that a scheduler has to answer
_AWAY = 600.0  # seconds that a scheduler or the last worker may be away before the run gives up
_COUNTED = 1.0  # seconds for which the number of places is believed: the scheduler answers with all that it knows


class DaskRunner:
    """The workers of one scheduler.

    Args:
        address: of the scheduler.
        modules: what every job needs; imported once a worker.
        environment: variables that must stand before those imports.
        gpu: whether each job needs a GPU of its own; the workers then say how many they have (--resources GPU=1).
        say: tells the user what the run waits for.
    """

    def __init__(
        self,
        address: str,
        modules: Sequence[str],
        environment: Mapping[str, str],
        *,
        gpu: bool = False,
        say: Callable[[str], None] = print,
    ) -> None:
        self._address = check_address(address)
        self._given = (list(modules), dict(environment))
        self._resources = {"GPU": 1} if gpu else None
        self._say = say
        self._futures: dict[Job, Future] = {}
        self._counted = (-_COUNTED, 0)
        self._over: queue.SimpleQueue[tuple[Job, Future]] = queue.SimpleQueue()
        self.client = _connect(self._address)

    @property
    def places(self) -> int:
        """How many jobs the workers take side by side; 0 while there are no workers."""
        moment, known = self._counted
        if known and time.monotonic() - moment < _COUNTED:
            return known
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        if self._resources:
            found = sum(worker["resources"].get("GPU", 0) for worker in workers)
        else:
            found = sum(worker["nthreads"] for worker in workers)
        self._counted = time.monotonic(), int(found)
        return int(found)

    def room(self, at_once: int) -> int:
        """Return one job a place, whatever the program asks for: a job that waits behind a long one is not moved."""
        return max(1, self.places) if self._alive else max(1, len(self._futures))

    def start(self, job: Job) -> None:
        """Submit the job."""
        self._mend()
        future = self.client.submit(
            run_on_worker,
            str(job.folder.absolute()),
            job.action,
            *self._given,
            key=f"{job.folder.name}-{secrets.token_hex(6)}",
            pure=False,
            resources=self._resources,
        )
        self._futures[job] = future
        future.add_done_callback(lambda ended: self._over.put((job, ended)))

    def ended(self, seconds: float) -> list[tuple[Job, int | None]]:
        """Wait for a job to end; one whose worker or scheduler is gone is lost."""
        found: list[tuple[Job, int | None]] = []
        deadline = time.monotonic() + seconds
        while not found or not self._over.empty():
            try:
                job, future = self._over.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if self._futures.get(job) is future:
                del self._futures[job]
                found.append((job, _code(future)))
        if not self._alive:
            lost = [(job, None) for job in self._futures]
            self._futures.clear()
            return [*found, *lost]
        return found

    def interrupt(self) -> None:
        """Ask every job, by a file in its folder, for its last checkpoint; wait for that, and let go."""
        for job in self._futures:
            with suppress(OSError):
                (job.folder / STOP).touch()
        deadline = time.monotonic() + PATIENCE
        while self._alive and time.monotonic() < deadline and not all(one.done() for one in self._futures.values()):
            time.sleep(0.2)
        self.kill()

    def kill(self) -> None:
        """Take back what has not begun and stop what has."""
        for job, future in self._futures.items():
            with suppress(Exception):  # of a client whose scheduler is gone
                future.cancel()
            with suppress(OSError):
                (job.folder / STOP).touch()
        self._futures.clear()

    @property
    def _alive(self) -> bool:
        return self.client.status == "running"

    def _mend(self) -> None:
        """Wait for a scheduler at the address, and for workers, when they are gone."""
        if self._alive and self.places:
            return
        self._say(f"the cluster at {self._address} has no {'workers' if self._alive else 'scheduler'}; waiting")
        deadline = time.monotonic() + _AWAY
        while not (self._alive and self.places):
            if time.monotonic() > deadline:
                what = f"The cluster at {self._address} did not come back within {_AWAY / 60:.0f} minutes."
                raise EnvironmentProblem(what, remedy="Start it again, then continue with --resume.")
            time.sleep(1.0)
            if not self._alive:
                _abandon(self.client)
                with suppress(EnvironmentProblem):
                    self.client, self._counted = _connect(self._address), (-_COUNTED, 0)
        self._say(f"the cluster at {self._address} is back: {self.places} places")


def check_address(address: str) -> str:
    """Refuse what cannot be the address of a scheduler."""
    if not re.fullmatch(r"(tcp|tls|ws|wss|ucx)://[^\s/]+:\d+", address):
        raise RecipeError(f"--on {address} is no address.", remedy="For example --on tcp://head-node:8786")
    return address


def _connect(address: str) -> "Client":
    try:
        from distributed import Client
    except ModuleNotFoundError:
        remedy = 'pip install "keras_med[cluster]", here and on the workers'
        raise EnvironmentProblem("Jobs on a cluster need Dask.", remedy=remedy) from None
    try:
        return Client(address, timeout=_ANSWER, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise EnvironmentProblem(
            f"No scheduler answers at {address}: {type(error).__name__}",
            remedy=f"Start one with: dask scheduler --port {address.rpartition(':')[2]}",
        ) from None


def _abandon(client: "Client") -> None:
    """Close a client whose scheduler is gone, which may hang, without waiting for it."""

    def close() -> None:
        with suppress(Exception):
            client.close(timeout=1)

    threading.Thread(target=close, daemon=True).start()


def _code(future: "Future") -> int | None:
    """Return a task's exit code; None where its worker died or its scheduler forgot it."""
    if future.status == "finished":
        with suppress(Exception):  # its worker went before the answer was fetched
            return int(future.result(timeout=_ANSWER))
        return None
    if future.status == "error":
        return _code_of_error(future.exception(timeout=_ANSWER))
    return None


def _code_of_error(error: Any) -> int | None:
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return None
    raise EnvironmentProblem(
        f"A worker could not begin a job: {type(error).__name__}: {error}",
        remedy="The workers need this version of keras_med; python -m keras_med.doctor there says what is missing.",
    )
