"""A program and its cluster: join one, so that every later list of jobs runs there, after a look at its workers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from keras_med.jobs import loop

if TYPE_CHECKING:
    from keras_med.jobs.dask import DaskRunner

_joined: "DaskRunner | None" = None


def join(
    address: str,
    modules: Sequence[str],
    environment: Mapping[str, str],
    written: Sequence[Path],
    *,
    gpu: bool,
    say: Callable[[str], None],
) -> None:
    """Let every later list of jobs run on the cluster at an address, and say what it is.

    Args:
        modules: what every job needs; imported once a worker.
        environment: variables that must stand before those imports.
        written: folders that every worker must share.
        gpu: whether each job needs a GPU of its own.
        say: tells the user what the cluster is and what the run waits for.
    """
    global _joined
    from keras_med.jobs.dask import DaskRunner
    from keras_med.jobs.suitable import check_workers

    for folder in written:
        folder.mkdir(parents=True, exist_ok=True)
    runner = DaskRunner(address, modules, environment, gpu=gpu, say=say)
    hosts = check_workers(runner.client, written, [], gpu=gpu)
    _joined = runner
    loop.use(lambda: runner)
    say(f"cluster at {address}: {runner.places} places on {', '.join(hosts)}")


def check_seen(folders: Sequence[Path]) -> None:
    """Refuse folders that a worker of the joined cluster does not see; without a cluster there is nothing to see."""
    if _joined is not None:
        from keras_med.jobs.suitable import check_workers

        check_workers(_joined.client, [], folders)


def places() -> int | None:
    """Return how many jobs the joined cluster takes side by side; None without one."""
    return max(1, _joined.places) if _joined is not None else None
