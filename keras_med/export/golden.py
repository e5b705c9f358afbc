"""A seed to golden images: varied, whole grey levels of 0-255, the same on every machine, and never a patient's.

Everything is made of PCG64's raw numbers, whose stream NumPy guarantees (that of `Generator.random` it does not), and
of single additions, multiplications and divisions, which IEEE 754 rounds alike everywhere; sines and sums do not.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

Size = tuple[int, ...]
Answer = Callable[[np.ndarray], np.ndarray]  # float32 pixels to one output of a model
OUTPUTS = ("logits", "serve", "members")  # what every format answers
RECORDED = {"logits": "outputs", "serve": "served", "members": "members"}  # where keras_med.json has the answers
TOLERANCE = 1e-4  # |a - b| <= TOLERANCE * max(1, |a|)
STEADY = 0.2  # of the tolerance
COUNT = 64
_FEWEST = 14  # two batches of 7
_VALUES = 2**24  # golden images hold about so many values together, or volumes would take minutes to check


class Dice:
    """Numbers from a seed and an index, the same on every machine."""

    def __init__(self, seed: int, index: int) -> None:
        self._source = np.random.PCG64(np.random.SeedSequence([seed, index]))

    def shares(self, *size: int) -> np.ndarray:
        """Return numbers from 0 to below 1."""
        raw = self._source.random_raw(math.prod(size))
        return (np.right_shift(raw, 11) * 2.0**-53).reshape(size)

    def between(self, low: float, high: float) -> float:
        """Return a number from low to below high."""
        return low + (high - low) * float(self.shares(1)[0])

    def one_of(self, choices: Sequence[int]) -> int:
        """Return one of the choices."""
        return choices[int(self.between(0, len(choices)))]


def answered(recorded: Mapping[str, Any]) -> list[str]:
    """Name what an export answers: a network without last activation has no logits, and a single one no members."""
    left_out = set() if recorded["before_activation"] else {"logits"}
    return [name for name in OUTPUTS if RECORDED[name] in recorded and name not in left_out]


def count_for(shape: Size) -> int:
    """Return how many golden images of this shape can be checked in reasonable time: 64 pictures, fewer volumes."""
    return max(_FEWEST, min(COUNT, _VALUES // math.prod(shape)))


def images(seed: int, indices: Sequence[int], shape: Size) -> np.ndarray:
    """Return the golden images with these indices: (count, *shape), uint8, channels last."""
    made = np.empty((len(indices), *shape), np.uint8)
    for place, index in enumerate(indices):
        made[place] = _image(Dice(seed, index), index, shape)
    return made


def fingerprint(made: np.ndarray) -> str:
    """Return the SHA-256 of golden images, by which another machine sees that it made the same ones."""
    return hashlib.sha256(np.ascontiguousarray(made).tobytes()).hexdigest()


def share_of_tolerance(recorded: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return |a - b| / max(1, |a|) as a share of the tolerance; above 1 is a mismatch."""
    return np.abs(found - recorded) / (TOLERANCE * np.maximum(1, np.abs(recorded)))


def mean_change(recorded: np.ndarray, found: np.ndarray) -> float:
    """Return the mean |a - b| of the output column where it is largest.

    Args:
        found: (images, outputs), or several such passes.
    """
    apart = np.abs(found - recorded)
    return float(apart.mean(axis=tuple(range(apart.ndim - 1))).max())


def trembling(made: np.ndarray) -> np.ndarray:
    """Return golden images as float32, every value a millionth brighter or darker, about what rounding does inside."""
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), made.shape)
    return made * (1 + np.float32(1e-6) * signs)


def choose(outputs: np.ndarray, unsteadiness: np.ndarray, count: int) -> list[int]:
    """Return the indices of the outputs that span the most, among those that are steady.

    The extremes of each output column come first, then always the row farthest from all rows chosen so far.

    Args:
        unsteadiness: share of the tolerance that trembling changes; correct engines were seen to differ by three times
            as much. A random EfficientNetB2 made one image -830 years old, 0.06 away from its float64 answer and 0.4
            from ONNX Runtime's. Above STEADY an image is taken only if others are too few, the steadiest first.
    """
    limit = max(STEADY, np.sort(unsteadiness)[min(count, len(outputs)) - 1])
    steady = np.flatnonzero(unsteadiness <= limit)
    kept = outputs[steady]
    chosen = list(dict.fromkeys(int(row) for row in (*kept.argmin(axis=0), *kept.argmax(axis=0))))[:count]
    distance = np.min([_distance(kept, row) for row in chosen], axis=0)
    while len(chosen) < min(count, len(kept)):
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, _distance(kept, chosen[-1]))
    return sorted(int(steady[row]) for row in chosen)


def span(outputs: np.ndarray) -> float:
    """Return the widest range that any output column covers."""
    return float(np.max(outputs.max(axis=0) - outputs.min(axis=0)))


def _distance(outputs: np.ndarray, row: int) -> np.ndarray:
    return np.max(np.abs(outputs - outputs[row]), axis=1)


def _image(dice: Dice, index: int, shape: Size) -> np.ndarray:
    """Return one image: a pattern of the index's kind between two grey levels, its channels alike, scaled or apart."""
    size, channels = shape[:-1], shape[-1]
    pattern = _PATTERNS[index % len(_PATTERNS)]
    relation = dice.one_of((0, 1, 2)) if channels > 1 else 0
    first = pattern(dice, size)
    planes = []
    low, high = _greys(dice)
    for channel in range(channels):
        if channel and relation == 2:
            first = pattern(dice, size)
        if channel and relation:
            low, high = _greys(dice)
        planes.append(np.floor(low + (high - low) * first + 0.5))
    return np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)


def _greys(dice: Dice) -> tuple[float, float]:
    """Return two grey levels: the whole range, a narrow one, or any two, falling as often as rising."""
    kind = dice.one_of((0, 1, 2))
    low, high = dice.between(0, 255), dice.between(0, 255)
    if kind == 0:
        low, high = 0.0, 255.0
    elif kind == 1:
        high = low + (high - low) * 0.1
    return (low, high) if dice.one_of((0, 1)) else (high, low)


def _axes(size: Size) -> list[np.ndarray]:
    """Return each axis' coordinates from 0 to 1, shaped to be combined."""
    return [
        (np.arange(length) / max(length - 1, 1)).reshape([-1 if axis == place else 1 for place in range(len(size))])
        for axis, length in enumerate(size)
    ]


def _flat(dice: Dice, size: Size) -> np.ndarray:
    return np.full(size, dice.between(0, 1))


def _ramp(dice: Dice, size: Size) -> np.ndarray:
    """Return a gradient in any direction, from 0 to 1."""
    slope = np.zeros(size)
    for axis in _axes(size):
        slope = slope + dice.between(-1, 1) * axis
    low, high = slope.min(), slope.max()
    return (slope - low) / (high - low) if high > low else slope


def _stripes(dice: Dice, size: Size) -> np.ndarray:
    """Return a triangular wave in any direction."""
    wave = _ramp(dice, size) * dice.between(1, 24)
    return np.abs(2 * (wave - np.floor(wave)) - 1)


def _chequer(dice: Dice, size: Size) -> np.ndarray:
    squares = np.zeros(size)
    for axis in _axes(size):
        squares = squares + np.floor(axis * dice.one_of((2, 4, 8, 16, 32)))
    return squares % 2


def _noise(dice: Dice, size: Size, *, fine: bool = False) -> np.ndarray:
    """Return noise with a scale of its own along each axis, which gives it an orientation; fine: single pixels."""
    knots = tuple(length if fine else min(length, dice.one_of((2, 3, 5, 9, 17, 33, 65))) for length in size)
    values = dice.shares(*knots)
    for axis, length in enumerate(size):
        values = _stretch(values, axis, length)
    return values


def _stretch(values: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Interpolate linearly along one axis."""
    knots = values.shape[axis]
    if knots == length:
        return values
    place = np.arange(length) * ((knots - 1) / max(length - 1, 1))
    below = np.minimum(place.astype(int), knots - 2)
    share = (place - below).reshape([-1 if other == axis else 1 for other in range(values.ndim)])
    return np.take(values, below, axis) * (1 - share) + np.take(values, below + 1, axis) * share


def _blobs(dice: Dice, size: Size) -> np.ndarray:
    """Return round bright spots of several sizes on black."""
    light = np.zeros(size)
    for _ in range(dice.one_of((1, 2, 4, 8))):
        radius = dice.between(0.03, 0.4)
        distance = np.zeros(size)
        for axis in _axes(size):
            away = (axis - dice.between(0, 1)) / radius
            distance = distance + away * away
        light = np.maximum(light, 1 / (1 + distance * distance))
    return light


def _body(dice: Dice, size: Size) -> np.ndarray:
    """Return an ellipse with noise inside and nothing around it, roughly as a scan looks."""
    distance = np.zeros(size)
    for axis in _axes(size):
        away = (axis - dice.between(0.35, 0.65)) / dice.between(0.25, 0.6)
        distance = distance + away * away
    return np.where(distance < 1, 0.3 + 0.7 * _noise(dice, size), 0.0)


_PATTERNS: tuple[Callable[[Dice, Size], np.ndarray], ...] = (
    _ramp, _noise, _stripes, _body, _blobs, _chequer, partial(_noise, fine=True), _noise, _body, _flat,
)  # fmt: skip
