"""A frontal chest drawn from random measures: how much each place weakens the X-rays, and where the lungs are."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_med.phantoms.textures import Image, clouds

SIDE = 300  # pixels; coordinates below are shares of it, y downwards
_SUBPIXEL = 4  # binary places that OpenCV keeps of a coordinate

Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Thorax:
    """A drawn chest in its pose: `density` (0 air to about 2 bone on muscle), `lungs` and `body` as shares 0 to 1."""

    density: Image
    lungs: Image
    body: Image


@dataclass(frozen=True, kw_only=True)
class _Build:
    """One person's measures, as shares of the picture."""

    width: float
    apex: float
    base: float
    heart: float
    rib_gap: float
    rib_slope: float

    def wall(self, y: Points) -> Points:
        """Distance of the inner chest wall from the midline at height `y`."""
        down = np.clip((y - self.apex) / (self.base - self.apex), 0.0, 1.0)
        return self.width * (0.10 + 0.33 * np.sin(np.pi * 0.62 * down**0.75) ** 0.7)


def draw_thorax(rng: np.random.Generator) -> Thorax:
    """Draw one chest with the build, pose and organs that `rng` gives."""
    build = _Build(
        width=rng.uniform(0.88, 1.08),
        apex=rng.uniform(0.05, 0.11),
        base=rng.uniform(0.78, 0.88),
        heart=rng.uniform(0.12, 0.19),
        rib_gap=rng.uniform(0.070, 0.084),
        rib_slope=rng.uniform(0.08, 0.17),
    )
    body = _body(build)
    lungs = _lungs(build)
    density = body * (1.3 + 0.05 * clouds(rng, (SIDE, SIDE), cells=3))
    density -= lungs * (0.85 + 0.04 * clouds(rng, (SIDE, SIDE), cells=4))
    density += 0.50 * _heart_and_vessels(build) + 0.42 * _spine(rng)
    density += 0.42 * _ribs(rng, build) + 0.26 * _lung_markings(rng) * lungs
    density = cv2.GaussianBlur(density, (0, 0), rng.uniform(0.5, 0.9))
    layers = _posed(rng, np.dstack([density, lungs, body]))
    return Thorax(density=layers[..., 0], lungs=layers[..., 1], body=layers[..., 2])


def _posed(rng: np.random.Generator, layers: Image) -> Image:
    """Turn, shift, magnify and sometimes mirror all layers alike."""
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.uniform(-6.0, 6.0), rng.uniform(0.90, 1.12))
    matrix[:, 2] += rng.uniform(-12.0, 12.0, 2)
    return np.asarray(cv2.warpAffine(layers, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE), np.float32)


def _body(build: _Build) -> Image:
    layer = _empty()
    angle = np.linspace(0.0, 2 * np.pi, 60)
    x = 0.5 + 0.50 * build.width * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.5
    y = 0.72 + 0.70 * np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.45
    _fill(layer, np.column_stack([x, y]), 1.0)
    _fill(layer, np.array([(0.40, -0.2), (0.60, -0.2), (0.62, 0.15), (0.38, 0.15)]), 1.0)
    return _soft(layer, 4.0)


def _lungs(build: _Build) -> Image:
    layer = _empty()
    along = np.linspace(0.0, 1.0, 18)
    for side in (-1, 1):
        base = build.base + (0.02 if side > 0 else 0.0)
        y = build.apex + (base - build.apex) * along
        outer = 0.5 + side * build.wall(y)
        inner = 0.5 + side * (0.07 + (0.02 if side < 0 else build.heart - 0.06) * along**1.5)
        dome_x = np.linspace(outer[-1], inner[-1], 10)
        dome_y = base - 0.07 * np.sin(np.pi * np.linspace(0.0, 1.0, 10))
        outline = [np.column_stack([outer, y]), np.column_stack([dome_x, dome_y]), np.column_stack([inner, y])[::-1]]
        _fill(layer, np.concatenate(outline), 1.0)
    return _soft(layer, 2.0)


def _heart_and_vessels(build: _Build) -> Image:
    layer = _empty()
    angle = np.linspace(0.0, 2 * np.pi, 50)
    heart_y = build.base - 0.13
    heart = np.column_stack([0.54 + build.heart * np.cos(angle) + 0.03 * np.sin(angle), heart_y + 0.16 * np.sin(angle)])
    _fill(layer, np.column_stack([0.5 + 0.065 * np.cos(angle), 0.36 + 0.28 * np.sin(angle)]), 0.6)
    _fill(layer, np.column_stack([0.555 + 0.045 * np.cos(angle), 0.30 + 0.05 * np.sin(angle)]), 0.75)
    _fill(layer, heart, 0.85)
    return _soft(layer, 2.5)


def _spine(rng: np.random.Generator) -> Image:
    layer = _empty()
    top = rng.uniform(-0.05, 0.0)
    while top < 1.05:
        height = 0.045 + 0.015 * top
        waist, bottom = top + 0.5 * height, top + height - 0.004
        right = [(0.537, top), (0.531, waist), (0.537, bottom)]
        _fill(layer, np.array([*right, *[(1.0 - x, y) for x, y in reversed(right)]]), 0.6)
        top += height + 0.004
    return layer


def _ribs(rng: np.random.Generator, build: _Build) -> Image:
    """Draw posterior and anterior ribs, hollow as they look on film, with collar bones and shoulder blades."""
    back, front = _empty(), _empty()
    along = np.linspace(0.0, 1.0, 24)
    for number in range(10):
        top = build.apex + 0.015 + build.rib_gap * number
        wide = float(build.wall(np.array(top + 0.6 * build.rib_slope))) - 0.02
        thickness = int(rng.integers(7, 11))
        for side in (-1, 1):
            x = 0.5 + side * (0.035 + wide * np.sin(along * np.pi / 2))
            y = top - 0.03 * np.sin(np.pi * along) + build.rib_slope * along**2
            _bone(back, np.column_stack([x, y]), thickness)
            if 0 < number < 7:
                x = 0.5 + side * (0.035 + wide - (wide - 0.14) * 0.8 * along)
                y = top + build.rib_slope + 0.10 * along - 0.02 * np.sin(np.pi * along)
                _bone(front, np.column_stack([x, y]), thickness)
    for side in (-1, 1):
        tilt = 0.02 * rng.standard_normal()
        collar_y = 0.15 + tilt - 0.08 * along + 0.03 * np.sin(2 * np.pi * along)
        _bone(back, np.column_stack([0.5 + side * (0.04 + 0.36 * along), collar_y]), 10)
        _bone(front, np.column_stack([0.5 + side * build.width * (0.45 - 0.05 * along), 0.08 + 0.34 * along]), 7)
    return back + 0.5 * front


def _lung_markings(rng: np.random.Generator) -> Image:
    """Draw the vessels that branch from the roots of the lungs and taper."""
    layer = _empty()
    along = np.linspace(0.0, 1.0, 24)
    for side in (-1, 1):
        for turn in rng.uniform(-1.3, 1.3, 12):
            reach = rng.uniform(0.12, 0.30)
            x = 0.5 + side * (0.09 + reach * np.cos(turn) * along)
            y = 0.46 + 1.2 * reach * np.sin(turn) * along + 0.02 * np.sin(4 * along + turn)
            for steps, thickness in ((24, 1), (15, 2), (8, 4)):
                _stroke(layer, np.column_stack([x, y])[:steps], 0.45, thickness)
    return _soft(layer, 0.8)


def _bone(layer: Image, line: Points, thickness: int) -> None:
    _stroke(layer, line, 0.8, thickness)
    _stroke(layer, line, 0.5, thickness - 4)


def _stroke(layer: Image, line: Points, value: float, thickness: int) -> None:
    cv2.polylines(layer, [_fixed(line)], False, value, thickness=thickness, lineType=cv2.LINE_AA, shift=_SUBPIXEL)


def _fill(layer: Image, outline: Points, value: float) -> None:
    cv2.fillPoly(layer, [_fixed(outline)], value, lineType=cv2.LINE_AA, shift=_SUBPIXEL)


def _fixed(points: Points) -> NDArray[np.int32]:
    return np.rint(points * (SIDE << _SUBPIXEL)).astype(np.int32)


def _soft(layer: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma), np.float32)


def _empty() -> Image:
    return np.zeros((SIDE, SIDE), np.float32)
