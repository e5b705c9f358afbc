"""Prepared arrays to the small pictures of the report: chosen cases, worst misses first."""

import base64
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from keras_med.inference.overlay import heated, scale_of
from keras_med.report.contents import Contents, Target
from keras_med.report.heat import NONE as NO_HEAT
from keras_med.report.heat import Heat
from keras_med.report.scored import Scored
from keras_med.report.wording import finite, percent, short

EDGE = 220  # pixels of the longer side: sharp at the size that the page shows it
GALLERY = 12
TRUE = ("1", "1.0", "true", "yes")


@dataclass(frozen=True)
class Picture:
    """One case.

    Attributes:
        source: a data URI.
        example: the id.
        caption: true and predicted.
        note: why this one is shown.
        heat: a data URI of the same picture with the network's heat over it; empty where there is none.
    """

    source: str
    example: str
    caption: str
    note: str = ""
    heat: str = ""

    @property
    def alt(self) -> str:
        return f"{self.note + ': ' if self.note else ''}example {self.example}, {self.caption}"


def first_three(contents: Contents, found: Scored) -> list[Picture]:
    """Show the closest, the median and the furthest prediction; fewer or none where arrays are missing."""
    if found.why or not contents.pictures:
        return []
    order = np.argsort(misses(found), kind="stable")
    cases = _shown(contents, found, order)
    if len(cases) < 3:
        return []
    chosen = {"Closest": cases[0], "Median": cases[len(cases) // 2], "Furthest": cases[-1]}
    made = [_picture(contents, found, row, note) for note, row in chosen.items()]
    return [picture for picture in made if picture]


def gallery(contents: Contents, found: Scored, heat: Heat) -> list[Picture]:
    """Show true against predicted, worst misses first; the last is the worst again, with shuffled weights."""
    rows = worst(contents, found)
    made = [_picture(contents, found, row, heat=heat) for row in rows]
    if rows and heat.shuffled:
        planes = np.stack(list(heat.shuffled.values()))
        sanity = replace(heat, planes=heat.shuffled, scale=scale_of(planes))
        made.append(_picture(contents, found, rows[0], "With shuffled weights", heat=sanity))
    return [picture for picture in made if picture]


def worst(contents: Contents, found: Scored) -> list[int]:
    """Return the rows of the gallery: the worst misses that may be shown."""
    if found.why or not contents.pictures:
        return []
    return _shown(contents, found, np.argsort(-misses(found), kind="stable"))[:GALLERY]


def misses(found: Scored) -> npt.NDArray[np.float64]:
    """Give how far each prediction is off: the distance, or the probability that the true class did not get."""
    if found.p.ndim == 1:
        return np.abs(found.p - found.truth)
    return 1 - found.p[np.arange(len(found.truth)), found.truth.astype(np.int64)]


def caption(target: Target, found: Scored, row: int) -> str:
    """Write true against predicted."""
    if target.kind == "regression":
        unit = f" {target.unit}" if target.unit else ""
        return f"true {short(found.truth[row])}, predicted {short(found.p[row])}{unit}"
    if target.kind == "binary":
        return f"true {target.classes[int(found.truth[row])]}, p({target.positive}) {percent(found.p[row])}"
    called = int(found.p[row].argmax())
    true = target.classes[int(found.truth[row])]
    return f"true {true}, called {target.classes[called]} at {percent(found.p[row, called])}"


def left_out(contents: Contents) -> int:
    """Count the examples that are never pictured because their file says that text is burned in."""
    return len(_burned(contents.index))


def _shown(contents: Contents, found: Scored, order: npt.NDArray[np.int64]) -> list[int]:
    usable = showable(contents)
    return [int(row) for row in order if found.rows["id"][row] in usable]


def showable(contents: Contents) -> set[str]:
    """Return the ids whose prepared array can be looked up and whose pixels may be shown."""
    index = contents.index
    if not contents.pictures or not {"id", "array"} <= set(index.columns):
        return set()
    return set(index.loc[index["array"].notna(), "id"]) - _burned(index)


def _burned(index: pd.DataFrame) -> set[str]:
    if "burned_in" not in index:
        return set()
    return set(index.loc[index["burned_in"].astype(str).str.lower().isin(TRUE), "id"])


def _picture(contents: Contents, found: Scored, row: int, note: str = "", heat: Heat = NO_HEAT) -> Picture | None:
    example = str(found.rows["id"][row])
    pixels = prepared(contents, example)
    if pixels is None:
        return None
    small = shrunk(plane_of(pixels, heat.slices.get(example)), EDGE)
    plane = heat.planes.get(example)
    over = "" if plane is None else _encoded(heated(small, plane, heat.scale), ".jpg")
    return Picture(_encoded(small, ".png"), example, caption(contents.target, found, row), note, over)


def prepared(contents: Contents, example: str) -> npt.NDArray[np.float32] | None:
    """Read an example as the network sees it, 0 to 255, channels last; None where the file is gone or is no picture."""
    place = contents.index[contents.index["id"] == example].iloc[0]
    array, row = contents.run.path / str(place["array"]), place.get("array_row")  # an absolute path stays what it is
    try:
        stored = np.load(array, mmap_mode="r", allow_pickle=False)
        pixels = np.asarray(stored[int(row)] if finite(row) else stored)
    except (OSError, ValueError, IndexError):
        return None
    if pixels.ndim not in (2, 3, 4) or not pixels.size:
        return None
    pixels = pixels[:, ::-1] if str(place.get("mirrored")) == "True" else pixels
    scale = 255 / 65535 if pixels.dtype == np.uint16 else 1
    return (pixels if pixels.ndim > 2 else pixels[:, :, None]).astype(np.float32) * np.float32(scale)


def plane_of(pixels: npt.NDArray[np.float32], depth: int | None = None) -> npt.NDArray[np.uint8]:
    """Give a picture of a prepared one: of a volume a slice, the middle one where none is named."""
    if pixels.ndim == 4:
        pixels = pixels[:, :, pixels.shape[2] // 2 if depth is None else depth]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _encoded(pixels: npt.NDArray[np.uint8], form: Literal[".png", ".jpg"]) -> str:
    """Write a picture as a data URI: heat, whose colours compress badly, as JPEG."""
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 9] if form == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 85]
    content = base64.b64encode(cv2.imencode(form, pixels, settings)[1].tobytes()).decode("ascii")
    return f"data:image/{'png' if form == '.png' else 'jpeg'};base64,{content}"


def shrunk(pixels: npt.NDArray[np.uint8], edge: int) -> npt.NDArray[np.uint8]:
    """Fit the longer side, and give OpenCV grey or BGR."""
    pixels = pixels[:, :, ::-1] if pixels.shape[2] == 3 else pixels[:, :, :1]
    scale = edge / max(pixels.shape[:2])
    if scale < 1:
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.ascontiguousarray(pixels)
