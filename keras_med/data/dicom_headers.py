"""DICOM files to the allowed tags of their headers: by the strict parser where a file is plain, by pydicom elsewhere.

Nothing of a file's content enters an error, and pydicom's warnings, which quote it, are silenced.
"""

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue

from keras_med.data.dicom_scan import ALLOWED, DEFLATED, FIRST_BYTES, SOUND, Plain, parse_meta, scan
from keras_med.data.memory import File, openable
from keras_med.data.values import LARGEST_BYTES
from keras_med.errors import DataError


def read_header(path: File) -> dict[str, Plain]:
    """Read the allowed tags of a DICOM file; a tag that is absent, empty or unreadable is not in the dictionary.

    Texts are stripped, decimal and whole numbers are float and int, several values a tuple. `PatientID` is raw: the
    caller hashes it before anything is written or shown.
    """
    try:
        with path.open("rb", buffering=0) as file:
            found = scan(file)
        if found is not None:
            return found.tags
        with quiet():
            dataset = open_dataset(path, pixels=False)
            return tags_of(dataset)
    except OSError as error:
        raise unreadable(error, path.name) from None


def open_dataset(path: File, *, pixels: bool) -> pydicom.Dataset:
    """Open a file with pydicom, one without preamble too, with every fault told as a DataError."""
    _check_length(path)
    try:
        tags = None if pixels else [tag for tag, _ in ALLOWED.values()]
        try:
            return pydicom.dcmread(openable(path), stop_before_pixels=not pixels, specific_tags=tags)
        except InvalidDicomError:
            dataset = pydicom.dcmread(openable(path), stop_before_pixels=not pixels, specific_tags=tags, force=True)
        if "Rows" not in dataset and "SOPInstanceUID" not in dataset:
            raise DataError(
                "not a DICOM file", where=path.name, remedy="Leave the file out, or give its picture format."
            )
        return dataset
    except (DataError, OSError):
        raise
    except Exception as error:  # a damaged file may raise anything within pydicom, and its text may name the patient
        raise DataError(
            f"a DICOM file that cannot be read ({type(error).__name__})",
            where=path.name,
            remedy="Copy or export the file again, or leave it out.",
        ) from None


def tags_of(dataset: pydicom.Dataset) -> dict[str, Plain]:
    """Return the allowed tags of a pydicom dataset as plain values."""
    meta = getattr(dataset, "file_meta", None)
    tags: dict[str, Plain] = {}
    for keyword, (_, kind) in ALLOWED.items():
        source = meta if keyword == "TransferSyntaxUID" else dataset
        try:
            value = _plain(source.get(keyword) if source is not None else None)
        except Exception:  # one unreadable value, of whatever kind, is as good as an absent one
            continue
        if value is not None and _is_sound(value, kind):
            tags[keyword] = value
    return tags


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom and nibabel, whose warnings quote values of the file."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "nibabel.global")]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def unreadable(error: OSError, where: str) -> DataError:
    """Return the error of a file that the system does not give."""
    return DataError(
        f"cannot be read: {error.strerror or type(error).__name__}",
        where=where,
        remedy="Check that the file is there and that you may read it.",
    )


def _check_length(path: File) -> None:
    """Refuse what pydicom would read or inflate into more memory than one file may take."""
    length = path.stat().st_size
    with path.open("rb", buffering=0) as file:
        content = file.read(FIRST_BYTES)
        if content[128:132] == b"DICM" and DEFLATED.encode() in content:
            try:
                place, _ = parse_meta(content)
            except (ValueError, EOFError, struct.error):
                place = 0  # pydicom may find its own way in, so there is no bound to trust
            length = _inflated(file, place) if place else LARGEST_BYTES + 1
    if length > LARGEST_BYTES:
        raise DataError(
            f"more than the {LARGEST_BYTES / 1024**3:.0f} GiB that are read from one file",
            where=path.name,
            remedy="Cut the film or volume into smaller files, or leave the file out.",
        )


def _inflated(file: IO[bytes], place: int) -> int:
    """Count the bytes of a deflated data set without keeping them; stop where it is too large."""
    file.seek(place)
    stream, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        while total <= LARGEST_BYTES and not stream.eof:
            waiting = stream.unconsumed_tail or file.read(1024**2)
            if not waiting:
                break
            total += len(stream.decompress(waiting, 1024**2))
    except zlib.error:
        return total
    return total


def _is_sound(value: Plain, kind: str) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return all(not isinstance(part, str) or (kind in SOUND and bool(SOUND[kind].fullmatch(part))) for part in parts)


def _plain(value: object) -> Plain:
    if isinstance(value, MultiValue | list | tuple):
        return tuple(_plain(part) for part in value) if len(value) else None
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return value.strip(" \0") or None
    return None
