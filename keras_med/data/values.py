"""Stored pixel values to float32 on the 0-255 scale: by windows, a range, the file's own window or the extremes.

`values` of a recipe's `Image` is one of

- a list of windows `[(centre, width), ...]`: one channel each, made from a grey picture;
- one pair of numbers `(low, high)`: low becomes 0 and high 255;
- "file": the window or look-up table that the file itself names, or else all that its bits can hold;
- "per_image": the smallest value of the picture becomes 0, the largest 255;
- "as_is": all that the bits of the file can hold becomes 0-255, so 8-bit pixels stay as they are. Values without a
  known range (floating point) must already lie in 0-255.

Nothing is rounded: 16-bit pictures keep their precision as fractions of a grey level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_med.errors import DataError, RecipeError

Windows = Sequence[tuple[float, float]]
Values = Windows | tuple[float, float] | Literal["file", "per_image", "as_is"]

LARGEST_BYTES = 2 * 1024**3  # of one picture as float32: a header that claims more is refused before allocation


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a reader returns: one file as an array.

    Attributes:
        array: channels last, (height, width, channels); volumes and films (height, width, depth, channels).
        bits: of one value as the file stores it, before any conversion.
        spacing: of rows, columns and, in a volume, slices, in millimetres; empty where the file does not say.
        notes: what was repaired or assumed while reading, in words that hold nothing of the patient.
        burned_in: whether the file is marked as having text burned into its pixels.
        exact: the same pixels before windows and scale, where those are whole numbers of at most 16 bits; they tell
            equal pictures from others without a pass of rounding.
    """

    array: np.ndarray
    bits: int
    exact: np.ndarray | None = None
    spacing: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    burned_in: bool = False


@dataclass(frozen=True)
class Window:
    """A window named by a DICOM file, in the units that the rescaled values have."""

    centre: float
    width: float
    shape: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] = "LINEAR"


@dataclass(frozen=True)
class LookUpTable:
    """A table of a DICOM file: the value `first` becomes `table[0]`; values beyond the ends take the end entries."""

    first: int
    table: np.ndarray
    bits: int

    def apply(self, array: np.ndarray) -> np.ndarray:
        if array.dtype.kind not in "iu":
            array = np.nan_to_num(np.rint(np.clip(array, -(2**31), 2**31)))
        return self.table.take(array.astype(np.intp) - self.first, mode="clip")


def to_scale(
    array: np.ndarray,
    values: Values,
    *,
    file_window: Window | LookUpTable | None = None,
    bits: int = 8,
    stored: tuple[float, float] | None = None,
) -> np.ndarray:
    """Bring stored values to 0-255 as float32, channels last.

    Args:
        array: (..., channels); never changed.
        bits: of one stored value; with whole numbers and without `stored` they give the range, by the sign of the type.
        stored: the lowest and highest value that the file could hold, where that is another range (signed, rescaled).
    """
    wanted = checked(values)
    array = _without_gaps(array)
    if isinstance(wanted, tuple) and isinstance(wanted[0], tuple):
        return _windowed(array, [(centre - width / 2, centre + width / 2) for centre, width in wanted])
    if isinstance(wanted, tuple):
        return between(array, wanted[0], wanted[1])
    if wanted == "per_image":
        return between(array, float(array.min()), float(array.max()))
    if wanted == "file" and file_window is not None:
        return _shown(array, file_window)
    if stored is None and array.dtype.kind in "biu":
        stored = (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if array.dtype.kind == "i" else (0.0, 2.0**bits - 1)
    return _whole_range(array, stored)


def checked(values: Values) -> tuple[tuple[float, float], ...] | tuple[float, float] | str:
    """Return values as plain tuples, or refuse them with the forms that are understood."""
    if isinstance(values, str) and values in ("file", "per_image", "as_is"):
        return values
    if not isinstance(values, str) and isinstance(values, Sequence) and len(values):
        if len(values) == 2 and all(_is_number(value) for value in values):
            low, high = float(values[0]), float(values[1])  # type: ignore[arg-type]
            if low < high:
                return low, high
        elif all(_is_window(value) for value in values):
            return tuple((float(value[0]), float(value[1])) for value in values)  # type: ignore[index]
    raise RecipeError(
        f"image.values={values!r} is not understood",
        where="setting image.values",
        remedy='Write windows [(centre, width), ...], widths above 0, or (low, high), "file", "per_image" or "as_is".',
    )


def between(array: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map low to 0 and high to 255 and clip; a range of nothing gives zeros."""
    if not high > low:
        return np.zeros(array.shape, np.float32)
    if high - low > 1e300:  # near the end of float64, where the difference itself may be infinite
        return between(array.astype(np.float64) * 1e-10, low * 1e-10, high * 1e-10)
    wide = array.dtype.itemsize > 4 or (array.dtype.kind in "iu" and array.dtype.itemsize == 4)
    usual = 1e-30 < high - low < 1e30
    scaled = array.astype(np.float32 if usual and not wide else np.float64)
    with np.errstate(over="ignore"):  # what is far beyond the range is clipped all the same
        np.subtract(scaled, low, out=scaled)
        np.multiply(scaled, min(255.0 / (high - low), 1e300), out=scaled)
    return np.clip(scaled, 0.0, 255.0, out=scaled).astype(np.float32, copy=False)


def is_whole(array: np.ndarray) -> bool:
    """Say whether the values are whole numbers of at most 16 bits."""
    return array.dtype.kind in "iu" and array.dtype.itemsize <= 2


def check_size(shape: Sequence[int], *, where: str) -> None:
    """Refuse a picture whose header claims more values than may be allocated."""
    count = 1
    for length in shape:
        if length < 1:
            raise DataError(
                f"the header says {_times(shape)} values, which is no picture",
                where=where,
                remedy="The file is damaged or no picture: export it again or leave it out.",
            )
        count *= int(length)
    if count * 4 > LARGEST_BYTES:
        raise DataError(
            f"the header says {_times(shape)} values, {count * 4 / 1024**3:.1f} GiB in memory; "
            f"at most {LARGEST_BYTES / 1024**3:.0f} GiB are read from one file",
            where=where,
            remedy="If the file is sound, cut it into smaller pictures; if not, export it again or leave it out.",
        )


def _windowed(array: np.ndarray, ranges: list[tuple[float, float]]) -> np.ndarray:
    if len(ranges) == 1:
        return between(array, *ranges[0])
    if array.shape[-1] != 1:
        raise DataError(
            f"{len(ranges)} windows make one channel each from a grey picture; this one has {array.shape[-1]} channels",
            remedy='Give one window, (low, high) or "as_is" for colour pictures, or leave the file out.',
        )
    return np.concatenate([between(array, low, high) for low, high in ranges], axis=-1)


def _shown(array: np.ndarray, window: Window | LookUpTable) -> np.ndarray:
    """Apply a file's own window by DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3, or its table by C.11.2.1.1."""
    if isinstance(window, LookUpTable):
        return between(window.apply(array), 0.0, float(2**window.bits - 1))
    if window.shape == "SIGMOID":
        slope = np.float32(-4.0 / window.width)
        exponent = np.clip((array.astype(np.float32) - np.float32(window.centre)) * slope, -80, 80)
        return (np.float32(255) / (1 + np.exp(exponent))).astype(np.float32)
    centre, width = window.centre, window.width
    if window.shape == "LINEAR" and width > 1:  # narrower ones come with floating-point maps, and mean what they say
        centre, width = centre - 0.5, width - 1
    return between(array, centre - width / 2, centre + width / 2)


def _whole_range(array: np.ndarray, stored: tuple[float, float] | None) -> np.ndarray:
    if stored is not None:
        return between(array, *stored)
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 255:
        raise DataError(
            f"values from {low:g} to {high:g} without a known range do not fit 0-255",
            remedy='Set image.values to (low, high), windows [(centre, width), ...] or "per_image".',
        )
    return array.astype(np.float32)


def _without_gaps(array: np.ndarray) -> np.ndarray:
    """Give values that are no number the smallest finite value of the picture, and infinities the extremes."""
    if array.dtype.kind != "f" or bool(np.isfinite(array).all()):
        return array
    finite = array[np.isfinite(array)]
    if not finite.size:
        raise DataError("none of its values is a number", remedy="Leave it out in index(), or mend the file.")
    low, high = float(finite.min()), float(finite.max())
    return np.nan_to_num(array, nan=low, posinf=high, neginf=low)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_window(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) == 2
        and all(_is_number(part) for part in value)
        and value[1] > 0
    )


def _times(shape: Sequence[int]) -> str:
    return " x ".join(str(length) for length in shape)
