"""The pass of every image through the frozen part of a network: its job, and what it found on the screen."""

from collections.abc import Callable, Mapping
from typing import Any

from keras_med import runfolder
from keras_med.jobs.job import Job
from keras_med.runfolder import RunFolder
from keras_med.training import folds


def job(run: RunFolder, name: str, common: Mapping[str, Any], fold: str) -> Job:
    """Write the job that computes frozen features once for all fits that rest on them.

    Args:
        name: of its folder.
        fold: whose training images give a backbone without weights its statistics.
    """
    return folds.write_job(run, name, folds.RUN_EXTRACTION, {**common, "fold": fold})


def tell(made: Job, say: Callable[[str], None]) -> None:
    """Say which weights and which engine a finished job used."""
    found = runfolder.read_json(made.folder / "done.json")
    for used in found["weights"]:
        say(f"weights of {used['backbone']}: {used['file'] or 'RANDOM, no ImageNet weights were found'}")
    for key in ("reason", "told"):
        if found.get(key):
            say(found[key])
    if found["folder"]:
        views = f" and {len(found['views'])} views of the training images" if found["views"] else ""
        by = found["engine"]["name"]
        say(f"frozen features: {found['rows']} x {found['shape']}{views}, once for all fits, by {by}")
