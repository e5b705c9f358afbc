"""Perceptual hashes to the pairs of images that may show the same picture, in less than quadratic time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keras_med.data.hashes import turned_hashes

RADIUS = 12  # bits of 64


def propose(hashes: NDArray[np.uint64], radius: int = RADIUS) -> Iterator[NDArray[np.int32]]:
    """Yield (first, second, turn) of the pairs at most `radius` bits apart, about a million rows at a time.

    `second` shows `first` after `turned(second, turn)`; each pair and turn comes once, with first < second.

    The frequencies of a hash fall into four blocks of 16 bits by parity, and a flip leaves a block as it is or
    inverts it. Two hashes 12 bits apart under any flip are, by the pigeonhole principle, within 3 bits in the first
    block or within 2 in another, so only images whose blocks are that alike are compared: 2 % of all pairs if bits
    were independent. The comparison covers all four flips at once, and once more with the second image transposed.
    """
    if len(hashes) < 2:
        return
    limits = _limits(radius)
    held: list[NDArray[np.int32]] = []
    for transposed in (0, 4):
        others = turned_hashes(hashes)[transposed]
        compare = _Comparison(hashes, others, radius)
        for which in range(4):
            halved = not transposed or which in (0, 3)  # else the pair the other way round is in another block
            keys, steps = _block(hashes, which), _steps(which, limits[which])
            order = np.argsort(keys, kind="stable").astype(np.int32)
            rank = np.argsort(order).astype(np.int32) if halved else np.arange(len(order), dtype=np.int32)
            for first, second in _alike(keys, order, _block(others, which), steps, halved):
                for found in compare(first, second, rank, limits[:which]):
                    held.append(_ordered(found, transposed))
                if len(held) > 5_000 or sum(len(found) for found in held[-20:]) > 200_000:
                    yield np.concatenate(held)
                    held = []
    if held:
        yield np.concatenate(held)


def _alike(
    keys: NDArray[np.uint16],
    order: NDArray[np.int32],
    others: NDArray[np.uint16],
    steps: NDArray[np.uint16],
    halved: bool,
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Yield the places in `keys` of one value after the other, with the places in `others` one of `steps` away.

    Halved, each pair comes one way round only, that with the smaller key first (or both, where the keys are equal).
    """
    by_other = np.argsort(others, kind="stable").astype(np.int32)
    present = np.bincount(others, minlength=1 << 16)
    before = np.cumsum(present) - present
    own_key = np.zeros(1 << 16, np.uint16)
    own_key[others] = keys
    values, starts = np.unique(keys[order], return_index=True)
    for value, places in zip(values, np.split(order, starts[1:]), strict=True):
        wanted = value ^ steps
        wanted = wanted[own_key[wanted] >= value] if halved else wanted
        counts = present[wanted]
        total = int(counts.sum())
        if total:
            offsets = before[wanted] - np.cumsum(counts) + counts
            yield places, by_other[np.arange(total) + np.repeat(offsets, counts)]


def _ordered(found: NDArray[np.int32], transposed: int) -> NDArray[np.int32]:
    """Put the smaller place first; a turn with a transpose is undone by the one with its two flips exchanged."""
    first, second, flip = found.T
    inverse = np.array([0, 2, 1, 3], np.int32)[flip] if transposed else flip
    turn = np.where(first < second, flip, inverse) + np.int32(transposed)
    return np.stack([np.minimum(first, second), np.maximum(first, second), turn], axis=1)


_ODD_DOWN, _ODD_ALONG = 0xFF00FF00FF00FF00, 0xAAAAAAAAAAAAAAAA  # frequencies 1, 3, 5, 7 down, and along
_ALL = 0xFFFFFFFFFFFFFFFF
_BLOCKS = (
    _ALL ^ (_ODD_DOWN | _ODD_ALONG),  # even in both: no flip changes these
    _ODD_DOWN & ~_ODD_ALONG & _ALL,
    _ODD_ALONG & ~_ODD_DOWN & _ALL,
    _ODD_DOWN & _ODD_ALONG,
)
_FLIPS = np.array([0, _ODD_ALONG, _ODD_DOWN, _ODD_DOWN ^ _ODD_ALONG], np.uint64)


def _block(hashes: NDArray[np.uint64], which: int) -> NDArray[np.uint16]:
    """Gather the 16 bits of one parity block."""
    bits = np.unpackbits(hashes.astype(">u8").view(np.uint8)).reshape(-1, 64)
    mask = np.unpackbits(np.array([_BLOCKS[which]], ">u8").view(np.uint8)).astype(bool)
    packed = np.ascontiguousarray(np.packbits(bits[:, mask], axis=1))
    return packed.view(">u2")[:, 0].astype(np.uint16)


def _limits(radius: int) -> tuple[int, ...]:
    """Share the radius out: pairs beyond every block's limit differ by more than `radius` bits in all."""
    spare = radius - 3
    return tuple(spare // 4 + (which < spare % 4) for which in range(4))


def _steps(which: int, limit: int) -> NDArray[np.uint16]:
    values = np.arange(1 << 16, dtype=np.uint16)
    ones = np.bitwise_count(values)
    return values[(ones <= limit) | ((ones >= 16 - limit) & (which > 0))]


class _Comparison:
    """Compares some hashes with some others, in memory that is taken once: fresh pages cost more than counting."""

    def __init__(self, hashes: NDArray[np.uint64], others: NDArray[np.uint64], radius: int) -> None:
        self._hashes, self._others, self._radius = hashes, others, radius
        self._bits, self._flipped = np.empty((2, 1 << 15), np.uint64)
        self._nearest, self._count = np.empty((2, 1 << 15), np.uint8)

    def __call__(
        self, first: NDArray[np.int32], second: NDArray[np.int32], rank: NDArray[np.int32], earlier: tuple[int, ...]
    ) -> Iterator[NDArray[np.int32]]:
        """Yield (first, second, flip) within the radius, in order of rank, without what earlier blocks proposed."""
        size = len(self._bits)
        for right in np.split(second, range(size, len(second), size)):
            rows = size // len(right)
            for left in np.split(first, range(rows, len(first), rows)):
                found = self._near(left, right, rank, earlier)
                if len(found):
                    yield found

    def _near(
        self, first: NDArray[np.int32], second: NDArray[np.int32], rank: NDArray[np.int32], earlier: tuple[int, ...]
    ) -> NDArray[np.int32]:
        size = len(first) * len(second)
        bits, flipped, nearest, count = (a[:size] for a in (self._bits, self._flipped, self._nearest, self._count))
        shape = (len(first), len(second))
        np.bitwise_xor(self._hashes[first][:, None], self._others[second][None], out=bits.reshape(shape))
        np.bitwise_count(bits, out=nearest)
        for flip in _FLIPS[1:]:
            np.bitwise_count(np.bitwise_xor(bits, flip, out=flipped), out=count)
            np.minimum(nearest, count, out=nearest)
        place = np.flatnonzero(nearest <= self._radius)
        if len(place):
            place = place[rank[first[place // len(second)]] < rank[second[place % len(second)]]]
        near = bits[place]
        for which, limit in enumerate(earlier):
            ones = np.bitwise_count(near & np.uint64(_BLOCKS[which]))
            fresh = (ones > limit) & ((ones < 16 - limit) | (which == 0))
            place, near = place[fresh], near[fresh]
        pair, turn = np.nonzero(np.bitwise_count(near[:, None] ^ _FLIPS) <= self._radius)
        row, column = np.divmod(place[pair], len(second))
        return np.stack([first[row], second[column], turn.astype(np.int32)], axis=1)
