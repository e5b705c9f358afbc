"""The first bytes of PNG, JPEG and TIFF files to size, bits and orientation, with a check that the file is whole.

OpenCV decodes a cut JPEG to grey without a word and allocates whatever a header claims; this is asked first.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from keras_med.errors import DataError

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
TIFFS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OTHERS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"\0\0\x01\0": "an icon",
    b"RIFF": "a WebP or another RIFF file",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 file",
    b"\xff\x4f\xff\x51": "a JPEG 2000 code stream",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
}
TIFF_TYPES = {1: "B", 2: "c", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q"}
MOST_TIFF_ENTRIES = 4096
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # a marker in JPEG data: no stuffing, restart or fill byte


@dataclass(frozen=True, kw_only=True)
class RasterHeader:
    """What a header says. `channels` counts alpha, `grey` says that the colours are one channel before it."""

    kind: str
    width: int
    height: int
    channels: int
    bits: int
    grey: bool
    alpha: bool
    orientation: int = 1


def read_header(content: bytes, *, where: str) -> RasterHeader:
    """Parse the header and walk the parts of the file, or say what the file is instead and what is wrong with it."""
    try:
        if content.startswith(PNG):
            return _png(content, where)
        if content.startswith(JPEG):
            return _jpeg(content, where)
        if content[:4] in TIFFS:
            return _tiff(content, where)
    except (struct.error, LookupError, ValueError) as error:
        raise damaged("its header is cut short or damaged", where) from error
    raise DataError(
        f"{_what_it_is(content)}, not a PNG, JPEG or TIFF picture",
        where=where,
        remedy="Download or export the picture again, convert it to PNG, or leave the file out.",
    )


def damaged(what: str, where: str) -> DataError:
    """Return the error of a picture file that is broken."""
    return DataError(what, where=where, remedy="Copy or download the file again, or leave it out.")


def _what_it_is(content: bytes) -> str:
    if not content:
        return "an empty file"
    for magic, name in OTHERS.items():
        if content.startswith(magic):
            return name
    if content[128:132] == b"DICM":
        return "a DICOM file"
    head = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        return "a web page (HTML or XML), as a failed download leaves"
    if not content.strip(b"\0"):
        return "a file of zero bytes only"
    if all(byte in b"\t\r\n\f" or byte >= 32 for byte in content[:512]):
        return "a text file"
    return "a file of an unknown kind"


def _png(content: bytes, where: str) -> RasterHeader:
    width, height, bits, colour = struct.unpack(">IIBB", content[16:26])
    if content[12:16] != b"IHDR" or colour not in (0, 2, 3, 4, 6):
        raise damaged("a PNG whose first part is not its header", where)
    transparent, orientation = colour in (4, 6), 1
    for kind, start, length in _png_chunks(content, where):
        if kind == b"tRNS":
            transparent = True
        elif kind == b"eXIf":
            orientation = _exif_orientation(content[start : start + length])
    colours = 1 if colour in (0, 4) else 3
    return RasterHeader(
        kind="PNG",
        width=width,
        height=height,
        channels=colours + transparent,
        bits=bits,
        grey=colours == 1,
        alpha=transparent,
        orientation=orientation,
    )


def _png_chunks(content: bytes, where: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and length of each part, and refuse a file that is cut or whose sums are wrong."""
    place = 8
    view = memoryview(content)
    while place + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if end > len(content):
            break
        if zlib.crc32(view[place + 4 : end - 4]) != struct.unpack_from(">I", content, end - 4)[0]:
            raise damaged("a PNG with a damaged part: its checksum is wrong", where)
        yield kind, place + 8, length
        if kind == b"IEND":
            return
        place = end
    raise damaged("a PNG that is cut short: its end is missing", where)


def _jpeg(content: bytes, where: str) -> RasterHeader:
    size: tuple[int, int, int, int] | None = None
    orientation, place = 1, 2
    while True:
        found = MARKER.search(content, place)
        if found is None:
            raise damaged("a JPEG that is cut short: its end is missing", where)
        marker, place = content[found.end() - 1], found.end()
        if marker == 0xD9:
            break
        if marker in (0x01, 0xD8):  # markers that stand alone
            continue
        (length,) = struct.unpack_from(">H", content, place)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits, height, width, channels = struct.unpack_from(">BHHB", content, place + 2)
            if size is not None and size != (bits, height, width, channels):
                raise damaged("a JPEG that states two sizes", where)
            size = (bits, height, width, channels)
        elif marker == 0xE1 and content[place + 2 : place + 8] == b"Exif\0\0":
            orientation = _exif_orientation(content[place + 8 : place + length])
        place += length
    if size is None:
        raise damaged("a JPEG without a size", where)
    bits, height, width, channels = size
    return RasterHeader(
        kind="JPEG",
        width=width,
        height=height,
        channels=channels,
        bits=bits,
        grey=channels == 1,
        alpha=False,
        orientation=orientation,
    )


def _tiff(content: bytes, where: str) -> RasterHeader:
    tags, following = tiff_tags(content)
    pages = 1
    seen: set[int] = set()
    while following and following not in seen and len(seen) < 1000:
        seen.add(following)
        more, following = tiff_tags(content, following)
        pages += not more.get(254, (0,))[0] & 5  # a smaller copy and a mask are no pages of their own
    if pages > 1:
        raise DataError(
            f"a TIFF of {pages} pages; one picture a file is read",
            where=where,
            remedy="Split the pages into files, or store them as a .npy stack or NIfTI volume.",
        )
    width, height = tags[256][0], tags[257][0]
    for offsets, counts in ((273, 279), (324, 325)):
        ends = [start + length for start, length in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)]
        if ends and max(ends) > len(content):
            raise damaged("a TIFF that is cut short: its data are missing", where)
    palette = tags.get(262, (1,))[0] == 3
    channels = tags.get(277, (1,))[0]
    return RasterHeader(
        kind="TIFF",
        width=width,
        height=height,
        channels=3 if palette else channels,
        bits=max(tags.get(258, (1,))),
        grey=channels <= 2 and not palette,
        alpha=channels in (2, 4) and 338 in tags,
        orientation=tags.get(274, (1,))[0],
    )


def tiff_tags(content: bytes, place: int | None = None) -> tuple[dict[int, tuple[int, ...]], int]:
    """Return the whole-number tags of one page of a TIFF or of EXIF data, and where the next page begins (0: none)."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    offset, counter, entry_size = ("Q", "Q", 20) if big else ("I", "H", 12)
    if place is None:
        (place,) = struct.unpack_from(order + offset, content, 8 if big else 4)
    (entries,) = struct.unpack_from(order + counter, content, place)
    if entries > MOST_TIFF_ENTRIES:
        raise ValueError("too many entries")
    place += struct.calcsize(order + counter)
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(place, place + entries * entry_size, entry_size):
        tag, kind, count = struct.unpack_from(order + "HH" + offset, content, entry)
        letter = TIFF_TYPES.get(kind)
        if letter is None or letter == "c":
            continue
        size = struct.calcsize(letter) * count
        start = entry + entry_size - struct.calcsize(offset)
        if size > struct.calcsize(offset):
            (start,) = struct.unpack_from(order + offset, content, start)
        if start + size > len(content):
            continue
        tags[tag] = struct.unpack_from(f"{order}{count}{letter}", content, start)
    end = place + entries * entry_size
    following = 0
    if end + struct.calcsize(offset) <= len(content):
        (following,) = struct.unpack_from(order + offset, content, end)
    return {tag: numbers for tag, numbers in tags.items() if numbers}, following


def without_orientation(content: bytes) -> bytes:
    """Return a TIFF whose first page is marked as upright, its pixels unchanged."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    offset, counter, entry_size = ("Q", "Q", 20) if big else ("I", "H", 12)
    (place,) = struct.unpack_from(order + offset, content, 8 if big else 4)
    (entries,) = struct.unpack_from(order + counter, content, place)
    place += struct.calcsize(order + counter)
    for entry in range(place, place + entries * entry_size, entry_size):
        tag, kind = struct.unpack_from(order + "HH", content, entry)
        if tag == 274 and kind in (3, 4):
            value = entry + entry_size - struct.calcsize(offset)
            upright = struct.pack(order + TIFF_TYPES[kind], 1)
            return content[:value] + upright + content[value + len(upright) :]
    return content


def _exif_orientation(exif: bytes) -> int:
    """Return the orientation, or upright where the EXIF part cannot be read: pictures do not depend on it otherwise."""
    try:
        return tiff_tags(exif)[0].get(274, (1,))[0]
    except (struct.error, LookupError, ValueError):
        return 1
