"""DICOM files to pictures on the 0-255 scale: rescaled, repaired and windowed as the file and the recipe say.

The order matters and is that of the standard: padding is found in stored units, then comes the modality rescale or
table, then the window, and last the inversion of MONOCHROME1, so that a window always means the same tissue and 0 is
black.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pydicom

from keras_med.data.dicom_headers import quiet
from keras_med.data.dicom_pixels import Stored, load
from keras_med.data.dicom_scan import Plain
from keras_med.data.dicom_tables import groups, number, table
from keras_med.data.memory import File
from keras_med.data.values import LookUpTable, Picture, Values, Window, is_whole, to_scale
from keras_med.errors import DataError

REPAIRED = "repaired 12-bit wraparound"
NO_WINDOW = "no window in the file: all that its bits can hold was taken"
SHAPES: dict[str, Literal["LINEAR_EXACT", "SIGMOID"]] = {"LINEAR_EXACT": "LINEAR_EXACT", "SIGMOID": "SIGMOID"}


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """How stored values become those of the modality: a table, or a slope and an intercept for each frame."""

    slopes: np.ndarray
    intercepts: np.ndarray
    table: LookUpTable | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A file's pixels in the units of its modality, (frames, rows, columns, channels), and how to show them.

    Attributes:
        window: what the file itself asks for.
        stored: the lowest and highest value that the file could hold, in the same units; None for floating point.
        inverted: whether small values are white (MONOCHROME1).
    """

    array: np.ndarray
    bits: int
    window: Window | LookUpTable | None
    stored: tuple[float, float] | None
    inverted: bool
    spacing: tuple[float, ...]
    notes: tuple[str, ...]
    burned_in: bool


def read(path: File, values: Values, *, frame: int | None = None) -> Picture:
    """Read a DICOM file as float32 on the 0-255 scale.

    One frame gives (rows, columns, channels), several (rows, columns, frames, channels).

    Args:
        values: as in `values.py`; "file" without a window or table in the file takes all that its bits can hold.
        frame: one frame of a film, counted from 0.
    """
    measured = measure(path, frame=frame)
    scaled = shown(measured, values, where=path.name)
    unknown = values == "file" and measured.window is None and scaled.shape[-1] == 1
    is_exact = len(scaled) == 1 and not measured.inverted and is_whole(measured.array)
    return Picture(
        array=scaled[0] if len(scaled) == 1 else np.ascontiguousarray(np.moveaxis(scaled, 0, 2)),
        bits=measured.bits,
        exact=measured.array[0] if is_exact else None,
        spacing=measured.spacing,
        notes=(*measured.notes, *([NO_WINDOW] if unknown else [])),
        burned_in=measured.burned_in,
    )


def measure(path: File, *, frame: int | None = None) -> Measured:
    """Read a DICOM file in the units of its modality: rescaled, repaired, its padding given the darkest real value."""
    stored = load(path, frame)
    tags, array, notes = stored.tags, stored.array, []
    with quiet():  # pydicom converts and warns when a tag is first looked at
        rescale = _rescale(stored)
        window = None if stored.colour else _file_window(stored)
        spacing = _spacing(stored)
    inverted = tags.get("PhotometricInterpretation") == "MONOCHROME1"
    if not stored.colour:
        padding = _padding(array, tags, stored.bits)
        if _wraps_around(tags) and rescale.table is None:
            array, wrapped = _unwrapped(array)
            rescale = Rescale(slopes=rescale.slopes, intercepts=np.full_like(rescale.intercepts, -1000))
            notes += [REPAIRED] if wrapped else []
        array = _without_padding(array, padding, darkest_is_high=inverted != bool(rescale.slopes[0] < 0))
        notes += ["padding made black"] if padding is not None else []
        array = _rescaled(array, rescale)
    bits = tags.get("BitsStored")
    return Measured(
        array=array,
        bits=bits if isinstance(bits, int) else stored.bits,
        window=window,
        stored=_range(stored, rescale),
        inverted=inverted,
        spacing=spacing,
        notes=tuple(notes),
        burned_in=tags.get("BurnedInAnnotation") == "YES",
    )


def shown(measured: Measured, values: Values, *, where: str) -> np.ndarray:
    """Bring measured pixels to 0-255, black for what their file means by black."""
    try:
        scaled = to_scale(
            measured.array, values, file_window=measured.window, bits=measured.bits, stored=measured.stored
        )
    except DataError as error:
        raise DataError(error.what, where=where, remedy=error.remedy) from None
    return np.subtract(255, scaled, out=scaled) if measured.inverted else scaled


def _wraps_around(tags: dict[str, Plain]) -> bool:
    """Recognise the CT files of RSNA 2019 whose negative values were stored as value + 4096 (PixelRepresentation 0)."""
    intercept = tags.get("RescaleIntercept")
    return (
        tags.get("Modality") == "CT"
        and tags.get("PixelRepresentation") == 0
        and tags.get("BitsStored") == 12
        and isinstance(intercept, float)
        and intercept > -100
    )


def _unwrapped(array: np.ndarray) -> tuple[np.ndarray, bool]:
    """Apply the published repair: add 1000, take 4096 from what then reaches it, and let the intercept be -1000."""
    array = array.astype(np.int32) + 1000
    beyond = array >= 4096
    array[beyond] -= 4096
    return array, bool(beyond.any())


def _padding(array: np.ndarray, tags: dict[str, Plain], bits: int) -> np.ndarray | None:
    """Return where the stored values are padding, or None if nowhere."""
    first, last = tags.get("PixelPaddingValue"), tags.get("PixelPaddingRangeLimit")
    if not isinstance(first, int) or array.dtype.kind not in "iu":
        return None
    if not isinstance(last, int):
        last = first
    low, high = sorted(_signed_as(array.dtype, value) for value in (first, last))
    lowest, highest = _bounds(array.dtype, bits)
    if high < lowest or low > highest:  # cut off with the bits above those stored, it could be any value
        return None
    mask = array == low if low == high else (array >= low) & (array <= high)
    return mask if mask.any() and not mask.all() else None


def _signed_as(kind: np.dtype, value: int) -> int:
    """Read a padding value with the sign that the pixels have, whichever way its own tag was written."""
    allocated = kind.itemsize * 8
    value %= 2**allocated
    return value - 2**allocated if kind.kind == "i" and value >= 2 ** (allocated - 1) else value


def _bounds(kind: np.dtype, bits: int) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if kind.kind == "i" else (0, 2**bits - 1)


def _without_padding(array: np.ndarray, padding: np.ndarray | None, *, darkest_is_high: bool) -> np.ndarray:
    """Give padding the darkest value of the real pixels, so that no window and no extreme is drawn by it."""
    if padding is None:
        return array
    real = array[~padding]
    return np.where(padding, real.max() if darkest_is_high else real.min(), array)


def _rescaled(array: np.ndarray, rescale: Rescale) -> np.ndarray:
    if rescale.table is not None:
        return rescale.table.apply(array).astype(np.float32)
    if bool((rescale.slopes == 1).all()) and not rescale.intercepts.any():
        return array
    whole = _shifted(array, rescale)
    if whole is not None:
        return whole
    exact = np.float64 if array.dtype.itemsize > 4 else np.float32
    slopes, intercepts = (
        numbers.astype(exact).reshape(-1, 1, 1, 1) for numbers in (rescale.slopes, rescale.intercepts)
    )
    array = array.astype(exact)
    with np.errstate(over="ignore"):  # of floating-point pixels, which may hold anything
        if (slopes != 1).any():
            np.multiply(array, slopes, out=array)
        return np.add(array, intercepts, out=array)


def _shifted(array: np.ndarray, rescale: Rescale) -> np.ndarray | None:
    """Add one whole intercept to 16-bit values that stay within 16 bits: the same numbers in a quarter of the time."""
    shift = float(rescale.intercepts[0])
    alike = bool((rescale.slopes == 1).all()) and bool((rescale.intercepts == shift).all())
    if not alike or not is_whole(array) or not shift.is_integer():
        return None
    low, high = int(array.min()) + int(shift), int(array.max()) + int(shift)
    if low < -(2**15) or high >= 2**15:
        return None
    narrow = array.view(np.int16) if array.dtype.itemsize == 2 else array.astype(np.int16)
    return narrow + np.int64(shift).astype(np.int16)  # the view, the shift and the sum are modulo 2**16


def _range(stored: Stored, rescale: Rescale) -> tuple[float, float] | None:
    """Return what the bits of the file could hold, in the units of the rescaled values."""
    if stored.array.dtype.kind == "f":
        return None
    bits = stored.bits
    if stored.colour:
        return 0.0, float(2**bits - 1)
    if rescale.table is not None:
        return 0.0, float(2**rescale.table.bits - 1)
    ends = [end * rescale.slopes + rescale.intercepts for end in _bounds(stored.array.dtype, bits)]
    return float(np.min(ends)), float(np.max(ends))


def _rescale(stored: Stored) -> Rescale:
    """Find the table or the slopes and intercepts: of the file, or of the groups of an enhanced one."""
    one, none = np.ones(1), np.zeros(1)
    if stored.colour:
        return Rescale(slopes=one, intercepts=none)
    modality = table(stored.dataset, "ModalityLUTSequence")
    if modality is not None:
        return Rescale(slopes=one, intercepts=none, table=modality)
    transformations = groups(stored.dataset, "PixelValueTransformationSequence")
    if transformations:
        slopes = np.array([number(item.get("RescaleSlope"), 1) for item in transformations])
        intercepts = np.array([number(item.get("RescaleIntercept"), 0) for item in transformations])
        if len(slopes) == len(stored.array):
            return Rescale(slopes=slopes, intercepts=intercepts)
        return Rescale(slopes=slopes[:1], intercepts=intercepts[:1])
    slope, intercept = number(stored.tags.get("RescaleSlope"), 1), number(stored.tags.get("RescaleIntercept"), 0)
    return Rescale(slopes=np.array([slope or 1.0]), intercepts=np.array([intercept]))


def _file_window(stored: Stored) -> Window | LookUpTable | None:
    shown = table(stored.dataset, "VOILUTSequence")
    if shown is not None:
        return shown
    tags: pydicom.Dataset | dict[str, Plain] = stored.tags
    for item in groups(stored.dataset, "FrameVOILUTSequence")[:1]:
        tags = item
    centre, width = number(tags.get("WindowCenter"), math.nan), number(tags.get("WindowWidth"), math.nan)
    if not (math.isfinite(centre) and width > 0):
        return None
    return Window(centre, width, SHAPES.get(str(tags.get("VOILUTFunction")), "LINEAR"))


def _spacing(stored: Stored) -> tuple[float, ...]:
    """Return rows, columns and, for several frames, slices in millimetres, where the file says so."""
    source: pydicom.Dataset | dict[str, Plain] = stored.tags
    for item in groups(stored.dataset, "PixelMeasuresSequence")[:1]:
        source = item
    plane = source.get("PixelSpacing") or source.get("ImagerPixelSpacing") or ()
    if isinstance(plane, str | float | int) or len(plane) != 2 or not all(number(part, 0) > 0 for part in plane):
        return ()
    spacing = tuple(number(part, 0) for part in plane)
    between = number(source.get("SpacingBetweenSlices") or source.get("SliceThickness"), 0)
    return (*spacing, between) if len(stored.array) > 1 and between > 0 else spacing
