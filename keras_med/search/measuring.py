"""A recipe to what its network costs here and what its search will ask for: two jobs that leave nothing."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_med import runfolder
from keras_med.errors import EnvironmentProblem, RunFailed
from keras_med.jobs.job import LOG, Job
from keras_med.jobs.local import warm_up
from keras_med.jobs.loop import run_jobs
from keras_med.recipe.opening import Options
from keras_med.recipe.words import Recipe
from keras_med.search.ahead import Cost
from keras_med.terminal import check_backend
from keras_med.training import memory, runtime
from keras_med.training.runtime import Runtime

_REHEARSAL = "keras_med.training.rehearsal:run_rehearsal"
_FORECAST = "keras_med.search.forecast:run_forecast"


@dataclass(frozen=True)
class Measured:
    """What a few steps showed.

    costs: of each stage of training.
    memory: bytes of one fit's process at its peak, measured or extrapolated from smaller batches.
    batch: the recipe's, or the largest found that fits the memory.
    shape: of one image's frozen features; none where the network has none that are kept.
    seconds_an_image: of the pass that computes them, by TensorFlow.
    batches: of the search.
    parameters: of one network.
    shared: those of its frozen part.
    """

    costs: tuple[Cost, ...]
    memory: int
    batch: int
    shape: tuple[int, ...] | None
    seconds_an_image: float
    batches: list[dict[str, Any]]
    parameters: int
    shared: int


def measure(options: Options, recipe: Recipe, images: np.ndarray) -> Measured:
    """Train a few steps of each stage on a few images; a network that cannot be built is refused as a run would."""
    machine = Runtime(check_backend(), options.devices, recipe.train.threads, options.deterministic)
    runtime.check(machine, recipe.train.batch_size, recipe.train.precision)
    warm_up(["keras_med.training.rehearsal"], runtime.environment(machine))
    with tempfile.TemporaryDirectory(prefix="keras_med-plan-") as folder:
        jobs = [Job(Path(folder) / "rehearsal", _REHEARSAL)]
        jobs += [Job(Path(folder) / "forecast", _FORECAST)] if recipe.search is not None else []
        for job in jobs:
            runfolder.write_json(job.folder / "settings.json", _settings(options, machine))
        runfolder.write_atomically(jobs[0].folder / "images.npy", lambda file: np.save(file, images))
        _run(jobs)
        found = [runfolder.read_json(job.folder / "done.json") for job in jobs]
    return _measured(found[0], found[1]["batches"] if len(found) > 1 else [])


def _settings(options: Options, machine: Runtime) -> dict[str, Any]:
    return {
        "reference": options.reference,
        "assignments": list(options.assignments),
        "smoke": options.smoke,
        "runtime": machine.settings(),
        "weights": options.weights and str(options.weights.absolute()),
        "limit": memory.limit(),
    }


def _run(jobs: list[Job]) -> None:
    """Run the jobs; what they die of is told with the end of their log, which goes with their folder."""
    try:
        run_jobs(jobs)
    except RunFailed as error:
        if "memory" in error.what:
            raise EnvironmentProblem(error.what, remedy=error.remedy) from None
        log = Path(error.where)
        last = log.read_text(encoding="utf-8").strip().splitlines()[-1:] if log.name == LOG and log.is_file() else []
        raise RunFailed(error.what, where=" ".join(last), remedy="A run would end the same way.") from None


def _measured(rehearsal: dict[str, Any], batches: list[dict[str, Any]]) -> Measured:
    stages, frozen = rehearsal["stages"], rehearsal["frozen"]
    return Measured(
        costs=tuple(Cost(tuple(each["sizes"]), tuple(each["steps"]), each["forward"]) for each in stages),
        memory=max(each["memory"] for each in [*stages, *([frozen] if frozen else [])]),
        batch=min(each["batch"] for each in stages),
        shape=tuple(frozen["shape"]) if frozen else None,
        seconds_an_image=frozen["seconds_an_image"] if frozen else 0.0,
        batches=batches,
        parameters=rehearsal["parameters"],
        shared=rehearsal["shared"],
    )
