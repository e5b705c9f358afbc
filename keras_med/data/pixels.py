"""One file, or one row of a stack, to the network's input: read, put on the 0-255 scale, resized, packed and unpacked.

Prepared images are packed as 8 bits where the file had no more, else as 16 (0-65535 stands for 0-255), so that deeper
files are not quantised to 256 levels and 8-bit ones take no more room than they need.
"""

import functools
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_med.data.readers import read_picture
from keras_med.data.resizing import resize
from keras_med.data.values import Picture, to_scale
from keras_med.errors import DataError
from keras_med.recipe.words import Image

_FINE = 257.0  # 65535 / 255


def read(path: Path, row: int | None, image: Image) -> tuple[Picture, np.ndarray, np.ndarray]:
    """Return the picture at its own size, the packed input, and the input's float32 values on the 0-255 scale."""
    picture = read_picture(path, image.values) if row is None else _stack_picture(path, row, image)
    values = _shaped(picture.array, image, path.name)
    return picture, pack(values, picture.bits), values


def pack(values: np.ndarray, bits: int) -> np.ndarray:
    """Store 0-255 values as 8 bits, or as 16 where the source had more than 8."""
    if bits <= 8:
        return np.rint(values).astype(np.uint8)
    return np.rint(values * np.float32(_FINE)).astype(np.uint16)


def unpack(stored: np.ndarray) -> np.ndarray:
    """Return packed pixels as float32 values on the 0-255 scale."""
    if stored.dtype == np.uint16:
        return stored.astype(np.float32) / np.float32(_FINE)
    return stored.astype(np.float32)


def alike(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Stack packed pictures; where some have 16 bits, all get them."""
    if len({picture.dtype for picture in pictures}) == 1:
        return np.stack(pictures)
    return np.stack([pack(unpack(picture), 16) for picture in pictures])


def read_input(array: str, row: int, stack: bool, image: Image) -> np.ndarray:
    """Return the float32 input of one prepared row; rows of a user's own stack are scaled and resized here."""
    if stack:
        return _shaped(_stack_picture(Path(array), row, image).array, image, Path(array).name)
    return unpack(read_row(array, row))


def read_row(array: str, row: int) -> np.ndarray:
    """Read one row of a .npy file with pread: rows read through a memory map would count as resident memory."""
    descriptor, offset, shape, kind = _opened(array)
    length = int(np.prod(shape)) * kind.itemsize
    content = os.pread(descriptor, length, offset + row * length)
    if len(content) != length:
        raise DataError(f"{Path(array).name} ends before its row {row}", where=array, remedy="The file was cut short.")
    return np.frombuffer(content, kind).reshape(shape)


@functools.lru_cache(maxsize=4096)
def _opened(array: str) -> tuple[int, int, tuple[int, ...], np.dtype]:
    """Open a .npy file once a process and read its header; rows of Fortran order or objects are refused."""
    with Path(array).open("rb") as file:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read_header(file)
        offset = file.tell()
    if fortran or kind.hasobject:
        raise DataError(
            f"{Path(array).name} has no rows that can be read alone", remedy="Save it with numpy.save in C order."
        )
    return os.open(array, os.O_RDONLY), offset, shape[1:], kind


def _stack_picture(path: Path, row: int, image: Image) -> Picture:
    stored = read_row(str(path), row)
    array = stored if stored.ndim == len(image.size) + 1 else stored[..., None]
    bits = 8 * stored.dtype.itemsize
    picture = Picture(array=array, bits=bits)
    return replace(picture, array=to_scale(array, image.values, bits=bits))


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
        weights = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as OpenCV's grey
        return (array.astype(np.float32) @ weights)[..., None]
    raise DataError(f"{name} has {found} channels; the recipe wants {channels}", remedy="Set image.channels.")
