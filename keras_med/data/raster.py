"""PNG, JPEG and TIFF files to arrays of the stored values, upright and in RGB order.

8 and 16 bits, one or three channels. Palettes become colours. Alpha is dropped and not composited: the colours below it
are what the scanner or exporter wrote, and a background colour would be an invention. Header and completeness are
checked before OpenCV allocates or decodes anything.
"""

import cv2
import numpy as np

from keras_med.data.memory import File
from keras_med.data.raster_headers import RasterHeader, damaged, read_header, without_orientation
from keras_med.data.values import LARGEST_BYTES, Picture, check_size
from keras_med.errors import DataError

LOGGING = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, OpenCV 5
MOST_PIXELS_PER_BYTE = 9000  # a PNG of one colour and one bit reaches 8,256; no honest file reaches more


def read(path: File) -> Picture:
    """Read a picture as stored, (height, width, 1 or 3), uint8 or uint16 (float32 from a floating-point TIFF)."""
    content = read_bytes(path)
    header = read_header(content, where=path.name)
    check_size((header.height, header.width, header.channels), where=path.name)
    if header.width * header.height > MOST_PIXELS_PER_BYTE * len(content):
        claim = f"{header.width} x {header.height} pixels"
        raise damaged(f"{len(content):,} bytes cannot hold the {claim} that its header claims", path.name)
    array = _colours(_decode(content, header, path.name), header, path.name)
    notes = []
    if header.kind == "JPEG" and _ends_grey(array):
        notes.append("the last rows are plain mid-grey: the JPEG data may end early")
    if header.orientation in range(2, 9):
        notes.append("turned upright")
    return Picture(array=_upright(array, header.orientation), bits=header.bits, notes=tuple(notes))


def read_bytes(path: File) -> bytes:
    """Read a whole file, refusing what is no file, not readable or larger than any picture that would be accepted."""
    try:
        if path.is_file() and path.stat().st_size > LARGEST_BYTES:
            raise DataError(
                f"{path.stat().st_size / 1024**3:.1f} GiB is more than one picture may have",
                where=path.name,
                remedy="Cut the file into smaller pictures.",
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot be read: {error.strerror or type(error).__name__}",
            where=path.name,
            remedy="Check that the file is there and that you may read it.",
        ) from None


def _decode(content: bytes, header: RasterHeader, where: str) -> np.ndarray:
    level = LOGGING.getLogLevel()
    LOGGING.setLogLevel(0)  # silent: the error says it, not each worker's screen
    if header.kind == "TIFF":
        content = without_orientation(content)  # OpenCV turns some kinds of TIFF by itself, and not others
    try:
        array = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        raise damaged(f"a {header.kind} that cannot be decoded", where) from error
    finally:
        LOGGING.setLogLevel(level)
    if array is None:
        raise damaged(f"a {header.kind} that cannot be decoded", where)
    if array.shape[:2] != (header.height, header.width):
        raise damaged(f"a {header.kind} whose data have another size than its header says", where)
    if array.dtype not in (np.uint8, np.uint16, np.float32):
        raise DataError(
            f"a {header.kind} of {array.dtype} values",
            where=where,
            remedy="Convert it to 8 or 16 bits without sign, or to 32-bit floating point.",
        )
    return array[:, :, None] if array.ndim == 2 else array


def _colours(array: np.ndarray, header: RasterHeader, where: str) -> np.ndarray:
    """Turn OpenCV's blue-green-red(-alpha) into one grey or three colour channels."""
    if array.shape[2] == 4 and header.kind == "TIFF" and array[:, :, 3].min() < np.iinfo(array.dtype).max:
        raise DataError(
            "a TIFF with transparent parts, whose colours cannot be read exactly",
            where=where,
            remedy="Save it without the alpha channel, or as PNG.",
        )
    if header.grey or array.shape[2] < 3:
        return array[:, :, :1]
    return array[:, :, 2::-1]


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the eight orientations of the EXIF and TIFF tag 274."""
    if orientation in (5, 6, 7, 8):
        array = array.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def _ends_grey(array: np.ndarray) -> bool:
    return bool((array[-8:] == 128).all()) and not bool((array == 128).all())
