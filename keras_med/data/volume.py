"""NIfTI files and DICOM series to volumes, (rows, columns, slices, channels).

Both come out the same way round: of axial slices, rows run to the back, columns to the patient's left and slices to the
head, as a scanner shows them.
"""

import gzip
import struct
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_med.data.dicom import NO_WINDOW, measure, shown
from keras_med.data.dicom_headers import quiet, read_header, unreadable
from keras_med.data.dicom_scan import Plain
from keras_med.data.memory import File, MemoryFile, openable
from keras_med.data.values import LARGEST_BYTES, Picture, Values, Window, check_size, to_scale
from keras_med.errors import DataError, five_of

UNEVEN = 0.1  # of the usual distance between slices
PARALLEL = 1e-3
LEAVE_OUT = "Leave the file out, or give one series at a time."


def read_nifti(path: File, values: Values) -> Picture:
    """Read a NIfTI volume; a fourth axis (times, echoes) becomes channels.

    `values="file"` takes the header's cal_min and cal_max where they are set.
    """
    if find_spec("nibabel") is None:
        raise DataError(
            "a NIfTI volume, whose reader is not installed", where=path.name, remedy='pip install "keras_med[nifti]"'
        )
    try:
        _check_nifti(path)
        with quiet():
            return _nifti(path, values)
    except DataError as error:
        raise DataError(error.what, where=path.name, remedy=error.remedy) from None
    except (gzip.BadGzipFile, EOFError) as error:
        raise _damaged(f"cut short or not compressed as it says ({type(error).__name__})", path.name) from None
    except OSError as error:
        raise unreadable(error, path.name) if error.errno else _damaged("data that are cut short", path.name) from None
    except Exception as error:  # nibabel raises many things on damaged headers
        raise _damaged(f"it cannot be read ({type(error).__name__})", path.name) from None


def read_series(paths: Sequence[File], values: Values, *, gaps: Literal["error", "allow"] = "error") -> Picture:
    """Read the slices of one DICOM series as a volume, sorted by position along the normal of the slices.

    Missing, doubled and mixed slices are refused by name; `gaps="allow"` takes slices at uneven distances and notes it.
    """
    if not paths:
        raise DataError("no slices", remedy="Give the files of one series.")
    where = paths[0].parent.name
    headers = [read_header(path) for path in paths]
    _check_alike(paths, headers, where)
    order, distances, notes = _order(paths, headers, where)
    if len(distances) and gaps == "error":
        _check_distances([paths[place] for place in order], distances, where)
    elif len(distances) and _uneven(distances).any():
        notes.append("slices at uneven distances")
    slices = [paths[place] for place in order]
    first = measure(slices[0])
    if len(first.array) > 1:
        raise DataError(
            "a slice of several frames", where=slices[0].name, remedy="Read that file by itself: it is a volume."
        )
    check_size((*first.array.shape[1:3], len(slices), first.array.shape[3]), where=where)
    volume = np.empty((len(slices), *first.array.shape[1:]), np.float32)
    volume[0] = first.array[0]
    for place, path in enumerate(slices[1:], 1):
        one = measure(path)
        if one.array.shape != first.array.shape:
            raise DataError(f"a slice of another shape than {slices[0].name}", where=path.name, remedy=LEAVE_OUT)
        volume[place] = one.array[0]
        notes += one.notes
    scaled = shown(replace(first, array=volume), values, where=where)
    if values == "file" and first.window is None and scaled.shape[-1] == 1:
        notes.append(NO_WINDOW)
    spacing = (*first.spacing, float(np.median(distances))) if first.spacing and len(distances) else first.spacing
    return Picture(
        array=np.ascontiguousarray(np.moveaxis(scaled, 0, 2)),
        bits=first.bits,
        spacing=spacing,
        notes=tuple(dict.fromkeys((*first.notes, *notes))),
        burned_in=first.burned_in,
    )


def _check_alike(paths: Sequence[File], headers: list[dict[str, Plain]], where: str) -> None:
    """Refuse slices of several series, sizes or orientations, naming the odd ones."""
    series = {header.get("SeriesInstanceUID") for header in headers}
    if len(series) > 1:
        raise DataError(
            f"slices of {len(series)} series", where=where, remedy="Give the files of one series at a time."
        )
    sizes: dict[tuple[Plain, Plain], list[str]] = {}
    for path, header in zip(paths, headers, strict=True):
        sizes.setdefault((header.get("Rows"), header.get("Columns")), []).append(path.name)
    if len(sizes) > 1:
        usual = max(sizes, key=lambda size: len(sizes[size]))
        odd = [f"{name} ({size[0]} x {size[1]})" for size, names in sizes.items() if size != usual for name in names]
        raise DataError(
            f"slices of {len(sizes)} sizes; most are {usual[0]} x {usual[1]}, but {five_of(odd)}",
            where=where,
            remedy=LEAVE_OUT,
        )


def _order(
    paths: Sequence[File], headers: list[dict[str, Plain]], where: str
) -> tuple[list[int], np.ndarray, list[str]]:
    """Return the order of the slices, the distances between them, and what was assumed."""
    positions, normals = [], []
    for header in headers:
        position, orientation = (
            _numbers(header, "ImagePositionPatient", 3),
            _numbers(header, "ImageOrientationPatient", 6),
        )
        if position is not None and orientation is not None:
            positions.append(position)
            normals.append(np.cross(orientation[:3], orientation[3:]))
    if len(positions) == len(headers):
        tilted = [paths[k].name for k, normal in enumerate(normals) if np.abs(normal - normals[0]).max() > PARALLEL]
        if tilted:
            raise DataError(f"slices of several orientations: {five_of(tilted)}", where=where, remedy=LEAVE_OUT)
        places = np.array(positions) @ normals[0]
        order = [int(place) for place in np.argsort(places, kind="stable")]
        distances = np.diff(places[order])
        doubled = [f"{paths[order[k]].name} and {paths[order[k + 1]].name}" for k in np.flatnonzero(distances < 1e-3)]
        if doubled:
            raise DataError(f"two slices at one place: {five_of(doubled)}", where=where, remedy=LEAVE_OUT)
        return order, distances, []
    numbers = [header.get("InstanceNumber") for header in headers]
    known = [number for number in numbers if isinstance(number, int)]
    if len(known) < len(numbers) or len(set(known)) < len(known):
        raise DataError(
            "slices without positions, and without numbers that tell their order", where=where, remedy=LEAVE_OUT
        )
    return [int(place) for place in np.argsort(known)], np.zeros(0), ["no positions: sorted by InstanceNumber"]


def _numbers(header: dict[str, Plain], keyword: str, count: int) -> np.ndarray | None:
    value = header.get(keyword)
    if not isinstance(value, tuple) or len(value) != count or not all(isinstance(part, float) for part in value):
        return None
    array = np.array(value, float)
    return array if np.isfinite(array).all() else None


def _uneven(distances: np.ndarray) -> np.ndarray:
    usual = np.median(distances)
    return np.abs(distances - usual) > UNEVEN * usual


def _check_distances(slices: Sequence[File], distances: np.ndarray, where: str) -> None:
    odd = [
        f"{distance:.2f} mm before {path.name}"
        for path, distance, uneven in zip(slices[1:], distances, _uneven(distances), strict=True)
        if uneven
    ]
    if odd:
        raise DataError(
            f"slices are missing or uneven: {np.median(distances):.2f} mm is usual, but {five_of(odd)}",
            where=where,
            remedy="Export the series again, leave it out, or allow gaps.",
        )


def _check_nifti(path: File) -> None:
    """Check what nibabel would allocate by: the place where the data begin."""
    packed = path.name.endswith(".gz")
    with gzip.open(openable(path), "rb") if packed else path.open("rb") as file:
        content = file.read(544)
    for order in "<>":
        if len(content) >= 352 and struct.unpack_from(f"{order}i", content) == (348,):
            (offset,) = struct.unpack_from(f"{order}f", content, 108)
            break
        if len(content) >= 544 and struct.unpack_from(f"{order}i", content) == (540,):
            (offset,) = struct.unpack_from(f"{order}q", content, 168)
            break
    else:
        raise _damaged("its header is none of NIfTI", path.name)
    if not 0 <= offset <= 2**26:
        raise _damaged("its data begin at an impossible place", path.name)
    if not packed and path.stat().st_size > LARGEST_BYTES * 2:
        raise _damaged("larger than one volume may be", path.name)


def _nifti(path: File, values: Values) -> Picture:
    import nibabel  # an extra, and slow to import

    image = nibabel.load(path) if isinstance(path, Path) else _nifti_of(path)
    shape = tuple(int(length) for length in image.shape)
    check_size(shape, where=path.name)
    dtype = image.get_data_dtype()
    if dtype.kind not in "biuf" or dtype.itemsize > 8 or not 2 <= len(shape) <= 5:
        raise DataError(
            f"{len(shape)} axes of type {dtype}", where=path.name, remedy="Save it as a grey volume of three axes."
        )
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 4:
        raise DataError(f"{len(shape)} axes; three or four are read", where=path.name, remedy="Save one volume a file.")
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    array = np.asarray(image.dataobj.get_unscaled()).reshape(shape if len(shape) > 2 else (*shape, 1))
    if (slope, intercept) != (1.0, 0.0):
        array = array.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    orientation = nibabel.orientations.io_orientation(image.affine)
    array = nibabel.orientations.apply_orientation(array, orientation)  # to the patient's right, front and head
    array = array.transpose(1, 0, *range(2, array.ndim))[::-1, ::-1]
    array = array[..., None] if array.ndim == 3 else array
    zooms = [float(zoom) for zoom in image.header.get_zooms()[:3]]
    along = {int(axis): zooms[place] for place, (axis, _) in enumerate(orientation[: len(zooms)])}
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    window = Window((low + high) / 2, high - low, "LINEAR_EXACT") if high > low else None
    scaled = to_scale(array, values, file_window=window, bits=dtype.itemsize * 8)
    return Picture(
        array=np.ascontiguousarray(scaled),
        bits=dtype.itemsize * 8,
        spacing=tuple(along.get(axis, 1.0) for axis in (1, 0, 2)),
    )


def _nifti_of(file: MemoryFile) -> Any:
    """Open a volume in memory by the class that nibabel would choose."""
    import nibabel

    unpacked: Any = gzip.GzipFile(fileobj=file.open()) if file.name.endswith(".gz") else file.open()
    second = unpacked.read(4) in (struct.pack("<i", 540), struct.pack(">i", 540))
    unpacked.seek(0)
    return (nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_stream(unpacked)


def _damaged(what: str, where: str) -> DataError:
    return DataError(
        f"a damaged NIfTI volume: {what}", where=where, remedy="Copy or export the file again, or leave it out."
    )
