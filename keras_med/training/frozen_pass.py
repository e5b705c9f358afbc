"""The pass of every image through the frozen part of a network: its jobs, and what they found on the screen."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_med import runfolder
from keras_med.jobs import cluster
from keras_med.jobs.job import DONE, Job
from keras_med.jobs.loop import run_jobs
from keras_med.runfolder import RunFolder
from keras_med.training import blocks, folds
from keras_med.training.watching import CountWatch

_PROGRESS = "progress.txt"


def run(
    run: RunFolder,
    name: str,
    common: Mapping[str, Any],
    fold: str,
    *,
    at_once: int,
    reach: Callable[[int], None] = lambda done: None,
) -> Job:
    """Compute frozen features once for all fits that rest on them, in parts where several places share the work.

    Each block of rows comes out the same wherever it is made: engine, threads and batch are those of the first job.

    Args:
        name: of the first job's folder.
        fold: whose training images give a backbone without weights its statistics.
        at_once: processes side by side on this machine; a cluster has its own number.
        reach: told how many rows are done.
    """
    places = cluster.places() or at_once
    settings = {**common, "fold": fold, "shared": places > 1}
    first = folds.write_job(run, name, folds.RUN_EXTRACTION, settings)
    run_jobs([first], watch=CountWatch(reach, [first.folder / _PROGRESS]).see)
    left = _left(first)
    if left:
        parts = [_part(run, first, number, chosen) for number, chosen in _shared(left, places)]
        before = sum(runfolder.read_json(first.folder / DONE)["counts"]) - blocks.ROWS * len(left)
        files = [part.folder / _PROGRESS for part in parts]
        run_jobs(parts, at_once=at_once, watch=CountWatch(reach, files, max(0, before)).see)
    return first


def _left(first: Job) -> list[tuple[int, int]]:
    """Return pass and number of every block that the first job has left to others."""
    found = runfolder.read_json(first.folder / DONE)
    if not runfolder.read_json(first.folder / "settings.json").get("shared") or not found["folder"]:
        return []
    folders = [Path(folder) for folder in (found["folder"], *found["views"])]
    passes = enumerate(zip(folders, found["counts"], strict=True))
    return [(number, block) for number, (folder, rows) in passes for block in blocks.missing(folder, rows)]


def _shared(left: Sequence[tuple[int, int]], places: int) -> list[tuple[int, list[int]]]:
    """Cut each pass into as many runs of blocks as there are places, so that a place builds the network seldom."""
    found = []
    for number in dict(left):
        mine = [block for at, block in left if at == number]
        size = -(-len(mine) // places)
        found += [(number, mine[start : start + size]) for start in range(0, len(mine), size)]
    return found


def _part(run: RunFolder, first: Job, number: int, chosen: Sequence[int]) -> Job:
    given = runfolder.read_json(first.folder / "settings.json")
    named = hashlib.sha256(json.dumps([number, list(chosen)]).encode()).hexdigest()[:8]
    settings = {**given, "features": first.folder.name, "pass": number, "blocks": list(chosen)}
    part = folds.write_job(run, f"{first.folder.name}-part-{named}", folds.RUN_PART, settings)
    (part.folder / DONE).unlink(missing_ok=True)  # of a cache that has been emptied since
    return part


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
