"""Files to arrays: each file is decoded once, into shards that outlive the run.

A shard is a job folder: its rows go in, images.npy, thumbnails.npy and rows.csv come out, done.json last. Its name is
a hash of the rows (path, size, time of change) and of the settings that shape an image, so another run with the
same files finds it, and a file that changed is read again. Stacks (.npy) stay where they are: only their hashes and
thumbnails are computed.
"""

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data import hashes, png_tree
from keras_med.data.shards import FOUND, MAKE_SHARD, STORED, Deaths, image_settings, rows_begun, unusable
from keras_med.errors import DataError, RunFailed, five_of
from keras_med.jobs.job import DONE, LOG, Job
from keras_med.jobs.loop import run_jobs
from keras_med.recipe.words import Image

VERSION = 6  # of what a shard holds; a change here reads every file again
_ROWS = 1024  # of a shard at most: a second or two of small files, so that starting its process does not count
_READ = 640 * 1024**2  # bytes of files: of large ones, slow to decode, many shards are made for many processes
_BYTES = 128 * 1024**2  # of its arrays as float32
_DECODERS = ("pylibjpeg", "openjpeg", "jpeg_ls", "gdcm", "nibabel")


@dataclass(frozen=True)
class Prepared:
    """What `prepare` guarantees: one array of the declared shape for each row of the table, or a reason.

    table: the rows that could be read, by id, with array, array_row, stack, hashes and statistics.
    excluded: id and reason of the others.
    thumbnails: one 64x64 picture a row of the table, in its order; on disk, so that a million cost no memory.
    shards: the folders that hold all of it, in order.
    pictures: the folder of the PNG files, where the recipe asks for them.
    """

    table: pd.DataFrame
    excluded: pd.DataFrame
    thumbnails: np.ndarray
    shards: tuple[Path, ...] = ()
    pictures: Path | None = None


def prepare(
    table: pd.DataFrame,
    image: Image,
    cache: Path,
    *,
    at_once: int = 1,
    reached: Callable[[int], None] | None = None,
    none_readable: Literal["error", "allow"] = "error",
) -> Prepared:
    """Decode every file of the table that the cache does not hold yet.

    Args:
        at_once: processes side by side.
        reached: called with the number of rows that are done.
        none_readable: whether a table without one readable file is refused.
    """
    table = _with_rows(table.sort_values("id", kind="stable").reset_index(drop=True))
    told = _told(table)
    try:
        shards = _plan(table, told, image, cache)
        _make(table, shards, image, at_once=at_once, reached=reached)
        prepared = _gathered(table, shards, cache, none_readable)
        if image.store_as is None:
            return prepared
        pictures = png_tree.write_tree(prepared.table, prepared.shards, image, cache, at_once=at_once)
        return replace(prepared, pictures=pictures)
    except OSError as error:
        raise unusable(error, cache) from None


def manifest_hash(prepared: Prepared) -> str:
    """Return one hash of all arrays, thumbnails and found rows, in order: equal for equal results, whenever made."""
    manifest = hashlib.sha256()
    for shard in prepared.shards:
        for name in ("images.npy", "thumbnails.npy", "rows.csv"):
            if (shard / name).is_file():
                with (shard / name).open("rb") as file:
                    manifest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return manifest.hexdigest()


def size_and_change(path: str) -> tuple[int, int | str]:
    """Return the bytes of a file and when it changed; of a folder (a DICOM series) the same over its files."""
    found = os.stat(path)  # noqa: PTH116 - a third of the time of Path.stat
    if not stat.S_ISDIR(found.st_mode):
        return found.st_size, found.st_mtime_ns
    with os.scandir(path) as entries:
        files = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
    told = sorted((name, one.st_size, one.st_mtime_ns) for name, one in files)
    changed = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    return sum(one.st_size for _, one in files), changed


def _with_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Give the column `row` whole numbers, none where a row is a file of its own; refuse names that are taken."""
    taken = [name for name in ("array", "array_row", "stack", "reason", *FOUND, *STORED) if name in table]
    if taken:
        what = f"The table has columns that preparing fills: {five_of(taken)}"
        raise DataError(what, where="index()", remedy="Rename them.")
    return table.assign(row=pd.to_numeric(table["row"]).astype("Int64")) if "row" in table else table


def _plan(table: pd.DataFrame, told: list[list[Any]], image: Image, cache: Path) -> list[tuple[Job, pd.Index]]:
    """Cut the table into shards, each with the folder that its content names."""
    read = sum({path: size for path, _, size, _ in told}.values()) / max(1, len(told))  # bytes a row
    most = max(1, int(min(_ROWS, _BYTES / (4 * np.prod(image.shape)), _READ / max(1, read))))
    size = 1 << (most.bit_length() - 1)  # a power of two, so that a file of another size seldom moves all borders
    planned = []
    for start in range(0, len(table), size):
        rows = table.index[start : start + size]
        content = json.dumps([VERSION, image_settings(image), told[start : start + size]])
        key = hashlib.sha256(content.encode()).hexdigest()[:24]
        job = Job(cache / "prepared" / key, MAKE_SHARD)
        _forget_if_more_can_be_read(job)
        planned.append((job, rows))
    return planned


def _told(table: pd.DataFrame) -> list[list[Any]]:
    """Return what tells a row's file from others: path, row, size and time of change."""
    files: dict[str, tuple[int, int | str]] = {}
    for path in table["path"].unique():
        try:
            files[path] = size_and_change(path)
        except OSError as error:
            raise DataError(f"A file has gone: {error.strerror}", where=str(path)) from None
    rows = table["row"].fillna(-1) if "row" in table else pd.Series(-1, index=table.index)
    return [[path, int(row), *files[path]] for path, row in zip(table["path"], rows, strict=True)]


def _forget_if_more_can_be_read(job: Job) -> None:
    """Read a shard with exclusions again once their remedy may have been followed: a decoder, or a right to read."""
    if not job.done:
        return
    try:
        done = runfolder.read_json(job.folder / DONE)
        final = not done["unopened"] and (done["read"] == done["rows"] or done["decoders"] == decoders())
    except (DataError, KeyError):
        final = False
    if not final:
        (job.folder / DONE).unlink()


def decoders() -> list[str]:
    """Return which of the optional decoders are installed."""
    return [name for name in _DECODERS if find_spec(name) is not None]


def _make(
    table: pd.DataFrame,
    shards: list[tuple[Job, pd.Index]],
    image: Image,
    *,
    at_once: int,
    reached: Callable[[int], None] | None,
) -> None:
    """Make the shards that are not done, and tell how many rows are."""
    waiting: dict[Job, int] = {}
    for job, rows in shards:
        if not job.done:
            _write_input(job.folder, table.loc[rows], image)
            waiting[job] = waiting.get(job, 0) + len(rows)
    finished, most = len(table) - sum(waiting.values()), 0

    def watch(running: Sequence[Path]) -> None:
        nonlocal finished, most
        for job in [job for job in waiting if job.done]:
            finished += waiting.pop(job)
        if reached is not None:
            most = max(most, finished + sum(rows_begun(job.folder) for job in waiting if job.folder in running))
            reached(most)

    watch(())
    _run(list(waiting), at_once, watch)


def _write_input(folder: Path, rows: pd.DataFrame, image: Image) -> None:
    columns = [column for column in ("path", "row") if column in rows]
    runfolder.write_csv(folder / "input.csv", rows[columns], private=True)
    settings = {"image": image_settings(image), "version": VERSION, "decoders": decoders()}
    runfolder.write_json(folder / "settings.json", settings)


def _run(jobs: list[Job], at_once: int, watch: Callable[[Sequence[Path]], None]) -> None:
    """Make the shards. One whose process dies over a row is made again by itself, without a row that kills it twice."""
    alone: list[Job] = []
    while True:
        try:
            run_jobs(alone, watch=watch)
            return run_jobs(jobs, at_once=at_once, watch=watch)
        except RunFailed as error:
            alone = [job for job in jobs if str(job.folder / LOG) == error.where]
            if not alone or not Deaths(alone[0].folder).note():
                raise


def _gathered(
    table: pd.DataFrame, shards: list[tuple[Job, pd.Index]], cache: Path, none_readable: Literal["error", "allow"]
) -> Prepared:
    parts = []
    for job, rows in shards:
        found = pd.read_csv(job.folder / "rows.csv", dtype=str, keep_default_na=False).set_index(rows)
        packed = (found["reason"] == "") & (found["stack"] == "0")  # these follow each other in images.npy
        parts.append(found.assign(array=str(job.folder / "images.npy"), array_row=packed.cumsum() - 1))
    found = pd.concat(parts)
    read = (found["reason"] == "").to_numpy()
    excluded = table.loc[~read, ["id"]].assign(reason=found["reason"][~read]).reset_index(drop=True)
    if not read.any() and none_readable == "allow":
        return Prepared(table[read], excluded, np.zeros((0, hashes.THUMBNAIL, hashes.THUMBNAIL), np.uint8))
    if not read.any():
        reasons = five_of(list(dict.fromkeys(excluded["reason"])))
        raise DataError(f"None of the {len(table)} files can be read: {reasons}", where=table["path"].iloc[0])
    kinds = dict.fromkeys(FOUND[3:], float) | dict.fromkeys(STORED, int)
    kept = table[read].join(found[read].drop(columns="reason").astype(kinds)).reset_index(drop=True)
    kept = kept.assign(stack=kept["stack"] == "1", burned_in=kept["burned_in"] == 1)
    if kept["stack"].any():
        kept["array"] = kept["array"].where(~kept["stack"], kept["path"])
        kept["array_row"] = kept["array_row"].where(~kept["stack"], kept["row"]).astype(int)
    folders = tuple(job.folder for job, _ in shards)
    return Prepared(kept, excluded, _thumbnails(folders, read, cache), folders)


def _thumbnails(folders: Sequence[Path], read: np.ndarray, cache: Path) -> np.ndarray:
    """Put the thumbnails of the read rows together in a file without a name, which is gone when this program ends."""
    start = 0
    with tempfile.TemporaryFile(dir=cache) as file:
        for folder in folders:
            part = np.load(folder / "thumbnails.npy", allow_pickle=False)
            file.write(part[read[start : start + len(part)]].data)
            start += len(part)
        file.flush()
        shape = (int(read.sum()), hashes.THUMBNAIL, hashes.THUMBNAIL)
        return np.asarray(np.memmap(file, np.uint8, "r", shape=shape))  # a plain array, still backed by the file
