"""One picture at its own size to 16-bit values that a page can window, in the units that the file has."""

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from keras_med.data.memory import Source
from keras_med.data.readers import read_picture
from keras_med.data.values import Picture
from keras_med.recipe.words import Image

MOST_VALUES = 16 * 2**20  # of one picture on the page
LONGEST = 1536  # pixels of a side
HOUNSFIELD = (-1024.0, 3071.0)
_DEEP = 65535


@dataclass(frozen=True)
class View:
    """What the page draws.

    values: (depth, height, width, channels), uint8 or uint16.
    low, high: what 0 and the largest stored value stand for.
    window: what is shown first, as the lowest and highest value.
    unit: "HU", or nothing.
    width: of the picture in its file.
    """

    values: np.ndarray
    low: float
    high: float
    window: tuple[float, float]
    unit: str
    width: int

    def told(self) -> dict[str, object]:
        """Return all but the values."""
        depth, height, width, channels = self.values.shape
        size = {"depth": depth, "height": height, "width": width, "channels": channels}
        scale = {"low": self.low, "high": self.high, "window": list(self.window), "unit": self.unit}
        return {**size, "bits": self.values.dtype.itemsize * 8, "reduced": width / self.width, **scale}


def view(source: Source, row: int | None, image: Image, read: Picture, modality: str) -> View:
    """Return a picture for the page.

    Args:
        read: as it was read for the network; where it does not keep the exact values, it is read again.
    """
    width = read.array.shape[1]
    unit, exact = "HU" if modality == "CT" else "", read.exact
    if exact is not None and exact.dtype == np.uint8:
        made = View(_shrunk(_planes(exact)), 0.0, 255.0, (0.0, 255.0), unit, width)
    elif exact is not None:
        planes = _shrunk(_planes(exact)).astype(np.float32)
        low, high = float(planes.min()), max(float(planes.max()), float(planes.min()) + 1)
        made = View(_deep((planes - low) / (high - low)), low, high, (low, high), unit, width)
    else:
        again = read_picture(source, HOUNSFIELD if unit else "per_image", row=row, dimensions=len(image.size))
        low, high = HOUNSFIELD if unit else (0.0, 255.0)
        made = View(_deep(_shrunk(_planes(again.array)) / np.float32(255)), low, high, (low, high), unit, width)
    return replace(made, window=_first_window(made, image, known=bool(unit) or exact is not None))


def _first_window(made: View, image: Image, *, known: bool) -> tuple[float, float]:
    """Return the recipe's first window or range, else nearly all values.

    Args:
        known: whether the values have the unit that the recipe's windows have.
    """
    wanted: Any = image.values
    if known and not isinstance(wanted, str):
        if len(wanted) == 2 and not isinstance(wanted[0], tuple):
            return float(wanted[0]), float(wanted[1])
        centre, width = wanted[0]
        return centre - width / 2, centre + width / 2
    if made.values.dtype == np.uint8:
        return made.low, made.high
    some = made.values[:: max(1, len(made.values) // 8)]
    low, high = (made.low + float(end) / _DEEP * (made.high - made.low) for end in np.quantile(some, (0.005, 0.995)))
    return (low, high) if high > low else (made.low, made.high)


def _planes(array: np.ndarray) -> np.ndarray:
    """Return (depth, height, width, 1 or 3)."""
    shown = array if array.shape[-1] in (1, 3) else array[..., :1]
    return shown[None] if shown.ndim == 3 else np.moveaxis(shown, 2, 0)


def _shrunk(planes: np.ndarray) -> np.ndarray:
    """Make a picture smaller that a page would take long to load; every slice stays."""
    height, width = planes.shape[1:3]
    factor = min(1.0, LONGEST / max(height, width), math.sqrt(MOST_VALUES / planes.size))
    if factor == 1.0:
        return planes
    size = (max(1, int(width * factor)), max(1, int(height * factor)))
    depth = planes.dtype if planes.dtype in (np.uint8, np.uint16, np.int16, np.float32) else np.float32
    small = [cv2.resize(np.ascontiguousarray(one, depth), size, interpolation=cv2.INTER_AREA) for one in planes]
    return np.stack(small).reshape(len(planes), size[1], size[0], planes.shape[-1])


def _deep(shares: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(shares, 0, 1) * _DEEP).astype(np.uint16)
