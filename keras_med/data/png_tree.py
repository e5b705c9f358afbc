"""Prepared rows to a tree of PNG files, for those who want to look at them or train with other programs."""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data import pixels
from keras_med.data.shards import image_settings, unusable
from keras_med.errors import RecipeError
from keras_med.jobs.job import DONE, Job
from keras_med.jobs.loop import run_jobs
from keras_med.recipe.words import Image

WRITE_PICTURES = "keras_med.data.png_tree:write_pictures"
_ROWS = 512
_SUFFIX = re.compile(r"\.(png|jpe?g|tiff?|bmp|dcm|dicom)$", re.IGNORECASE)
_LONGEST = 120  # characters of one part of a name, where most systems allow 255 bytes


def write_tree(table: pd.DataFrame, shards: Sequence[Path], image: Image, cache: Path, *, at_once: int = 1) -> Path:
    """Write each row as <id>.png, 16 bits deep where its source was deeper than 8; return their folder.

    Slashes of an id make folders; other characters that a file name may not have become `_`.
    """
    if len(image.size) != 2 or image.shape[-1] not in (1, 3):
        what = f'image.store_as="png" writes pictures of 1 or 3 channels; the recipe makes {image.shape}'
        raise RecipeError(what, where="setting image.store_as", remedy="Leave store_as out.")
    content = json.dumps([[shard.name for shard in shards], list(table["id"])])
    tree = cache / "prepared-png" / hashlib.sha256(content.encode()).hexdigest()[:24]
    rows = table[["array", "array_row", "stack", "bits"]].assign(name=file_names(list(table["id"])))
    jobs = []
    for start in range(0, len(rows), _ROWS):
        job = Job(tree / "jobs" / f"{start // _ROWS:05d}", WRITE_PICTURES)
        if not job.done:
            runfolder.write_csv(job.folder / "input.csv", rows[start : start + _ROWS], private=True)
            runfolder.write_json(job.folder / "settings.json", {"image": image_settings(image)})
        jobs.append(job)
    run_jobs(jobs, at_once=at_once)
    return tree / "pictures"


def file_names(ids: Sequence[str]) -> list[str]:
    """Return a relative path for each id; those that needed a change end in a hash, so that no two meet."""
    names: list[str] = []
    taken: set[str] = set()
    for one in (_SUFFIX.sub("", text) for text in ids):
        parts = [re.sub(r"[^\w.+ -]|^[. ]|[. ]$", "_", part)[:_LONGEST] or "_" for part in one.split("/")]
        name = "/".join(parts)
        if name != one or name.lower() in taken:
            name += f"-{hashlib.sha256(f'{one} {len(names)}'.encode()).hexdigest()[:8]}"
        taken.add(name.lower())
        names.append(name + ".png")
    return names


def write_pictures(folder: Path) -> None:
    """Write the pictures of one job; each appears whole or not at all."""
    cv2.setNumThreads(1)
    image = Image(**runfolder.read_json(folder / "settings.json")["image"])
    rows = pd.read_csv(folder / "input.csv", dtype={"array": str, "name": str}, keep_default_na=False)
    try:
        for row in rows.to_dict("records"):
            values = pixels.read_input(row["array"], row["array_row"], row["stack"], image)
            _write_png(folder.parents[1] / "pictures" / row["name"], pixels.pack(values, row["bits"]))
        runfolder.write_json(folder / DONE, {"rows": len(rows)})
        (folder / "input.csv").unlink(missing_ok=True)
    except OSError as error:
        raise unusable(error, folder) from None


def _write_png(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = np.ascontiguousarray(picture[..., ::-1])  # OpenCV takes blue first
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(cv2.imencode(".png", ordered)[1].tobytes())
    temporary.replace(path)
