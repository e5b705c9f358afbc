"""The rows of one shard to its arrays: what each of `prepare`'s processes does."""

import ctypes
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data import hashes, pixels
from keras_med.errors import DataError, EnvironmentProblem
from keras_med.jobs.job import DONE, FAILURE
from keras_med.recipe.words import Image

MAKE_SHARD = "keras_med.data.shards:make_shard"
FOUND = ("pixel_hash", "flip_hash", "perceptual_hash", "mean", "deviation", "minimum", "maximum")
STORED = ("width", "height", "channels", "bits", "burned_in")
READING = "reading"
PART = "images.part"  # written picture by picture: touching 66 MB of new memory cost a tenth of a shard's time
UNOPENED = "It cannot be opened. Check that it is there and that you may read it."
CRASHED = "The decoder crashed on it, or memory ran out. Export the file again, or leave it out."
_COLUMNS = ["reason", *FOUND, *STORED, "stack"]
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # as malloc.h numbers them
_DEATHS = 5  # that no row explains, after which a shard is given up


def make_shard(folder: Path) -> None:
    """Read the rows of one shard; a file that cannot be read becomes a row with its reason."""
    if (folder / DONE).is_file():  # by another run that shares the cache
        return
    cv2.setNumThreads(1)  # the shards side by side use the cores
    keep_freed_memory()
    settings = runfolder.read_json(folder / "settings.json")
    image = Image(**settings["image"])
    rows = pd.read_csv(folder / "input.csv", dtype={"path": str}, keep_default_na=False)
    try:
        with (folder / PART).open("w+b") as file:
            pictures = pixels.Packed(file)
            thumbnails, found = _read_rows(folder, rows, image, pictures)
            pictures.finish()
        runfolder.write_atomically(folder / "images.npy", lambda temporary: (folder / PART).replace(temporary))
        runfolder.write_atomically(folder / "thumbnails.npy", lambda file: np.save(file, thumbnails))
        runfolder.write_csv(folder / "rows.csv", found)
        read = int((found["reason"] == "").sum())
        told = {"rows": len(rows), "read": read, "unopened": int((found["reason"] == UNOPENED).sum())}
        runfolder.write_json(folder / DONE, told | {"decoders": settings["decoders"]})
        (folder / "input.csv").unlink(missing_ok=True)  # paths stay with the run that asked
    except OSError as error:
        raise unusable(error, folder) from None


def rows_begun(folder: Path) -> int:
    """Return how many rows the process of a shard has done."""
    try:
        return int((folder / READING).read_bytes())
    except (OSError, ValueError):  # it has not begun, or has just ended
        return 0


def image_settings(image: Image) -> dict[str, Any]:
    """Return what shapes a prepared array."""
    return {"size": image.size, "values": image.values, "channels": image.channels}


def unusable(error: OSError, where: Path) -> EnvironmentProblem:
    """Say why the cache cannot be written or read; NumPy's own errors of a full disk have no cause."""
    cause = error.strerror or "the disk is full"
    return EnvironmentProblem(
        f"The cache of prepared images fails: {cause}",
        where=str(where),
        remedy="Make room there, or name a larger disk with --cache DIR; what is finished is kept.",
    )


@dataclass(frozen=True)
class Deaths:
    """The rows that a shard's process was reading whenever it died without a word."""

    folder: Path

    def note(self) -> bool:
        """Write down the row of the last death; whether another attempt makes sense."""
        reading = self.folder / READING
        if (self.folder / FAILURE).is_file() or not reading.is_file() or not reading.read_bytes():
            return False
        with (self.folder / "deaths.txt").open("a", encoding="ascii") as file:
            file.write(f"{int(reading.read_bytes())}\n")
        return len(self._rows()) - 2 * len(self.deadly()) <= _DEATHS

    def deadly(self) -> set[int]:
        """Return the rows over which it died twice: once may be the machine's fault."""
        return {row for row, times in Counter(self._rows()).items() if times > 1}

    def _rows(self) -> list[int]:
        file = self.folder / "deaths.txt"
        return [int(line) for line in file.read_text(encoding="ascii").split()] if file.is_file() else []


def _read_rows(
    folder: Path, rows: pd.DataFrame, image: Image, pictures: pixels.Packed
) -> tuple[np.ndarray, pd.DataFrame]:
    """Read all rows, telling a small file which one is being read; those that were deadly are left out."""
    deadly = Deaths(folder).deadly()
    thumbnails, found = np.zeros((len(rows), hashes.THUMBNAIL, hashes.THUMBNAIL), np.uint8), []
    with (folder / READING).open("wb", buffering=0) as reading:
        for position, row in enumerate(rows.to_dict("records")):
            os.pwrite(reading.fileno(), b"%9d" % position, 0)
            place = int(row["row"]) if row.get("row", "") != "" else None
            picture, thumbnails[position], told = (
                _excluded(CRASHED) if position in deadly else read_row(row["path"], place, image)
            )
            if picture is not None:
                pictures.add(picture)
            found.append(told)
    (folder / READING).unlink()
    table = pd.DataFrame(found, columns=_COLUMNS).astype(dict.fromkeys((*STORED, "stack"), "Int64"))
    return thumbnails, table


def keep_freed_memory() -> None:
    """Let this short process reuse its memory: given back and asked for again, each picture took half as long again."""
    with suppress(OSError, AttributeError):  # where the C library is not glibc
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 32 * 1024**2)
        library.mallopt(_TRIM_THRESHOLD, 256 * 1024**2)


def read_row(path: str, place: int | None, image: Image) -> tuple[np.ndarray | None, np.ndarray, dict[str, Any]]:
    """Return the packed picture (none for a row of a stack), its thumbnail and what was found.

    Args:
        place: the row of a stack, or the frame of a film.
    """
    try:
        stored, values = pixels.read(Path(path), place, image)
        exact = pixels.pack(stored.array, 16) if stored.exact is None else stored.exact
        found, thumbnail = hashes.describe(exact, values)
    except Exception as error:  # of a decoder or a damaged file, besides those that are known
        return _excluded(why_unread(error) if os.access(path, os.R_OK) else UNOPENED)
    stack = pixels.used_in_place(path, place)
    size = {"width": stored.array.shape[1], "height": stored.array.shape[0], "channels": stored.array.shape[-1]}
    told = {"bits": stored.bits, "burned_in": int(stored.burned_in), "stack": int(stack)}
    return None if stack else pixels.pack(values, stored.bits), thumbnail, {"reason": "", **found, **size, **told}


def why_unread(error: Exception) -> str:
    """Return a file's reason in a table; other errors' text may hold what the file says of the patient."""
    if isinstance(error, DataError):
        return error.sentence
    return f"Reading it fails with {type(error).__name__}. Export the file again, or leave it out."


def _excluded(reason: str) -> tuple[None, np.ndarray, dict[str, Any]]:
    return None, np.zeros((hashes.THUMBNAIL, hashes.THUMBNAIL), np.uint8), {"reason": reason}
