"""What the compressed frames of DICOM files claim, read from their code streams before a decoder believes it."""

import re
import struct

from keras_med.data.raster_headers import MARKER

_FRAME = re.compile(rb"\xff([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xf7])..(.)(..)(..)(.)", re.DOTALL)
_PARTS = frozenset((0xDB, 0xFE, *range(0xE0, 0xF0)))  # quantisation tables, comments and those of applications
_BASELINE, _LOSSLESS = (0xC0, 0xC1), 0xC3


def claimed_size(content: bytes) -> tuple[int, int, int] | None:
    """Return rows, columns and components as a JPEG, JPEG-LS or JPEG 2000 code stream states them, if it is one."""
    start = content.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start >= 0 and len(content) >= start + 42:
        right, bottom, left, top = struct.unpack_from(">IIII", content, start + 8)
        return bottom - top, right - left, struct.unpack_from(">H", content, start + 40)[0]
    if content[:2] == b"\xff\xd8":
        found = _FRAME.search(content, 2)
        if found is not None:
            rows, columns = (int.from_bytes(found[group], "big") for group in (3, 4))
            return rows, columns, found[5][0]
    return None


def is_sound_jpeg(content: bytes, size: tuple[int, int, int], bits: int) -> bool:
    """Say whether a JPEG stream is well-formed headers, one scan of that size, and the end.

    GDCM ends the whole process on some streams that are not (seen with parts out of order, with a second scan within
    the data, and with a damaged precision), so what it alone can decode is asked this first.

    Args:
        size: rows, columns and components as the file's header says.
        bits: allocated for one value.
    """
    place, kind = 2, 0
    while content[:2] == b"\xff\xd8" and content[place : place + 1] == b"\xff" and place + 4 < len(content):
        marker = content[place + 1]
        length = int.from_bytes(content[place + 2 : place + 4], "big")
        part = content[place + 4 : place + 2 + length]
        place += 2 + length
        if marker == 0xDA:
            end = MARKER.search(content, place)
            whole = end is not None and content[end.end() - 1] == 0xD9
            return whole and _is_sound_scan(part, size[2], lossless=kind == _LOSSLESS)
        if marker in (*_BASELINE, _LOSSLESS):
            sound = not kind and _is_sound_frame(part, size, bits, lossless=marker == _LOSSLESS)
            kind = marker
        elif marker == 0xC4:
            sound = _are_sound_tables(part)
        elif marker == 0xDD:
            sound = len(part) == 2 and int.from_bytes(part, "big") % size[1] == 0
        else:
            sound = marker in _PARTS
        if not sound:
            return False
    return False


def is_whole_jpeg_ls(content: bytes, size: tuple[int, int, int]) -> bool:
    """Say whether a JPEG-LS stream begins with a frame of that size and has its end.

    CharLS was seen to look for the end of a small cut picture for five seconds.
    """
    place = 2
    while content[:2] == b"\xff\xd8" and content[place : place + 1] == b"\xff" and place + 11 < len(content):
        if content[place + 1] == 0xF7:
            claimed = struct.unpack_from(">HHB", content, place + 5)
            return claimed == size and content.rstrip(b"\0").endswith(b"\xff\xd9")
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return False


def _is_sound_frame(part: bytes, size: tuple[int, int, int], bits: int, *, lossless: bool) -> bool:
    if len(part) < 6 or len(part) != 6 + 3 * part[5]:
        return False
    precision, *claimed = struct.unpack_from(">BHHB", part)
    if tuple(claimed) != size or not 2 <= precision <= bits:
        return False
    factors = part[7::3]
    return all(factor == 0x11 if lossless else factor in (0x11, 0x12, 0x21, 0x22) for factor in factors)


def _is_sound_scan(part: bytes, components: int, *, lossless: bool) -> bool:
    if not part or part[0] != components or len(part) != 4 + 2 * components:
        return False
    first, last, shift = part[-3:]
    return (1 <= first <= 7 and last == 0 and shift == 0) if lossless else (first, last, shift) == (0, 63, 0)


def _are_sound_tables(part: bytes) -> bool:
    """Check Huffman tables: their place, their number of codes, and that the codes fit their lengths."""
    while part:
        counts = part[1:17]
        total = sum(counts)
        fits = sum(count << (15 - length) for length, count in enumerate(counts)) <= 1 << 16
        if len(counts) < 16 or part[0] & 0xEC or total > 256 or len(part) < 17 + total or not fits:
            return False
        part = part[17 + total :]
    return True
