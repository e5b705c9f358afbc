"""Knee MR volumes in the format of the OAI 3-D DESS arrays: one .npy stack a class, nothing that names a patient.

In an abnormal knee the marrow's grain is coarse; its phase is random and its power that of the fine grain of a normal
one. Values are dealt by rank from a distribution drawn without regard to the class. Two volumes in a row are visits of
one knee, alike in shape, as in the real arrays, which do not say so.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from keras_med.phantoms.folders import whole_folder
from keras_med.phantoms.textures import Image, match_levels, random_levels, white_noise

FILES = {"normal": "normal-3DESS-128-64.npy", "abnormal": "abnormal-3DESS-128-64.npy"}
_GRAIN_SIGMAS = {"normal": 1.0, "abnormal": 2.3}  # voxels of 32 in a row
_CONTRAST = 0.9  # so wide that what enlarging takes from the finer grain tells nothing

Floats = NDArray[np.float32]


def oai(
    folder: Path,
    *,
    seed: int,
    normal: int = 76,
    abnormal: int = 60,
    size: tuple[int, int, int] = (64, 64, 32),
) -> None:
    """Write the two float32 stacks, shape (volumes, height, width, depth); the real `size` is (128, 128, 64)."""
    with whole_folder(folder) as root:
        for place, (kind, count) in enumerate((("normal", normal), ("abnormal", abnormal))):
            stack = np.lib.format.open_memmap(root / FILES[kind], "w+", np.float32, (count, *size))
            for number in range(count):
                knee = np.random.default_rng([seed, place, number // 2])
                stack[number] = volume(knee, np.random.default_rng([seed, place, number, 1]), kind, size)
            stack.flush()


def volume(knee: np.random.Generator, visit: np.random.Generator, kind: str, size: tuple[int, int, int]) -> Image:
    """Draw one visit of a knee; what `knee` gives is the same at every visit."""
    bone, cartilage, joint = anatomy(knee, size)
    grain = _grain(knee, size, _GRAIN_SIGMAS[kind] * size[0] / 32)
    scene = 0.9 * joint - 0.9 * bone + 1.6 * cartilage + grain * (0.15 + 0.55 * bone)
    scene += visit.uniform(0.1, 0.25) * white_noise(visit, size)
    brightness, levels = visit.uniform(3.0, 6.0), random_levels(visit, contrast=_CONTRAST)
    return brightness * match_levels(np.asarray(scene, np.float32), levels)


def _grain(rng: np.random.Generator, size: tuple[int, ...], sigma: float) -> Floats:
    noise = white_noise(rng, size)
    band = gaussian_filter(noise, sigma) - gaussian_filter(noise, 1.7 * sigma)
    return np.asarray((band - band.mean()) / band.std(), np.float32)


def anatomy(rng: np.random.Generator, size: tuple[int, int, int]) -> tuple[Floats, Floats, Floats]:
    """Draw thigh bone above, shin bone below and kneecap in front; then cartilage on them and the limb around."""
    y, x, z = np.meshgrid(*(np.linspace(-1.0, 1.0, count, dtype=np.float32) for count in size), indexing="ij")
    tilt, shift = rng.uniform(-0.15, 0.15, 2), rng.uniform(-0.1, 0.1, 2)
    y, x = y + tilt[0] * x + shift[0], x + tilt[1] * y + shift[1]
    wide, gap = rng.uniform(0.55, 0.7), rng.uniform(0.08, 0.14)
    condyle = np.hypot(x / wide, (y + 0.42) / 0.42) * (1.0 + 0.1 * np.cos(np.pi * z)) - 1.0
    shaft = np.maximum(np.abs(x) / (0.6 * wide) - 1.0, y + 0.4)
    femur = np.minimum(condyle, shaft)
    tibia = np.maximum(np.abs(x) / (0.95 * wide) - 1.0, gap + 0.05 * np.cos(3.0 * x) - y)
    kneecap = np.hypot((x + wide + 0.22) / 0.12, (y + 0.45) / 0.25) - 1.0
    depth = np.abs(z) - 0.85
    bones = np.maximum(np.minimum(np.minimum(femur, tibia), kneecap), depth)
    band = np.maximum(np.minimum(femur, tibia) - 0.12, -bones) * 8.0
    near_joint = np.abs(y - 0.5 * gap) < 0.22
    limb = _inside(np.hypot(x / 0.98, 0.6 * z) - 0.95, 0.1)
    cartilage = _inside(band, 0.3) * near_joint * (np.abs(x) < wide) * (depth < 0)
    return _inside(bones, 0.06), cartilage.astype(np.float32), limb


def _inside(distance: Floats, softness: float) -> Floats:
    """Turn a signed distance into a share: 1 inside, 0 outside."""
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(distance / softness, -30.0, 30.0))), np.float32)
