"""Whether a cluster's workers can do a run's jobs: the same versions, the same folders, the devices asked for."""

import platform
import secrets
import socket
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_med.errors import EnvironmentProblem, five_of

if TYPE_CHECKING:
    from distributed import Client

PACKAGES = ("keras-med", "keras", "tensorflow", "numpy", "pandas", "scikit-learn", "opencv-python", "distributed")


def check_workers(client: "Client", written: Sequence[Path], read: Sequence[Path], *, gpu: bool = False) -> list[str]:
    """Refuse a cluster whose workers differ from this machine in what decides about results; return the hosts.

    Args:
        written: folders that each worker must share, as run folder and cache; they hold a mark while it looks.
        read: folders that each worker must have, as the data.
        gpu: whether jobs need GPUs.
    """
    mark = f".keras_med-{secrets.token_hex(6)}"
    for folder in written:
        (folder / mark).touch()
    try:
        paths = [*(str(folder / mark) for folder in written), *map(str, read)]
        answers = client.run(look, paths, on_error="return")
    finally:
        for folder in written:
            (folder / mark).unlink(missing_ok=True)
    found = {worker: _answered(worker, answer) for worker, answer in answers.items()}
    if not found:
        raise EnvironmentProblem("The cluster has no workers.", remedy="Start some: dask worker ADDRESS --nthreads 1")
    for worker in found.values():
        _check(worker)
    if gpu:
        _check_gpus(client, found)
    return sorted({str(worker["host"]) for worker in found.values()})


def _answered(worker: str, answer: dict[str, Any] | Exception) -> dict[str, Any]:
    if isinstance(answer, dict):
        return answer
    raise EnvironmentProblem(  # for example where the package cannot be imported
        f"The worker {worker} cannot run this program: {type(answer).__name__}: {answer}",
        remedy='Install the same version there: pip install "keras_med[cluster]"',
    )


def look(paths: Sequence[str]) -> dict[str, Any]:
    """Say, on a worker, who it is, which versions it has and which paths it does not see."""
    unseen = [path for path in paths if not Path(path).exists()]
    return {"host": socket.gethostname(), "versions": versions(), "unseen": unseen}


def versions() -> dict[str, str]:
    """Return the versions that must agree between a program and its workers."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _check(worker: dict[str, Any]) -> None:
    here, there, own = socket.gethostname(), worker["host"], versions()
    other = [
        f"{name} {own[name]} here and {version} there"
        for name, version in worker["versions"].items()
        if version != own.get(name)
    ]
    if other:
        raise EnvironmentProblem(
            f"{here} and the worker {there} differ: {five_of(other)}.",
            remedy="Install the same versions on both, or results would depend on where a fit ran.",
        )
    if worker["unseen"]:
        raise EnvironmentProblem(
            f"{here} has a folder that the worker {there} does not see.",
            where=five_of([_folder(path) for path in worker["unseen"]]),
            remedy="Name folders on a shared disk with --out, --cache and --data.",
        )


def _folder(path: str) -> str:
    """Leave out the mark."""
    return str(Path(path).parent) if Path(path).name.startswith(".keras_med-") else path


def _check_gpus(client: "Client", found: dict[str, Any]) -> None:
    workers = client.scheduler_info(n_workers=-1)["workers"]
    without = [str(found[name]["host"]) for name in found if not workers.get(name, {}).get("resources", {}).get("GPU")]
    if len(without) == len(found):
        raise EnvironmentProblem(
            f"No worker offers a GPU: {five_of(sorted(set(without)))}.",
            remedy="Start each with --resources GPU=1, or ask for --devices cpu.",
        )
