"""The tables, palettes and frame groups within DICOM datasets to plain arrays and numbers.

What is damaged counts as absent, except a palette: without it the pixels mean nothing. pydicom's own palettes are not
used: they take big-endian tables the wrong way round and let a segmented table grow without bound.
"""

import numpy as np
import pydicom

from keras_med.data.values import LookUpTable

MOST_ENTRIES = 65536
LARGEST_NUMBER = 1e15  # of slopes, intercepts and windows; more is damage


def number(value: object, default: float) -> float:
    """Return the first number of a value that may be absent, empty, many or beyond all sense."""
    if not isinstance(value, str) and hasattr(value, "__getitem__") and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    try:
        found = float(value) if value is not None else default  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return default
    return found if abs(found) <= LARGEST_NUMBER else default


def items(dataset: pydicom.Dataset | None, keyword: str) -> list[pydicom.Dataset]:
    """Return the items of a sequence, none where it is absent or damaged."""
    if dataset is None:
        return []
    try:
        value = dataset.get(keyword)
        return [item for item in value or () if isinstance(item, pydicom.Dataset)]
    except Exception:  # pydicom parses a sequence when it is first looked at, and may raise anything
        return []


def groups(dataset: pydicom.Dataset | None, keyword: str) -> list[pydicom.Dataset]:
    """Return one kind of group of an enhanced file: the shared one alone, or one a frame."""
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        found = [group for item in items(dataset, sequence) for group in items(item, keyword)[:1]]
        if found:
            return found
    return []


def table(dataset: pydicom.Dataset | None, keyword: str) -> LookUpTable | None:
    """Return the first table of a modality or VOI sequence, or None where there is none that can be used."""
    for item in items(dataset, keyword)[:1]:
        try:
            return _table(item, dataset, "LUTDescriptor", "LUTData")
        except Exception:  # as above: absent, short and damaged tables look alike
            return None
    return None


def with_palette(array: np.ndarray, dataset: pydicom.Dataset) -> tuple[np.ndarray, int]:
    """Return the colours of palette indices (..., 1), and their bits; whatever is wrong raises."""
    tables = []
    for colour in ("Red", "Green", "Blue"):
        descriptor = f"{colour}PaletteColorLookupTableDescriptor"
        segmented = f"Segmented{colour}PaletteColorLookupTableData"
        data = segmented if segmented in dataset else f"{colour}PaletteColorLookupTableData"
        tables.append(_table(dataset, dataset, descriptor, data))
    return np.concatenate([one.apply(array) for one in tables], axis=-1), max(one.bits for one in tables)


def _table(item: pydicom.Dataset, dataset: pydicom.Dataset | None, descriptor: str, data: str) -> LookUpTable:
    entries, first, bits = (int(part) for part in item[descriptor].value)
    entries = entries or MOST_ENTRIES
    content = item[data].value
    if isinstance(content, bytes):
        little = dataset is None or dataset.original_encoding[1] is not False
        # eight-bit entries may be stored in one byte or in two, whatever the descriptor says
        one_byte = bits <= 8 if data.startswith("Segmented") else len(content) < 2 * entries
        content = np.frombuffer(content, np.uint8 if one_byte else ("<u2" if little else ">u2"))
    values = np.asarray(content).astype(np.uint16)
    if data.startswith("Segmented"):
        values = _expanded(values, entries)
    if not len(values) or not 1 <= bits <= 16:
        raise ValueError("an empty table")
    if dataset is not None and dataset.get("PixelRepresentation") == 1 and first >= 2**15:
        first -= 2**16
    return LookUpTable(first, values[:entries], bits)


def _expanded(segments: np.ndarray, entries: int) -> np.ndarray:
    """Expand a segmented table (PS3.3 C.7.9.2) of discrete and linear segments, up to its number of entries."""
    values: list[int] = []
    place = 0
    while place + 2 < len(segments) and len(values) < entries:
        kind, length = int(segments[place]), int(segments[place + 1])
        place += 2
        if kind == 0:
            values += segments[place : place + length].tolist()
            place += length
        elif kind == 1 and values and length:
            ends = values[-1], int(segments[place])
            steps = np.linspace(*ends, length + 1)[1:]
            values += np.rint(steps).astype(int).tolist()
            place += 1
        else:  # copies of earlier segments (kind 2) have not been met in any file
            raise ValueError("a segment of another kind")
    return np.array(values, np.uint16)
