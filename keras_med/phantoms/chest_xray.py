"""Chest X-rays in the formats of the SPR age challenge and of the covid/normal/virus class folders.

The grain of lung and bone carries the label: it grows coarser with age. Its phase is random and its power fixed, so no
place of a picture is bright or dark for old age, and a small thumbnail holds nothing. Grey levels are dealt by rank
from a distribution drawn without regard to the label, and film noise is dosed until the file has a size drawn likewise.
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from keras_med.phantoms.folders import dosed, whole_folder, write_picture
from keras_med.phantoms.textures import Image, match_levels, mixed_grain, random_levels, white_noise
from keras_med.phantoms.thorax import SIDE, draw_thorax

Picture = NDArray[np.uint8]

_GRAIN_PERIODS = (8.0, 36.0)  # pixels; a randomly initialised EfficientNetB2 cannot tell 5 from 11
_GRAIN_POWER = 0.60  # beside 0.85 between lung and muscle
_FAINT = 0.2  # density of the chests of class folders: before them even a random transformer tells the grains apart
_COARSEST = {"covid": (0.9, 1.0), "normal": (0.0, 0.1), "virus": (0.45, 0.55)}
_BYTES_A_PIXEL = (0.83, 0.02)  # mean and deviation of the file size aimed at
_FAINT_BYTES_A_PIXEL = (0.93, 0.02)


def spr_age(folder: Path, *, seed: int, train: int = 680, test: int = 40) -> None:
    """Write the SPR X-Ray Age Prediction Challenge's files, `train` images with an age and `test` without."""
    ages = np.rint(18.0 + 72.0 * np.random.default_rng([seed, 0]).beta(1.5, 1.4, train + test))
    with whole_folder(folder) as root:
        for split in ("train", "test"):
            (root / "kaggle" / "kaggle" / split).mkdir(parents=True)
        for number, age in enumerate(ages):
            picture = _radiograph(np.random.default_rng([seed, 1, number]), coarseness=(age - 18.0) / 72.0)
            split = "train" if number < train else "test"
            write_picture(root / "kaggle" / "kaggle" / split / f"{number:06d}.png", picture)
        numbers = np.arange(train + test)
        known = pd.DataFrame({"imageId": numbers[:train], "age": ages[:train]})
        known.to_csv(root / "train_age.csv", index=False)
        asked = pd.DataFrame({"imageId": numbers[train:], "age": 0})
        asked.to_csv(root / "sample_submission_age.csv", index=False)


def chest_folders(folder: Path, *, seed: int, covid: int = 90, normal: int = 110, virus: int = 100) -> None:
    """Write class folders of JPEG and PNG files of several sizes, grey, bluish, with alpha, and of 16 bits."""
    counts = {"covid": covid, "normal": normal, "virus": virus}
    labels = np.repeat(list(counts), list(counts.values()))
    numbers = np.random.default_rng([seed, 0]).permutation(len(labels))
    with whole_folder(folder) as root:
        for label in counts:
            (root / label).mkdir()
        for order, (label, number) in enumerate(zip(labels, numbers, strict=True)):
            rng = np.random.default_rng([seed, 2, order])
            height, width = (int(side) for side in rng.choice([256, 280, 300, 320], 2))
            coarseness = rng.uniform(*_COARSEST[str(label)])
            picture = _radiograph(rng, coarseness=coarseness, density=_FAINT, shape=(height, width))
            pixels, suffix = _as_collected(rng, picture)
            write_picture(root / str(label) / f"{number:04d}{suffix}", pixels)


def few_chest_folders(folder: Path, *, seed: int) -> None:
    """Write fewer of them: as many as a network that is trained on all its layers gets through in minutes."""
    chest_folders(folder, seed=seed, covid=42, normal=49, virus=43)


def _as_collected(rng: np.random.Generator, grey: Picture) -> tuple[Picture | NDArray[np.uint16], str]:
    """Choose the file that a film is kept in, as in sets that were gathered from many places."""
    kind = rng.choice(["grey", "rgb", "bluish", "alpha", "deep"], p=[0.5, 0.15, 0.15, 0.1, 0.1])
    if kind == "grey":
        return grey, str(rng.choice([".jpg", ".png"]))
    if kind == "rgb":
        return np.dstack([grey] * 3), ".jpg"
    if kind == "bluish":
        return np.dstack([(grey * 0.92).astype(np.uint8), (grey * 0.96).astype(np.uint8), grey]), ".jpg"
    if kind == "alpha":
        return np.dstack([*[grey] * 3, np.full_like(grey, 255)]), ".png"
    return np.asarray(grey * np.uint16(257), np.uint16), ".png"


def _radiograph(
    rng: np.random.Generator,
    *,
    coarseness: float,
    density: float = 1.0,
    shape: tuple[int, int] = (SIDE, SIDE),
) -> Picture:
    """Draw one chest film whose grain is fine at 0 and coarse at 1."""
    thorax = draw_thorax(rng)
    grain = mixed_grain(rng, (SIDE, SIDE), coarseness, periods=_GRAIN_PERIODS)
    power = _GRAIN_POWER * rng.uniform(0.92, 1.08)
    scene = density * thorax.density + power * grain * (0.55 * thorax.body + 0.45 * thorax.lungs)
    if shape != scene.shape:
        scene = cv2.resize(scene, shape[::-1], interpolation=cv2.INTER_LINEAR)
    noise = white_noise(rng, shape)
    levels, border = random_levels(rng), _border(rng, shape)
    bytes_a_pixel = _BYTES_A_PIXEL if density == 1.0 else _FAINT_BYTES_A_PIXEL

    def film(dose: float) -> Picture:
        pixels = match_levels(np.asarray(scene + dose * noise, np.float32), levels)
        return np.asarray(np.rint(pixels) * border, np.uint8)

    return dosed(film, size=rng.normal(*bytes_a_pixel) * shape[0] * shape[1])


def _border(rng: np.random.Generator, shape: tuple[int, int]) -> Image:
    """Draw the black borders: 0 there, 1 elsewhere."""
    inside = np.ones(shape, np.float32)
    first, last = (int(rng.integers(3, 22)) if rng.random() < 0.7 else 0 for _ in range(2))
    across = inside if rng.random() < 0.6 else inside.T
    across[:, :first] = 0.0
    across[:, across.shape[1] - last :] = 0.0
    return inside
