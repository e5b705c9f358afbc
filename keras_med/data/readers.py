"""Any supported file to one picture on the 0-255 scale; the reader is chosen by the file's content, not its name."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_med.data import dicom, raster, stacks, volume
from keras_med.data.dicom_headers import unreadable
from keras_med.data.memory import File, MemoryFolder, Source
from keras_med.data.raster_headers import JPEG, PNG, TIFFS
from keras_med.data.values import Picture, Values, is_whole, to_scale
from keras_med.errors import DataError

NIFTI = (".nii", ".nii.gz")
NAMES_OF_DICOM = (".dcm", ".dicom", ".ima", "")
MOST_CHANNELS = 4  # a shorter last axis of a three-axis array is taken for colours, a longer one for slices


def read_picture(
    path: Source, values: Values, *, row: int | None = None, dimensions: int | None = None, key: str | None = None
) -> Picture:
    """Read a file as float32 on the 0-255 scale, channels last, with `bits` as the file stores them.

    Pictures are (height, width, channels); films and volumes (height, width, depth, channels). A folder is read as one
    DICOM series.

    Args:
        row: one row of a `.npy` or `.npz` stack, or one frame of a DICOM film, from 0.
        dimensions: 2 or 3, what an array of three axes means: (height, width, channels) or (height, width, depth).
        key: the array of a `.npz` file that holds several.
    """
    if isinstance(path, MemoryFolder):
        return volume.read_series(sorted(path.files), values)
    try:
        head = _first_bytes(path)
    except IsADirectoryError:
        return volume.read_series(_files_below(path), values)
    if head[128:132] == b"DICM":  # first: the bytes before may be those of a TIFF, and scanners write such files
        return dicom.read(path, values, frame=row)
    if head.startswith((PNG, JPEG, *TIFFS)):
        return _scaled(raster.read(path), values, path)
    if head.startswith(b"\x93NUMPY"):
        array = stacks.read_npy(path) if row is None else stacks.open_stack(path).read([row])[0]
        return _from_array(array, values, dimensions, path)
    if head.startswith(b"PK\x03\x04") and path.suffix.lower() == ".npz":
        return _from_array(stacks.read_npz(path, key=key, row=row), values, dimensions, path)
    if path.name.lower().endswith(NIFTI):
        return volume.read_nifti(path, values)
    if path.suffix.lower() in NAMES_OF_DICOM:
        return dicom.read(path, values, frame=row)
    return _scaled(raster.read(path), values, path)  # its error says what the file is instead


def _first_bytes(path: File) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            return file.read(256)
    except IsADirectoryError:
        raise
    except OSError as error:
        raise unreadable(error, path.name) from None


def _files_below(folder: File) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file()) if isinstance(folder, Path) else []


def _from_array(array: np.ndarray, values: Values, dimensions: int | None, path: File) -> Picture:
    """Give an array its channels: already there, or one."""
    if dimensions is None:
        dimensions = 2 if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] <= MOST_CHANNELS) else 3
    if array.ndim == dimensions:
        array = array[..., None]
    if array.ndim != dimensions + 1:
        raise DataError(
            f"an array of shape {array.shape}, not a picture of {dimensions} dimensions",
            where=path.name,
            remedy="Save (height, width[, channels]) or (height, width, depth[, channels]), or name a row.",
        )
    return _scaled(Picture(array=array, bits=array.dtype.itemsize * 8), values, path)


def _scaled(picture: Picture, values: Values, path: File) -> Picture:
    try:
        scaled = to_scale(picture.array, values, bits=picture.array.dtype.itemsize * 8)
    except DataError as error:
        raise DataError(error.what, where=path.name, remedy=error.remedy) from None
    return replace(picture, array=scaled, exact=picture.array if is_whole(picture.array) else None)
