"""An image to a changed one, by (seed, epoch, id) alone: never by order, worker or where a fit resumed.

Flips, then one warp for turning, shifting and zooming (interpolated once, so it blurs once), then the greys. What
comes in from outside the picture is 0, black. Volumes are turned, shifted and zoomed in the plane, all slices alike:
their slices lie further apart than their pixels.
"""

import hashlib

import cv2
import numpy as np

from keras_med.errors import RecipeError
from keras_med.recipe.words import Augment

_AXES = {"vertical": 0, "horizontal": 1, "depth": 2}  # of an image; channels come last
_WHITE = 255.0


def check(changes: Augment, shape: tuple[int, ...]) -> None:
    """Refuse changes that inputs of this shape cannot have."""
    if "depth" in _flips(changes) and len(shape) < 4:
        what = f"augment.flip names depth; pictures of {shape[0]} x {shape[1]} have none"
        raise RecipeError(what, remedy="Leave depth out, or give image.size three lengths.")


def check_views(views: int | None, changes: Augment | None) -> None:
    """Refuse views of images that nothing changes."""
    if views and changes is None:
        what = f"train.views={views} keeps the features of changed images; this recipe changes none."
        raise RecipeError(what, remedy="Give the recipe an augment=, or --set train.views=none")


def view_of(seed: int, epoch: int, name: str, views: int) -> int:
    """Draw which of its kept views an example shows in an epoch."""
    return int(_generator(seed, epoch, name).integers(views))


def augment(image: np.ndarray, changes: Augment, seed: int, epoch: int, name: str) -> np.ndarray:
    """Return a changed copy of a float32 image, (height, width, channels) or with depth before them, 0 to 255.

    Args:
        epoch: of the training; each has changes of its own.
        name: the example's id.
    """
    generator = _generator(seed, epoch, name)
    # All are drawn, whatever is on, so that turning one change on leaves the others as they were.
    coins = generator.uniform(size=len(_AXES))
    turn, down, right, size, light, contrast, gamma = generator.uniform(-1, 1, size=7)
    noise = generator.uniform() * changes.noise * _WHITE
    wanted = _flips(changes)
    drawn = zip(coins, _AXES.items(), strict=True)
    changed = np.flip(image, tuple(axis for coin, (flip, axis) in drawn if flip in wanted and coin < 0.5))
    if changes.rotate or changes.shift or changes.zoom:
        shift = (down * changes.shift, right * changes.shift)
        changed = warped(changed, turn * changes.rotate, shift, (1 + changes.zoom) ** size)
    if changes.gamma or changes.contrast or changes.brightness:
        bend, factor = (1 + changes.gamma) ** gamma, (1 + changes.contrast) ** contrast
        changed = shaded(changed, bend, factor, light * changes.brightness)
    if noise:
        grain = generator.standard_normal(image.shape, dtype=np.float32)
        changed = np.clip(changed + np.float32(noise) * grain, 0, _WHITE)
    return np.array(changed, np.float32, order="C")  # a copy, even where nothing changed


def warped(image: np.ndarray, degrees: float, shift: tuple[float, float], zoom: float) -> np.ndarray:
    """Turn counterclockwise about the centre, enlarge by `zoom`, then shift down and right by shares of the size."""
    height, width = image.shape[:2]
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    turn = np.round(turn, 12)  # the cosine of 90 degrees is 6e-17, and a quarter turn shall move whole pixels
    centre = np.array([width - 1, height - 1]) / 2
    start = centre - turn @ (centre + np.array([shift[1] * width, shift[0] * height]))
    matrix = np.column_stack([turn, start])  # from a place (x, y) in the result to where its value comes from
    planes = np.ascontiguousarray(np.moveaxis(image.reshape(height, width, -1), 2, 0))  # the depth and the channels
    moved = np.empty_like(planes)
    for plane, result in zip(planes, moved, strict=True):  # of 2 or more than 4 OpenCV 5.0 rounds places to 1/32 pixel
        cv2.warpAffine(plane, matrix, (width, height), dst=result, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.moveaxis(moved, 0, 2).reshape(image.shape)


def shaded(image: np.ndarray, gamma: float, contrast: float, brightness: float) -> np.ndarray:
    """Bend the grey scale, stretch it about the image's mean and shift it, then cut what left 0 to 255."""
    bent = _WHITE * (image / np.float32(_WHITE)) ** np.float32(gamma)
    mean = bent.mean(dtype=np.float64)
    stretched = np.float32(contrast) * (bent - np.float32(mean)) + np.float32(mean + brightness * _WHITE)
    return np.clip(stretched, 0, _WHITE)


def _flips(changes: Augment) -> tuple[str, ...]:
    return (changes.flip,) if isinstance(changes.flip, str) else changes.flip


def _generator(seed: int, epoch: int, name: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed} {epoch} {name}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
