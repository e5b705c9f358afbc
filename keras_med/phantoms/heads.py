"""A head cut across: where skull and brain are, and a region of brain gathered in one lump or scattered in specks."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_med.phantoms.textures import Image, clouds

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Head:
    """One person's head; lengths are shares of the picture's smaller side."""

    width: float
    length: float
    skull: float
    turn: float  # degrees
    shift: tuple[float, float]
    ventricles: float
    folds: int  # seed of the brain's own pattern, the same in all slices


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One slice of a head: the regions as masks and the brain's own pattern."""

    scalp: Mask
    skull: Mask
    brain: Mask
    ventricles: Mask
    pattern: Image


def random_head(rng: np.random.Generator) -> Head:
    """Draw the measures of a person's head."""
    return Head(
        width=rng.uniform(0.30, 0.36),
        length=rng.uniform(0.38, 0.44),
        skull=rng.uniform(0.022, 0.034),
        turn=rng.uniform(-12.0, 12.0),
        shift=(rng.uniform(-0.03, 0.03), rng.uniform(-0.03, 0.03)),
        ventricles=rng.uniform(0.7, 1.3),
        folds=int(rng.integers(2**31)),
    )


def cut(head: Head, shape: tuple[int, int], *, level: float) -> Cut:
    """Cut a head across at `level`, 0 the middle and 1 near the crown."""
    size = (1.0 - 0.35 * level**2) * min(shape)
    axes = np.array([head.width, head.length]) * size
    bone = head.skull * min(shape)
    ventricles = np.zeros(shape, np.uint8)
    for side in (-1, 1):
        place = _placed(head, shape, np.array([[side * 0.16 * axes[0], -0.05 * axes[1]]]))[0]
        lobe = head.ventricles * np.array([0.09, 0.30]) * axes * (1.0 - 0.6 * level)
        _ellipse(ventricles, place, lobe, head.turn - 12.0 * side)
    skull = _oval(head, shape, axes)
    brain = _oval(head, shape, axes - bone)
    pattern = clouds(np.random.default_rng(head.folds), (shape[0] + 16, shape[1] + 16), cells=11)
    drift = round(8 + 8 * level)
    return Cut(
        scalp=_oval(head, shape, axes + 1.2 * bone) & ~skull,
        skull=skull & ~brain,
        brain=brain,
        ventricles=(ventricles > 0) & brain,
        pattern=pattern[drift : drift + shape[0], drift : drift + shape[1]],
    )


def lump(rng: np.random.Generator, head: Head, shape: tuple[int, int], *, radius: float) -> Mask:
    """Mark one round or lens-shaped region inside the brain, `radius` being its share of the head's half width."""
    layer = np.zeros(shape, np.uint8)
    centre, axes, turn = _site(rng, head, shape, radius)
    _ellipse(layer, centre, axes, turn)
    return layer > 0


def specks(rng: np.random.Generator, head: Head, shape: tuple[int, int], *, radius: float) -> Mask:
    """Mark specks of together the area of a lump, each at a place where some other lump would have been.

    Over many pictures lumps and specks cover every place equally often: only their shape tells them apart.
    """
    layer = np.zeros(shape, np.uint8)
    _, axes, _ = _site(rng, head, shape, radius)
    wanted = np.pi * axes[0] * axes[1]
    while np.count_nonzero(layer) < wanted:
        centre, axes, turn = _site(rng, head, shape, radius)
        angle, away = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
        spot = centre + _rotation(turn) @ (away * axes * np.array([np.cos(angle), np.sin(angle)]))
        _ellipse(layer, spot, np.full(2, 0.014 * min(shape)), 0.0)
    return layer > 0


def _site(rng: np.random.Generator, head: Head, shape: tuple[int, int], radius: float) -> tuple[Points, Points, float]:
    """Draw where a lump lies: its centre, half axes and direction, inside the brain."""
    half = np.array([head.width, head.length]) * min(shape)
    long = rng.uniform(1.0, 1.4)
    axes = radius * half[0] * np.array([long, 1.0 / long])
    angle, away = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
    room = 0.88 - radius * long
    centre = _placed(head, shape, (room * away * half * np.array([np.cos(angle), np.sin(angle)]))[None])[0]
    return centre, axes, rng.uniform(0.0, 180.0)


def _oval(head: Head, shape: tuple[int, int], axes: Points) -> Mask:
    layer = np.zeros(shape, np.uint8)
    _ellipse(layer, _placed(head, shape, np.zeros((1, 2)))[0], axes, head.turn)
    return layer > 0


def _placed(head: Head, shape: tuple[int, int], points: Points) -> Points:
    """Turn points around the head's middle and move them to its place in the picture, x first."""
    middle = np.array([shape[1] / 2, shape[0] / 2]) + np.array(head.shift) * min(shape)
    return np.asarray(points @ _rotation(head.turn).T + middle)


def _rotation(degrees: float) -> Points:
    turn = np.deg2rad(degrees)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def _ellipse(layer: NDArray[np.uint8], centre: Points, axes: Points, degrees: float) -> None:
    fixed = [tuple(round(16 * value) for value in pair) for pair in (centre, axes)]
    cv2.ellipse(layer, fixed[0], fixed[1], degrees, 0.0, 360.0, 1, thickness=-1, shift=4)
