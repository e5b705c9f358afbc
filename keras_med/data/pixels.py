"""One file, or one row of a stack, to the network's input: read, put on the 0-255 scale, resized, packed and unpacked.

Prepared images are packed as 8 bits where the file had no more, else as 16 (0-65535 stands for 0-255), so that deeper
files are not quantised to 256 levels and 8-bit ones take no more room than they need.
"""

import functools
import math
from pathlib import Path
from typing import IO

import cv2
import numpy as np

from keras_med.data.memory import Source
from keras_med.data.readers import read_picture
from keras_med.data.resizing import resize
from keras_med.data.stacks import Stack, open_stack
from keras_med.data.values import Picture
from keras_med.errors import DataError
from keras_med.recipe.words import Image

_FINE = 257.0  # 65535 / 255


def read(path: Source, row: int | None, image: Image) -> tuple[Picture, np.ndarray]:
    """Return the picture at its own size, and the network's input: float32 on the 0-255 scale.

    Args:
        row: of a `.npy` or `.npz` stack, or a frame of a DICOM film, from 0.
    """
    picture = read_picture(path, image.values, row=row, dimensions=len(image.size))
    return picture, _shaped(picture.array, image, path.name)


def read_input(array: str, row: int, stack: bool, image: Image, *, mirrored: bool = False) -> np.ndarray:
    """Return the float32 input of one prepared row; rows of a user's own stack are scaled and resized here.

    Args:
        mirrored: left and right change places.
    """
    made = read(Path(array), row, image)[1] if stack else unpack(_opened(array).read([row])[0])
    return made[:, ::-1] if mirrored else made


def used_in_place(path: str, row: int | None) -> bool:
    """Say whether a row is read from the user's own file each time: `.npy` rows can be, others must be decoded."""
    return row is not None and path.endswith(".npy")


def pack(values: np.ndarray, bits: int) -> np.ndarray:
    """Store 0-255 values as 8 bits, or as 16 where the source had more than 8."""
    if bits <= 8:
        return np.rint(values).astype(np.uint8)
    flat = np.ascontiguousarray(values, np.float32).reshape(len(values), -1)
    return cv2.addWeighted(flat, _FINE, flat, 0, 0, dtype=cv2.CV_16U).reshape(values.shape)  # rounds, in one pass


def unpack(stored: np.ndarray) -> np.ndarray:
    """Return packed pixels as float32 values on the 0-255 scale."""
    if stored.dtype == np.uint16:
        return stored.astype(np.float32) / np.float32(_FINE)
    return stored.astype(np.float32)


class Packed:
    """Packed pictures written one after another as one `.npy` array; where some have 16 bits, all get them."""

    def __init__(self, file: IO[bytes]) -> None:
        """Begin in an empty file, open for reading and writing."""
        self._file = file
        self._shape: tuple[int, ...] = ()
        self._kind: np.dtype = np.dtype(np.uint8)
        self.count = 0

    def add(self, picture: np.ndarray) -> None:
        """Write the next picture; all have the shape of the first."""
        if self.count == 0:
            self._shape, self._kind = picture.shape, picture.dtype
            self._write_header()
        if picture.dtype.itemsize > self._kind.itemsize:
            self._widen()
        alike = picture if picture.dtype == self._kind else _widened(picture)
        self._file.write(np.ascontiguousarray(alike).data)
        self.count += 1

    def finish(self) -> None:
        """Write the header again, with the number of pictures; NumPy leaves room for it."""
        self._write_header()
        self._file.flush()

    def _write_header(self) -> None:
        header = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, {**header, "shape": (self.count, *self._shape)})

    def _widen(self) -> None:
        """Give the pictures that are written 16 bits, from the last to the first, which overwrites none too early."""
        size = math.prod(self._shape)
        begin = self._file.tell() - self.count * size
        for place in range(self.count - 1, -1, -1):
            self._file.seek(begin + place * size)
            shallow = np.frombuffer(self._file.read(size), np.uint8)
            self._file.seek(begin + 2 * place * size)
            self._file.write(_widened(shallow).data)
        self._kind = np.dtype(np.uint16)
        self._file.seek(begin + 2 * self.count * size)


def _widened(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.uint16) * np.uint16(_FINE)


@functools.lru_cache(maxsize=4096)
def _opened(array: str) -> Stack:
    """Read the header of a prepared array once a process; the file is opened for each read, so none stays open."""
    return open_stack(Path(array))


def _shaped(array: np.ndarray, image: Image, name: str) -> np.ndarray:
    """Resize to the recipe's size and give the recipe's channels."""
    if array.ndim != len(image.size) + 1:
        kind = {3: "a picture", 4: "a volume or a film"}.get(array.ndim, f"{array.ndim}-dimensional")
        remedy = f"image.size has {len(image.size)} lengths; give it {array.ndim - 1}, or leave the file out."
        raise DataError(f"{name} is {kind} of shape {array.shape}", remedy=remedy)
    return resize(_with_channels(array, image.shape[-1], name), image.size)


def _with_channels(array: np.ndarray, channels: int, name: str) -> np.ndarray:
    found = array.shape[-1]
    if found == channels:
        return array
    if found == 1 and channels == 3:
        return np.repeat(array, 3, axis=-1)
    if found == 3 and channels == 1:
        red, green, blue = np.moveaxis(array.astype(np.float32, copy=False), -1, 0)
        # ITU-R BT.601, as OpenCV's grey; written out, because a product of matrices starts threads of its own
        return (np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue)[..., None]
    raise DataError(f"{name} has {found} channels; the recipe wants {channels}", remedy="Set image.channels.")
