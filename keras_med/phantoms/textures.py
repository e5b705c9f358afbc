"""Seeded noise and grey-level distributions that the phantoms are drawn with."""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]


def white_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Image:
    """Draw noise of mean 0 and deviation 1."""
    return rng.standard_normal(shape, dtype=np.float32)


def grain(rng: np.random.Generator, shape: tuple[int, int], *, period: float) -> Image:
    """Draw noise whose structures repeat about every `period` pixels, of mean 0 and deviation 1."""
    sigma = period / 6.0
    noise = white_noise(rng, shape)
    band = cv2.GaussianBlur(noise, (0, 0), sigma) - cv2.GaussianBlur(noise, (0, 0), 1.7 * sigma)
    return np.asarray((band - band.mean()) / band.std(), np.float32)


def mixed_grain(
    rng: np.random.Generator, shape: tuple[int, int], coarseness: float, *, periods: tuple[float, float]
) -> Image:
    """Mix fine and coarse grain so that only the spectrum tells the share of the coarse, never the deviation."""
    fine, coarse = (grain(rng, shape, period=period) for period in periods)
    return np.asarray(np.sqrt(1.0 - coarseness) * fine + np.sqrt(coarseness) * coarse, np.float32)


def clouds(rng: np.random.Generator, shape: tuple[int, int], *, cells: int) -> Image:
    """Draw a smooth field with about `cells` hills a side, of mean 0 and deviation 1."""
    coarse = white_noise(rng, (cells + 3, cells + 3))
    field = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def random_levels(rng: np.random.Generator, *, low: float = 5.0, high: float = 250.0, contrast: float = 0.08) -> Image:
    """Draw an exposure: 1024 rising grey levels, the ones that a picture will hold in equal shares.

    Args:
        contrast: how far exposures differ in theirs, from 0 to below 1.
    """
    share = np.linspace(0.0, 1.0, 1024, dtype=np.float32)
    reach = high - low
    curve = share ** np.exp(rng.uniform(-0.06, 0.06))
    curve = curve + rng.uniform(-contrast, contrast) * curve * (1 - curve) * (1 - 2 * curve)
    bottom, top = low + rng.uniform(0.0, 0.03) * reach, high - rng.uniform(0.0, 0.04) * reach
    return np.asarray(bottom + (top - bottom) * curve, np.float32)


def match_levels(picture: Image, levels: Image) -> Image:
    """Replace grey values by rank: whatever `picture` held, the result holds `levels` in equal shares.

    A mean, a deviation or a histogram then tells of `levels` alone, and nothing of what the picture shows.
    """
    low, high = float(picture.min()), float(picture.max())
    bins = np.asarray((picture - low) * (8191.0 / max(high - low, 1e-6)), np.uint16)
    rank = np.cumsum(np.bincount(bins.ravel(), minlength=8192)).astype(np.float32) / bins.size
    table = np.interp(rank, np.linspace(0.0, 1.0, len(levels)), levels).astype(np.float32)
    return np.asarray(table[bins])
