"""The pixels of a DICOM file as stored: frames of whole numbers, bounded before anything is allocated.

Plain grey pixels are read straight from the file at the place that the header scan found. Everything else goes through
pydicom and its decoders, after the sizes that the header and each compressed frame claim have been compared.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO, FileIO

import numpy as np
import pydicom
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import UID

from keras_med.data.dicom_headers import open_dataset, quiet, tags_of, unreadable
from keras_med.data.dicom_scan import EXPLICIT, IMPLICIT, Plain, Scan, scan
from keras_med.data.dicom_tables import with_palette
from keras_med.data.jpeg_streams import claimed_size, is_sound_jpeg, is_whole_jpeg_ls
from keras_med.data.memory import File
from keras_med.data.values import check_size
from keras_med.errors import DataError

INSTALL = 'pip install "keras_med[dicom]"'
GREY = ("MONOCHROME1", "MONOCHROME2")
NATIVE = (EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
JPEG = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
NO_PICTURES = {
    "SR": "report",
    "DOC": "document",
    "PR": "presentation state",
    "KO": "selection of key objects",
    "REG": "registration",
    "RTPLAN": "treatment plan",
    "RTSTRUCT": "set of contours",
}
PLUGINS = ("pydicom", "pylibjpeg", "pyjpegls", "pillow", "gdcm")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Pixels before any conversion of values.

    Attributes:
        array: (frames, rows, columns, samples), in the machine's byte order, bits above those stored removed.
        tags: the allowed tags of the header.
        bits: that one value of `array` may use; after a palette those of its colours.
        dataset: for the tables and frame groups of files that are not plain.
    """

    array: np.ndarray
    tags: dict[str, Plain]
    bits: int
    dataset: pydicom.Dataset | None = None

    @property
    def colour(self) -> bool:
        return self.array.shape[-1] > 1


def load(path: File, frame: int | None = None) -> Stored:
    """Load all frames of a file, or one of them (from 0)."""
    try:
        with path.open("rb", buffering=0) as file:
            found = scan(file)
            if found is not None and _is_plain(found):
                return _load_plain(file, found, frame, path.name)
        with quiet():
            return _load_any(path, frame)
    except OSError as error:
        raise unreadable(error, path.name) from None


def damaged(what: str, where: str) -> DataError:
    """Return the error of a DICOM file that is broken."""
    return DataError(what, where=where, remedy="Copy or export the file again, or leave it out.")


def _is_plain(found: Scan) -> bool:
    tags = found.tags
    return (
        tags["TransferSyntaxUID"] in (EXPLICIT, IMPLICIT)
        and not found.tables
        and tags.get("SamplesPerPixel") == 1
        and tags.get("PhotometricInterpretation") in GREY
        and tags.get("BitsAllocated") in (8, 16)
    )


def _load_plain(file: FileIO | BytesIO, found: Scan, frame: int | None, where: str) -> Stored:
    frames, rows, columns, samples = _shape(found.tags, frame, where)
    allocated, stored, signed = _bits(found.tags, where)
    count = rows * columns * samples
    kind = np.dtype(f"<{'i' if signed else 'u'}{allocated // 8}")
    _check_length(found.length, frames * count * kind.itemsize, where)
    file.seek(found.offset + (frame or 0) * count * kind.itemsize)
    wanted = frames if frame is None else 1
    array = np.empty(wanted * count, kind)
    _check_length(file.readinto(array.view(np.uint8).data), array.nbytes, where)
    if stored < allocated and _exceeds(array, stored):  # what is above may be overlays, or the sign
        np.left_shift(array, allocated - stored, out=array)
        np.right_shift(array, allocated - stored, out=array)
    return Stored(array=array.reshape(wanted, rows, columns, samples), tags=found.tags, bits=stored)


def _exceeds(array: np.ndarray, bits: int) -> bool:
    """Say whether a value needs more bits than are stored; to look costs a quarter of cutting them off."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if array.dtype.kind == "i" else (0, 2**bits - 1)
    return bool(array.size) and (int(array.min()) < low or int(array.max()) > high)


def _load_any(path: File, frame: int | None) -> Stored:
    where = path.name
    dataset = open_dataset(path, pixels=True)
    tags = tags_of(dataset)
    pixels = next((key for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if key in dataset), None)
    if pixels is None or "Rows" not in tags or "Columns" not in tags:
        kind = NO_PICTURES.get(str(tags.get("Modality")))
        raise DataError(
            f"a DICOM file without pixels{f' (a {kind})' if kind else ''}",
            where=where,
            remedy="Reports, plans and damaged files hold no picture: leave the file out.",
        )
    frames, rows, columns, samples = _shape(tags, frame, where)
    if pixels == "PixelData":
        allocated, stored, _ = _bits(tags, where)
    else:
        allocated = stored = 32 if pixels == "FloatPixelData" else 64
    content, syntax = _content(dataset, pixels, where), _syntax(dataset, where)
    decoder = _decoder(syntax, where)
    if syntax in NATIVE:
        bits = frames * rows * columns * samples * allocated
        halved = tags.get("PhotometricInterpretation") == "YBR_FULL_422"
        _check_length(len(content), (bits * 2 // 3 if halved else bits) // 8, where)
    else:
        is_sound = _check_of(syntax, _plugin(decoder), (rows, columns, samples), allocated)
        _check_frames(content, frames, (rows, columns, samples), is_sound, where=where)
    array = _decoded(decoder, dataset, frame, where)
    wanted = frames if frame is None else 1
    if array.size != wanted * rows * columns * samples:
        raise damaged("the pixels decode to another size than the header says", where)
    array = array.reshape(wanted, rows, columns, samples)
    if tags.get("PhotometricInterpretation") == "PALETTE COLOR":
        try:
            array, stored = with_palette(array, dataset)
        except Exception as error:  # absent, short and damaged tables raise many things within pydicom
            raise damaged(f"a palette that cannot be used ({type(error).__name__})", where) from None
    return Stored(array=array, tags=tags, bits=stored, dataset=dataset)


def _shape(tags: dict[str, Plain], frame: int | None, where: str) -> tuple[int, int, int, int]:
    """Return frames, rows, columns and samples, within bounds."""
    frames, samples = _number(tags, "NumberOfFrames", 1), _number(tags, "SamplesPerPixel", 1)
    rows, columns = _number(tags, "Rows", 0), _number(tags, "Columns", 0)
    check_size((frames if frame is None else 1, rows, columns, samples), where=where)
    if samples not in (1, 3):
        raise damaged(f"{samples} samples a pixel; 1 or 3 are expected", where)
    if frames < 1 or (frame is not None and not 0 <= frame < frames):
        raise DataError(f"frame {frame} of {frames}", where=where, remedy="Frames are counted from 0.")
    return frames, rows, columns, samples


def _bits(tags: dict[str, Plain], where: str) -> tuple[int, int, bool]:
    """Return the bits allocated and stored, and whether values have a sign."""
    allocated = _number(tags, "BitsAllocated", 0)
    stored = _number(tags, "BitsStored", allocated)
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated:
        raise damaged(f"{stored} bits stored in {allocated} allocated", where)
    return allocated, stored, tags.get("PixelRepresentation") == 1


def _number(tags: dict[str, Plain], keyword: str, default: int) -> int:
    value = tags.get(keyword, default)
    return value if isinstance(value, int) else default


def _check_length(held: int, expected: int, where: str) -> None:
    if held < expected:
        raise damaged(f"cut short: {held:,} of {expected:,} bytes of pixels are there", where)


def _content(dataset: pydicom.Dataset, keyword: str, where: str) -> bytes:
    """Return the bytes of the pixels; pydicom converts them when they are first looked at, and may raise anything."""
    try:
        content = dataset[keyword].value
    except Exception as error:
        raise damaged(f"pixels of no known form ({type(error).__name__})", where) from None
    return content if isinstance(content, bytes) else b""


def _syntax(dataset: pydicom.Dataset, where: str) -> UID:
    """Return the transfer syntax; without one, as pydicom found the file to be written."""
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and meta.get("TransferSyntaxUID"):
        return UID(meta.TransferSyntaxUID)
    implicit, little = dataset.original_encoding
    if not little:
        raise damaged("no transfer syntax is stated", where)
    if meta is None:
        dataset.file_meta = meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = UID(IMPLICIT if implicit else EXPLICIT)
    return meta.TransferSyntaxUID


def decoders() -> dict[str, bool]:
    """Return every transfer syntax of pixels by its name, and whether it can be decoded here."""
    names = [uid for uid in pydicom.uid.AllTransferSyntaxes if uid not in pydicom.uid.PrivateTransferSyntaxes]
    found = {}
    for uid in names:
        with suppress(NotImplementedError):  # of video and the like, which is no picture
            found[uid.name] = uid in NATIVE or get_decoder(uid).is_available
    return found


def _decoder(syntax: UID, where: str) -> Decoder:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise DataError(
            f"pixels in the transfer syntax {_name(syntax)}, which nothing here decodes",
            where=where,
            remedy="Convert the file first, for example: gdcmconv --raw IN.dcm OUT.dcm",
        ) from None
    if not decoder.is_available:
        jpeg = syntax in JPEG
        raise DataError(
            f"pixels in the transfer syntax {_name(syntax)}, whose decoder is not installed",
            where=where,
            remedy=INSTALL
            + ("\nWhere python-gdcm cannot be had: pip install pylibjpeg-libjpeg (GPL-3)" if jpeg else ""),
        )
    return decoder


def _name(syntax: UID) -> str:
    return syntax.name if syntax in pydicom.uid.UID_dictionary else "of an unknown UID"


def _check_of(syntax: UID, plugin: str, size: tuple[int, int, int], bits: int) -> Callable[[bytes], bool]:
    """Return what a frame of this syntax must pass before its decoder, where that is a fragile one."""
    if syntax in JPEG and plugin == "gdcm":
        return lambda frame: is_sound_jpeg(frame, size, bits)
    if syntax in JPEG_LS:
        return lambda frame: is_whole_jpeg_ls(frame, size)
    return lambda frame: True


def _check_frames(
    content: bytes, frames: int, size: tuple[int, int, int], is_sound: Callable[[bytes], bool], *, where: str
) -> None:
    """Refuse a compressed frame that claims more than the header: its decoder would allocate that."""
    try:
        for frame in generate_frames(content, number_of_frames=frames):
            claimed = claimed_size(frame)
            if claimed is not None and (claimed[0] > size[0] or claimed[1] > size[1] or claimed[2] > 4):
                raise damaged(f"a compressed frame of {claimed} values in a picture of {size}", where)
            if not is_sound(frame):
                raise damaged("a compressed frame that is cut short or out of order", where)
    except DataError:
        raise
    except Exception as error:  # damaged encapsulation raises many things within pydicom
        raise damaged(f"compressed pixels that cannot be taken apart ({type(error).__name__})", where) from None


def _decoded(decoder: Decoder, dataset: pydicom.Dataset, frame: int | None, where: str) -> np.ndarray:
    try:
        array, _ = decoder.as_array(dataset, index=frame, raw=False, decoding_plugin=_plugin(decoder))
    except Exception as error:  # pydicom, its plugins and the codecs raise whatever they like on damaged data
        remedies = ["Copy or export the file again, or leave it out."]
        if decoder.UID not in NATIVE:
            remedies = ["Copy it again, convert it (gdcmconv --raw IN.dcm OUT.dcm), or leave it out."]
        if decoder.UID not in NATIVE and decoder.missing_dependencies and not _complete():
            remedies.append(f"Perhaps a decoder is missing: {INSTALL}")
        if decoder.UID == JPEG_EXTENDED:
            remedies.append("Twelve-bit JPEG needs a decoder under GPL-3: pip install pylibjpeg-libjpeg")
        raise DataError(
            f"pixels ({_name(decoder.UID)}) that cannot be decoded ({type(error).__name__})",
            where=where,
            remedy="\n".join(remedies),
        ) from None
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _plugin(decoder: Decoder) -> str:
    """Choose one plugin: trying all on a damaged file would end at GDCM, which may take the whole process with it."""
    return next((name for name in PLUGINS if name in decoder.available_plugins), "")


def _complete() -> bool:
    """Say whether all decoders of the extra are here."""
    return all(find_spec(name) is not None for name in ("openjpeg", "jpeg_ls", "gdcm"))
