"""`.npy` and `.npz` files to arrays, by rows and without pickle.

Rows are read by position and not through a memory map: mapped pages count as this process's memory (1.6 GiB for 1.56
GiB read, seen), rows that were read are gone once used. A 12 GB stack therefore costs one row.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, FileIO
from tokenize import TokenError
from typing import IO

import numpy as np
from numpy.lib import format as npy

from keras_med.data.memory import File, openable
from keras_med.data.values import check_size
from keras_med.errors import DataError

HEADER_FAULTS = (ValueError, TypeError, SyntaxError, TokenError, EOFError, RecursionError, MemoryError, OverflowError)
DAMAGED = "Write the file again with numpy.save, or leave it out."


@dataclass(frozen=True)
class Stack:
    """An array in a `.npy` file, its first axis the rows."""

    path: File
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: Sequence[int]) -> np.ndarray:
        """Read some rows, in the order asked for."""
        result = np.empty((len(rows), *self.shape[1:]), self.dtype)
        with self.path.open("rb", buffering=0) as file:
            for place, row in enumerate(rows):
                self._read_into(file, row, result[place : place + 1])
        return result

    def _read_into(self, file: FileIO | BytesIO, row: int, into: np.ndarray) -> None:
        if not 0 <= row < len(self):
            raise DataError(f"row {row} of {len(self)}", where=self.path.name, remedy="Rows are counted from 0.")
        into = into.reshape(-1).view(np.uint8)
        file.seek(self.offset + row * into.size)
        done = 0
        while done < into.size:  # one read gives at most 2 GiB
            count = file.readinto(into[done:].data)
            if not count:
                raise DataError("shorter than when it was opened", where=self.path.name, remedy=DAMAGED)
            done += count


def open_stack(path: File) -> Stack:
    """Read the header of a `.npy` file and check that all its rows are there."""
    try:
        with path.open("rb") as file:
            shape, dtype = _header(file, path.name)
            offset = file.tell()
        held = path.stat().st_size - offset
    except OSError as error:
        raise _unreadable(error, path.name) from None
    expected = _bytes(shape, dtype)
    if held < expected:
        raise DataError(f"cut short: {held:,} of {expected:,} bytes are there", where=path.name, remedy=DAMAGED)
    return Stack(path, shape, dtype, offset)


def read_npy(path: File) -> np.ndarray:
    """Read a whole `.npy` file as one array."""
    stack = open_stack(path)
    check_size(stack.shape, where=path.name)
    return Stack(path, (1, *stack.shape), stack.dtype, stack.offset).read([0])[0]


def read_npz(path: File, *, key: str | None = None, row: int | None = None) -> np.ndarray:
    """Read one array of a `.npz` file, or one row of it; compressed rows before it are passed over, not kept.

    Args:
        key: the name of the array, needed where the file holds several.
    """
    with _member(path, key) as file:
        shape, dtype = _header(file, path.name)
        if row is not None:
            if not shape or not 0 <= row < shape[0]:
                raise DataError(f"row {row} of {shape[0] if shape else 0}", where=path.name, remedy="Count from 0.")
            shape = shape[1:]
            _skip(file, row * _bytes(shape, dtype), path.name)
        check_size(shape, where=path.name)
        content = file.read(_bytes(shape, dtype))
    if len(content) < _bytes(shape, dtype):
        raise DataError("cut short: values are missing at its end", where=path.name, remedy=DAMAGED)
    return np.frombuffer(content, dtype).reshape(shape)


def _keys(path: File) -> list[str]:
    with _archive(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


@contextmanager
def _member(path: File, key: str | None) -> Iterator[IO[bytes]]:
    """Open one array of an archive: stored or deflated, since other methods may take any memory to unpack."""
    keys = _keys(path)
    if key is None and len(keys) == 1:
        key = keys[0]
    if key not in keys:
        raise DataError(
            f"no array {key!r} in the archive" if key else f"{len(keys)} arrays in the archive; one must be named",
            where=path.name,
            remedy=f"It holds: {', '.join(keys[:20]) or 'no .npy member'}. Save one as .npy, or name it.",
        )
    with _archive(path) as archive:
        information = archive.getinfo(f"{key}.npy")
        if information.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or information.flag_bits & 1:
            raise DataError("an encrypted archive or one of an unusual compression", where=path.name, remedy=DAMAGED)
        with archive.open(information) as file:
            yield file


@contextmanager
def _archive(path: File) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(openable(path)) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise DataError(f"a damaged archive ({type(error).__name__})", where=path.name, remedy=DAMAGED) from None
    except OSError as error:
        raise _unreadable(error, path.name) from None


def _skip(file: IO[bytes], count: int, where: str) -> None:
    while count:
        passed = len(file.read(min(count, 2**20)))
        if not passed:
            raise DataError("cut short: rows are missing", where=where, remedy=DAMAGED)
        count -= passed


def _header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], np.dtype]:
    """Parse a `.npy` header with numpy's own reader, which evaluates literals only."""
    try:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError("another version")
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = reader(file)
    except HEADER_FAULTS as error:
        raise DataError(f"not a NumPy array ({type(error).__name__})", where=where, remedy=DAMAGED) from None
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DataError(
            f"values of type {dtype.kind!r}; whole and floating-point numbers are read, objects never (no pickle)",
            where=where,
            remedy="Save it as uint8, uint16, int16 or float32.",
        )
    if fortran and len(shape) > 1:
        raise DataError(
            "stored by columns (Fortran order), so its rows are scattered",
            where=where,
            remedy="Save numpy.ascontiguousarray(array).",
        )
    if not all(isinstance(length, int) and 0 <= length < 2**48 for length in shape):
        raise DataError("a header of impossible lengths", where=where, remedy=DAMAGED)
    return tuple(shape), dtype


def _bytes(shape: Sequence[int], dtype: np.dtype) -> int:
    count = dtype.itemsize
    for length in shape:
        count *= length
    return count


def _unreadable(error: OSError, where: str) -> DataError:
    return DataError(
        f"cannot be read: {error.strerror or type(error).__name__}",
        where=where,
        remedy="Check that the file is there and that you may read it.",
    )
