"""The files of one request to the pictures that are asked about, as `predict` would list them from a folder."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from keras_med.data.dicom_headers import read_header
from keras_med.data.memory import MemoryFile
from keras_med.data.stacks import open_stack
from keras_med.errors import DataError
from keras_med.inference.inputs import is_stack

MOST_PICTURES = 64  # of one request; a table of more is what `predict` writes


@dataclass(frozen=True)
class Unit:
    """What is read together: a file, some rows of a stack, or the slices of one series.

    parts: the places of its files in the request.
    folder: its files are one series.
    reason: why it cannot be read.
    """

    files: tuple[MemoryFile, ...]
    parts: tuple[int, ...]
    folder: bool = False
    rows: tuple[int | None, ...] = (None,)
    reason: str = ""


def units(files: Sequence[MemoryFile], dimensions: int) -> list[Unit]:
    """List what was sent, in its order.

    Args:
        dimensions: of the network's pictures; with three, DICOM slices of one series are one volume.
    """
    series = _series(files) if dimensions == 3 and len(files) > 1 else {}
    found, together = list[Unit](), set[str]()
    for place, file in enumerate(files):
        named = series.get(place, "")
        if not named:
            found.append(_alone(file, place, dimensions))
        elif named not in together:
            together.add(named)
            parts = tuple(one for one, name in series.items() if name == named)
            found.append(Unit(_named([files[one] for one in parts]), parts, folder=True))
    return found


def _alone(file: MemoryFile, place: int, dimensions: int) -> Unit:
    if not file.name.lower().endswith(".npy"):
        return Unit((file,), (place,))
    try:
        shape = open_stack(file).shape
    except DataError:
        return Unit((file,), (place,))  # reading it gives the reason
    if not is_stack(shape, dimensions):
        return Unit((file,), (place,))
    if shape[0] > MOST_PICTURES:
        why = f"This stack has {shape[0]:,} pictures; {MOST_PICTURES} are answered at once. Use keras_med.predict."
        return Unit((file,), (place,), reason=why)
    return Unit((file,), (place,), rows=tuple(range(shape[0])))


def _series(files: Sequence[MemoryFile]) -> dict[int, str]:
    """Return the series of each DICOM file that holds one slice of several; a film is a volume by itself."""
    named = dict[int, str]()
    for place, file in enumerate(files):
        if file.content[128:132] != b"DICM":
            continue
        try:
            header = read_header(file)
        except DataError:
            continue
        if header.get("NumberOfFrames", 1) == 1 and header.get("SeriesInstanceUID"):
            named[place] = str(header["SeriesInstanceUID"])
    slices = Counter(named.values())
    return {place: name for place, name in named.items() if slices[name] > 1}


def _named(files: Sequence[MemoryFile]) -> tuple[MemoryFile, ...]:
    """Give files of one name, as of several folders, names of their own."""
    if len({file.name for file in files}) == len(files):
        return tuple(files)
    return tuple(MemoryFile(f"{place:04d}-{file.name}", file.content) for place, file in enumerate(files))
