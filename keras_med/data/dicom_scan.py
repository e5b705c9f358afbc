"""The first bytes of a plain DICOM file to its allowed tags and the place of its pixels, by a strict parser.

It reads explicit and implicit VR little endian up to the pixels, several times as quick as pydicom's `specific_tags`
(benchmarks/dicom_headers.py). Whatever it does not expect (big endian, deflated, tags out of order, texts beyond ASCII,
a missing preamble) is left to pydicom, so the two must agree where it answers, and are tested to.

No tag that is not listed here is ever read.
"""

import re
import struct
from dataclasses import dataclass
from typing import IO

# keyword -> tag and how its value is written. `PatientID` and the UIDs are for `index` alone, which hashes them.
ALLOWED: dict[str, tuple[int, str]] = {
    "TransferSyntaxUID": (0x00020010, "UI"),
    "ImageType": (0x00080008, "CS"),
    "SOPClassUID": (0x00080016, "UI"),
    "SOPInstanceUID": (0x00080018, "UI"),
    "Modality": (0x00080060, "CS"),
    "PatientID": (0x00100020, "LO"),
    "PatientSex": (0x00100040, "CS"),
    "PatientAge": (0x00101010, "AS"),
    "BodyPartExamined": (0x00180015, "CS"),
    "SliceThickness": (0x00180050, "DS"),
    "SpacingBetweenSlices": (0x00180088, "DS"),
    "ImagerPixelSpacing": (0x00181164, "DS"),
    "ViewPosition": (0x00185101, "CS"),
    "StudyInstanceUID": (0x0020000D, "UI"),
    "SeriesInstanceUID": (0x0020000E, "UI"),
    "SeriesNumber": (0x00200011, "IS"),
    "InstanceNumber": (0x00200013, "IS"),
    "ImagePositionPatient": (0x00200032, "DS"),
    "ImageOrientationPatient": (0x00200037, "DS"),
    "SamplesPerPixel": (0x00280002, "US"),
    "PhotometricInterpretation": (0x00280004, "CS"),
    "PlanarConfiguration": (0x00280006, "US"),
    "NumberOfFrames": (0x00280008, "IS"),
    "Rows": (0x00280010, "US"),
    "Columns": (0x00280011, "US"),
    "PixelSpacing": (0x00280030, "DS"),
    "BitsAllocated": (0x00280100, "US"),
    "BitsStored": (0x00280101, "US"),
    "HighBit": (0x00280102, "US"),
    "PixelRepresentation": (0x00280103, "US"),
    "PixelPaddingValue": (0x00280120, "US or SS"),
    "PixelPaddingRangeLimit": (0x00280121, "US or SS"),
    "BurnedInAnnotation": (0x00280301, "CS"),
    "WindowCenter": (0x00281050, "DS"),
    "WindowWidth": (0x00281051, "DS"),
    "RescaleIntercept": (0x00281052, "DS"),
    "RescaleSlope": (0x00281053, "DS"),
    "VOILUTFunction": (0x00281056, "CS"),
}
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
FIRST_BYTES, MOST_BYTES = 8192, 4 * 1024**2  # a plain header is smaller; what is larger goes to pydicom
PIXELS, DEEPEST = 0x7FE00010, 16

# A damaged length lets a value run on into the next element, which may be the patient's name: such a value is none.
SOUND = {
    "CS": re.compile(r"[A-Za-z0-9_ .+/-]{1,16}"),
    "AS": re.compile(r"[0-9]{3}[DWMY]"),
    "UI": re.compile(r"[A-Za-z0-9._-]{1,64}"),  # public sets have UIDs with letters
    "LO": re.compile(r"[^\x00-\x1f\x7f]{1,64}"),
}
_NAMES = {tag: (keyword, kind) for keyword, (tag, kind) in ALLOWED.items()}
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_TABLES = frozenset((0x00283000, 0x00283010, 0x00281101, 0x00281221, 0x52009229, 0x52009230))
_ASCII_SETS = frozenset((b"", b"ISO_IR 6", b"ISO_IR 100", b"ISO_IR 192"))  # the same as ASCII below 128
_UNDEFINED = 0xFFFFFFFF
_ELEMENT, _LENGTH = struct.Struct("<HH2sH"), struct.Struct("<I")

Plain = str | int | float | tuple["Plain", ...] | None


@dataclass(frozen=True)
class Scan:
    """A plain header: its allowed tags, where the pixels lie, and whether tables or frame groups were passed over."""

    tags: dict[str, Plain]
    offset: int
    length: int
    tables: bool


def scan(file: IO[bytes]) -> Scan | None:
    """Parse a plain header, or return None where pydicom should."""
    content = file.read(FIRST_BYTES)
    if content[128:132] != b"DICM":
        return None
    while True:
        try:
            return _parse(content)
        except EOFError:  # the header goes on beyond what was read
            more = file.read(len(content)) if len(content) < MOST_BYTES else b""
            if not more:
                return None
            content += more
        except (ValueError, struct.error):
            return None


def _parse(content: bytes) -> Scan | None:
    """Walk the elements. ValueError: not plain; EOFError: longer than the content."""
    tags: dict[str, Plain] = {}
    place, syntax = parse_meta(content)
    if syntax in ("", BIG_ENDIAN, DEFLATED):
        raise ValueError("not plain")
    tags["TransferSyntaxUID"] = syntax
    explicit, last, tables = syntax != IMPLICIT, 0, False
    while True:
        tag, kind, length, place = _element(content, place, explicit)
        if tag <= last or tag < 0x00080000:
            raise ValueError("out of order")
        last = tag
        if tag >= PIXELS:
            return Scan(tags, place, length, tables) if tag == PIXELS else None
        tables = tables or tag in _TABLES
        if length == _UNDEFINED:
            place = _end_of_sequence(content, place, explicit and kind != b"UN", 0)
            continue
        end = place + length
        if end > len(content):
            raise EOFError
        if tag in _NAMES:
            keyword, allowed = _NAMES[tag]
            value = _value(content[place:end], kind.decode() if explicit else allowed, allowed, tags)
            if value is not None:
                tags[keyword] = value
        elif tag == 0x00080005 and content[place:end].strip(b" \0") not in _ASCII_SETS:
            raise ValueError("another character set")
        place = end


def _element(content: bytes, place: int, explicit: bool) -> tuple[int, bytes, int, int]:
    """Return tag, VR, length and where the value begins."""
    if place + 12 > len(content):
        raise EOFError
    group, element, kind, length = _ELEMENT.unpack_from(content, place)
    if not explicit or group == 0xFFFE:
        return group << 16 | element, b"", _LENGTH.unpack_from(content, place + 4)[0], place + 8
    if kind in _SHORT:
        return group << 16 | element, kind, length, place + 8
    if kind in _LONG:
        return group << 16 | element, kind, _LENGTH.unpack_from(content, place + 8)[0], place + 12
    raise ValueError("no such VR")


def _end_of_sequence(content: bytes, place: int, explicit: bool, depth: int) -> int:
    """Step over the items of a sequence of undefined length; nothing in them is looked at."""
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    while True:
        tag, _, length, place = _element(content, place, explicit)
        if tag == 0xFFFEE0DD:
            return place
        if tag != 0xFFFEE000:
            raise ValueError("not an item")
        if length != _UNDEFINED:
            place += length
            continue
        while True:
            tag, kind, length, place = _element(content, place, explicit)
            if tag == 0xFFFEE00D:
                break
            if length == _UNDEFINED:
                place = _end_of_sequence(content, place, explicit and kind != b"UN", depth + 1)
            else:
                place += length


def parse_meta(content: bytes) -> tuple[int, str]:
    """Return where the data set begins, and its transfer syntax."""
    place, syntax = 132, ""
    while place + 12 <= len(content):
        group, element, kind, length = _ELEMENT.unpack_from(content, place)
        if group != 2:
            return place, syntax
        place += 8
        if kind in _LONG:
            (length,) = _LENGTH.unpack_from(content, place)
            place += 4
        elif kind not in _SHORT:
            raise ValueError("no such VR")
        if element == 0x10:
            syntax = content[place : place + length].rstrip(b" \0").decode("ascii")
        place += length
    raise EOFError


def _value(content: bytes, kind: str, allowed: str, tags: dict[str, Plain]) -> Plain:
    """Convert as pydicom does: the same value, or a ValueError that sends the file there."""
    if allowed == "US or SS":
        allowed = kind if kind in ("US", "SS") else "SS" if tags.get("PixelRepresentation") == 1 else "US"
    elif kind != allowed:
        raise ValueError("another VR than the standard says")
    if not content:
        return None
    if allowed in ("US", "SS"):
        if len(content) != 2:
            raise ValueError("several numbers")
        return int.from_bytes(content, "little", signed=allowed == "SS")
    if not content.isascii() or b"\x1b" in content:
        raise ValueError("beyond ASCII")
    return _text(content.decode("ascii"), allowed)


def _text(text: str, kind: str) -> Plain:
    parts = text.rstrip(" \0").split("\\")
    if kind in ("DS", "IS"):
        number = float if kind == "DS" else int
        values: list[Plain] = [number(part) if part.strip() else None for part in parts]
    else:
        values = [part.strip(" \0") or None for part in parts]
        if not all(part is None or SOUND[kind].fullmatch(str(part)) for part in values):
            raise ValueError("not a sound value")
    return values[0] if len(values) == 1 else tuple(values)
