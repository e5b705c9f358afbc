"""Files to arrays: each file is decoded once, into shards of a memory map that outlive the run.

A shard is a job folder: its rows go in, images.npy, thumbnails.npy and rows.csv come out, done.json last. Its name is
a hash of the rows (path, size, time of change) and of the settings that shape an image, so another run with the
same files finds it, and a file that changed is read again. Stacks (.npy) stay where they are: only their hashes and
thumbnails are computed.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data import hashes, pixels
from keras_med.errors import DataError
from keras_med.jobs.local import Job, run_jobs
from keras_med.recipe.words import Image

VERSION = 1  # of what a shard holds; a change here reads every file again
MAKE_SHARD = "keras_med.data.prepare:make_shard"
_ROWS = 512
_BYTES = 64 * 1024**2
_FOUND = ["pixel_hash", "flip_hash", "perceptual_hash", "mean", "deviation", "minimum", "maximum"]
_STORED = ["width", "height", "channels", "bits", "burned_in"]


@dataclass(frozen=True)
class Prepared:
    """What `prepare` guarantees: one array of the declared shape for each row of the table, or a reason.

    table: the rows that could be read, with array, array_row, hashes and statistics.
    excluded: id and reason of the others.
    thumbnails: one 64x64 picture a row of the table, in its order.
    """

    table: pd.DataFrame
    excluded: pd.DataFrame
    thumbnails: np.ndarray


def prepare(
    table: pd.DataFrame, image: Image, cache: Path, *, at_once: int = 1, reached: Callable[[int], None] | None = None
) -> Prepared:
    """Decode every file of the table that the cache does not hold yet.

    Args:
        at_once: processes side by side.
        reached: called with the number of rows whose shard is done.
    """
    table = table.sort_values("id", kind="stable").reset_index(drop=True)
    shards = _plan(table, image, cache)
    counts = {job.folder: len(rows) for job, rows in shards}
    jobs = [job for job, _ in shards]
    for job, rows in shards:
        if not job.done:
            _write_input(job.folder, table.loc[rows], image)

    def watch(_: Sequence[Path]) -> None:
        if reached is not None:
            reached(sum(counts[job.folder] for job in jobs if job.done))

    run_jobs(jobs, at_once=at_once, watch=watch)
    return _gathered(table, shards)


def make_shard(folder: Path) -> None:
    """Read the rows of one shard; a file that cannot be read becomes a row with its reason."""
    settings = runfolder.read_json(folder / "settings.json")
    image = Image(**settings["image"])
    rows = pd.read_csv(folder / "input.csv", dtype={"path": str}, keep_default_na=False)
    made = [_read_row(row, image) for row in rows.to_dict("records")]
    pictures = [picture for picture, _, _ in made if picture is not None]
    thumbnails = np.zeros((len(made), hashes.THUMBNAIL, hashes.THUMBNAIL), np.uint8)
    for position, (_, thumbnail, _) in enumerate(made):
        thumbnails[position] = thumbnail
    if pictures:
        runfolder.write_atomically(folder / "images.npy", lambda file: np.save(file, pixels.alike(pictures)))
    runfolder.write_atomically(folder / "thumbnails.npy", lambda file: np.save(file, thumbnails))
    runfolder.write_csv(folder / "rows.csv", pd.DataFrame([found for _, _, found in made]))
    runfolder.write_json(
        folder / "done.json", {"rows": len(made), "read": sum(not found["reason"] for *_, found in made)}
    )
    (folder / "input.csv").unlink()  # paths stay with the run that asked


def _plan(table: pd.DataFrame, image: Image, cache: Path) -> list[tuple[Job, pd.Index]]:
    """Cut the table into shards of at most 64 MiB, each with the folder that its content names."""
    size = max(1, min(_ROWS, _BYTES // (4 * int(np.prod(image.shape)))))
    told = _told(table)
    planned = []
    for start in range(0, len(table), size):
        rows = table.index[start : start + size]
        content = json.dumps([VERSION, _image_settings(image), told[start : start + size]])
        key = hashlib.sha256(content.encode()).hexdigest()[:24]
        planned.append((Job(cache / "prepared" / key, MAKE_SHARD), rows))
    return planned


def _told(table: pd.DataFrame) -> list[list[Any]]:
    """Return what tells a row's file from others: path, row, size and time of change."""
    files: dict[str, tuple[int, int]] = {}
    for path in table["path"].unique():
        try:
            found = Path(path).stat()
        except OSError as error:
            raise DataError(f"A file has gone: {error.strerror}", where=str(path)) from None
        files[path] = (found.st_size, found.st_mtime_ns)
    rows = table["row"] if "row" in table else pd.Series(-1, index=table.index)
    return [[path, int(row), *files[path]] for path, row in zip(table["path"], rows, strict=True)]


def _image_settings(image: Image) -> dict[str, Any]:
    return {"size": image.size, "values": image.values, "channels": image.channels}


def _write_input(folder: Path, rows: pd.DataFrame, image: Image) -> None:
    columns = [column for column in ("path", "row") if column in rows]
    runfolder.write_csv(folder / "input.csv", rows[columns], private=True)
    runfolder.write_json(folder / "settings.json", {"image": _image_settings(image), "version": VERSION})


def _read_row(row: dict[Any, Any], image: Image) -> tuple[np.ndarray | None, np.ndarray, dict[str, Any]]:
    """Return the packed picture (none for a row of a stack), its thumbnail and what was found."""
    nothing = np.zeros((hashes.THUMBNAIL, hashes.THUMBNAIL), np.uint8)
    try:
        stacked = "row" in row and row["row"] != ""
        stored, packed, values = pixels.read(Path(row["path"]), int(row["row"]) if stacked else None, image)
    except DataError as error:
        return None, nothing, {"reason": " ".join(filter(None, (error.what, error.remedy)))}
    found: dict[str, Any] = {"reason": "", **hashes.fingerprint(stored.array, values)}
    found |= {"width": stored.array.shape[1], "height": stored.array.shape[0], "channels": stored.array.shape[-1]}
    found |= {"bits": stored.bits, "burned_in": stored.burned_in, "stack": stacked}
    return (None if stacked else packed), hashes.thumbnail(values), found


def _gathered(table: pd.DataFrame, shards: list[tuple[Job, pd.Index]]) -> Prepared:
    parts, thumbnails = [], []
    for job, rows in shards:
        found = pd.read_csv(job.folder / "rows.csv", dtype=dict.fromkeys(_FOUND[:3], str))
        found.index = rows
        found["reason"] = found["reason"].fillna("")
        parts.append(_placed(found, job.folder))
        thumbnails.append(np.load(job.folder / "thumbnails.npy", mmap_mode="r", allow_pickle=False))
    everything = pd.concat(parts).reindex(columns=["reason", "array", "array_row", *_FOUND, *_STORED, "stack"])
    joined = table.join(everything)
    read = (joined["reason"] == "").to_numpy()
    kept = joined[read].drop(columns="reason").reset_index(drop=True)
    kept["stack"] = kept["stack"].astype(bool)
    if kept["stack"].any():
        kept["array"] = kept["array"].where(~kept["stack"], kept["path"])
        kept["array_row"] = kept["array_row"].where(~kept["stack"], kept["row"])
    kept["array_row"] = kept["array_row"].astype(int)
    excluded = joined.loc[~read, ["id", "reason"]].reset_index(drop=True)
    return Prepared(kept, excluded, np.concatenate(thumbnails)[read])


def _placed(found: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Add where each readable row's array stands: the readable ones follow each other in images.npy."""
    readable = found["reason"] == ""
    return found.assign(array=str(folder / "images.npy"), array_row=readable.cumsum() - 1)
