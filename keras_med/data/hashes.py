"""One image to what tells it from others: hashes, brightness statistics and a thumbnail."""

import hashlib
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_med.data.resizing import resize

THUMBNAIL = 64  # pixels along a side
_BITS = 8  # the perceptual hash has 8 x 8 bits
_BANDS = 16
_FLIPS = {1: 1, 2: 0, 3: -1}  # the last two bits of a turn, as OpenCV numbers them


def describe(stored: np.ndarray, prepared: np.ndarray) -> tuple[dict[str, str | float], NDArray[np.uint8]]:
    """Return what the audit needs to know of one image: hashes and statistics, and its thumbnail.

    Args:
        stored: the pixels as decoded, before windows and resizing: (H, W), (H, W, C) or (H, W, D, C), any type.
        prepared: the same image on the 0-255 scale, (H, W, C) or (H, W, D, C).

    Returns:
        pixel_hash, flip_hash (equal for images that are flips or quarter turns of each other) and perceptual_hash
        as hex strings; mean, deviation, minimum and maximum of the prepared image. And a grey 64 x 64 picture.
    """
    pixel_hash, flip_hash = _exact_hashes(stored)
    small = shrunk(prepared)
    codes = {"pixel_hash": pixel_hash, "flip_hash": flip_hash, "perceptual_hash": f"{perceptual_hash(small):016x}"}
    return codes | _statistics(prepared), thumbnail(small)


def shrunk(prepared: np.ndarray) -> NDArray[np.float32]:
    """Shrink to 64 x 64 and average the channels; of a volume take the middle slice, or the mean of the two."""
    if prepared.ndim == 4:
        depth = prepared.shape[2]
        prepared = prepared[:, :, (depth - 1) // 2 : depth // 2 + 1].mean(axis=2, dtype=np.float32)
    small = resize(prepared, (THUMBNAIL, THUMBNAIL))
    return small[..., 0] if small.shape[-1] == 1 else small.mean(axis=-1, dtype=np.float32)


def perceptual_hash(small: NDArray[np.float32]) -> int:
    """Return the signs of the 8 x 8 cosine coefficients of frequency 1 to 8 down and across, as 64 bits.

    Signs, and no row or column of frequency zero, for two reasons: the hash of a flipped or turned image is then an
    exact rearrangement of the bits (see `turned_hashes`), and fewer strangers are near each other (of 200 head CT
    slices 0.7 % of the pairs are within 12 bits; the usual hash against the median joins 1.9 %).
    """
    half = cv2.resize(small, (THUMBNAIL // 2, THUMBNAIL // 2), interpolation=cv2.INTER_AREA)
    coefficients = cv2.dct(half)[1 : _BITS + 1, 1 : _BITS + 1]
    return int.from_bytes(np.packbits(coefficients > 0).tobytes(), "big")


def turned_hashes(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return, as (8, examples), the perceptual hashes that the images would have after each of `turned`'s turns."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8)).reshape(-1, _BITS, _BITS)
    odd = np.arange(1, _BITS + 1) % 2  # a flip changes the sign of the odd frequencies: the first, third...
    turns = []
    for transpose in (False, True):
        across = bits.transpose(0, 2, 1) if transpose else bits
        for down in (0, 1):
            for along in (0, 1):
                flipped = across ^ ((down * odd[:, None]) ^ (along * odd[None, :])).astype(np.uint8)
                turns.append(np.packbits(flipped.reshape(-1)).view(">u8").astype(np.uint64))
    return np.stack(turns)


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """Return one of the 8 flips and quarter turns of the first two axes: 0 is the image itself, 1 its mirror."""
    transpose, down, along = turn >> 2 & 1, turn >> 1 & 1, turn & 1
    across = image.swapaxes(0, 1) if transpose else image
    return across[:: -1 if down else 1, :: -1 if along else 1]


def thumbnail(small: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Stretch a shrunk image to 0-255; a constant one becomes zeros."""
    low, high = float(small.min()), float(small.max())
    if high - low < 1e-3:
        return np.zeros(small.shape, np.uint8)
    return np.rint((small - low) * (255 / (high - low))).astype(np.uint8)


def _exact_hashes(stored: np.ndarray) -> tuple[str, str]:
    """Return the hash of the pixels, and that of all their flips and quarter turns.

    SHA-256 of all pixels would take a third of the time that reading a slice takes. It digests instead the sums of each
    row and column, which differ wherever fewer than four pixels do, and the CRC-32 of each of 16 bands.
    """
    planes = _plain(stored)
    digest = hashlib.sha256(f"{planes.dtype.str} {len(planes)}".encode())
    planes = planes.view(f"u{planes.itemsize}")  # whole numbers: sums do not depend on their order
    sums = _sums(planes[0] if len(planes) == 1 else np.add.reduce(planes, axis=0, dtype=planes.dtype))
    turn = _turn_by_sums(sums)
    turn = _turn_by_pixels(planes) if turn is None else turn
    for one in _turned_sums(sums, turn):
        digest.update(one.tobytes())
    for plane in planes:
        digest.update(_checks(_turned_copy(plane, turn)))
    # The turned pixels and how they were reached determine the pixels: one pass over them serves both hashes.
    pixel_hash = hashlib.sha256(digest.digest() + bytes([turn]))
    return pixel_hash.hexdigest()[:32], digest.hexdigest()[:32]


def _sums(image: np.ndarray) -> list[np.ndarray]:
    """Return the sums over each row, column and slice, modulo what the type holds."""
    axes = range(image.ndim)
    return [np.add.reduce(image, axis=tuple({*axes} - {axis}), dtype=image.dtype) for axis in axes]


def _turned_sums(sums: list[np.ndarray], turn: int) -> list[np.ndarray]:
    """Return what `_sums` of the turned image would be."""
    down, along = (sums[1], sums[0]) if turn & 4 else (sums[0], sums[1])
    steps = (-1 if turn & bit else 1 for bit in (2, 1, 8))
    return [one[::step] for one, step in zip([down, along, *sums[2:]], steps, strict=False)]


def _checks(plane: np.ndarray) -> bytes:
    """Return the lengths of a contiguous array and the CRC-32 of each band of it."""
    content = plane.data.cast("B")
    length = -(-len(content) // _BANDS)
    checks = [zlib.crc32(content[start : start + length]) for start in range(0, len(content), length)]
    return np.array([*plane.shape, *checks], np.uint32).tobytes()


def _plain(stored: np.ndarray) -> np.ndarray:
    """Put channels first and undo other ways to store one picture: grey as colour, an opaque alpha, 16 bits as 8."""
    pixels = stored[..., None] if stored.ndim == 2 else stored
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    if len(planes) in (2, 4) and planes.dtype.kind == "u" and planes[-1].min() == np.iinfo(planes.dtype).max:
        planes = planes[:-1]
    planes = planes[:1] if all(np.array_equal(planes[0], plane) for plane in planes[1:]) else planes
    return planes.astype(np.uint16) * np.uint16(257) if planes.dtype == np.uint8 else planes


def _turn_by_sums(sums: list[np.ndarray]) -> int | None:
    """Choose the turn whose sums sort first, so that all turns of an image come out the same; 8 more reverse the depth.

    None where two turns have the same sums.
    """
    forms = []
    for one in sums:
        forward, back = one.tobytes(), one[::-1].tobytes()
        if forward == back:
            return None
        forms.append((len(one), min(forward, back), back < forward))
    (*down, flip_down), (*along, flip_along) = forms[:2]
    if down == along:
        return None
    deep = 8 if any(flip for *_, flip in forms[2:]) else 0
    return deep + (4 + 2 * flip_along + flip_down if along < down else 2 * flip_down + flip_along)


def _turn_by_pixels(planes: np.ndarray) -> int:
    """Choose the turn whose bytes sort first, of symmetric images."""
    views = {turn: np.moveaxis(turned(np.moveaxis(planes, 0, -1), turn), -1, 0) for turn in range(8)}
    if planes.ndim == 4:
        views |= {8 + turn: view[..., ::-1] for turn, view in views.items()}
    shape = min(view.shape for view in views.values())
    turns = [turn for turn, view in views.items() if view.shape == shape]
    if planes.min() == planes.max():  # black slices are many, and all their turns the same
        return turns[0]
    start, rows = 0, 1
    while len(turns) > 1 and start < shape[1]:  # a few rows decide; blocks double for pictures with wide borders
        blocks = {turn: views[turn][:, start : start + rows].tobytes() for turn in turns}
        smallest = min(blocks.values())
        turns = [turn for turn in turns if blocks[turn] == smallest]
        start, rows = start + rows, 2 * rows
    return turns[0]


def _turned_copy(plane: np.ndarray, turn: int) -> np.ndarray:
    """Lay out a turned plane, or slices turned and perhaps reversed, in its new order."""
    if plane.ndim == 3:
        return np.ascontiguousarray(turned(plane, turn)[..., :: -1 if turn & 8 else 1])
    if plane.itemsize > 2:
        return np.ascontiguousarray(turned(plane, turn))
    if turn & 4:  # OpenCV turns in a fifth of NumPy's time
        plane = cv2.transpose(plane)
    return cv2.flip(plane, _FLIPS[turn & 3]) if turn & 3 else plane


def _statistics(prepared: np.ndarray) -> dict[str, str | float]:
    flat = np.ascontiguousarray(prepared).reshape(prepared.shape[0], -1)
    flat = flat if flat.dtype in (np.uint8, np.uint16, np.float32) else flat.astype(np.float32)
    mean, deviation = cv2.meanStdDev(flat)
    ends = {"minimum": float(flat.min()), "maximum": float(flat.max())}
    return {"mean": mean.item(), "deviation": deviation.item(), **ends}
