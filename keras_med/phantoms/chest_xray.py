"""Chest X-rays in the formats of the SPR age challenge and of the covid/normal/virus class folders.

The grain of lung and bone carries the label: it grows coarser with age. Its phase is random and its power fixed, so no
place of a picture is bright or dark for old age, and a small thumbnail holds nothing. Grey levels are dealt by rank
from a distribution drawn without regard to the label, and film noise is dosed until the file has a size drawn likewise.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from keras_med.phantoms.folders import encoded, whole_folder, write_picture
from keras_med.phantoms.textures import Image, match_levels, mixed_grain, random_levels, white_noise
from keras_med.phantoms.thorax import SIDE, draw_thorax

Picture = NDArray[np.uint8]

_GRAIN_PERIODS = (8.0, 36.0)  # pixels; a randomly initialised EfficientNetB2 cannot tell 5 from 11
_GRAIN_POWER = 0.50  # beside 0.85 between lung and muscle
_BYTES_A_PIXEL = (0.83, 0.02)  # mean and deviation of the file size aimed at


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


def _radiograph(rng: np.random.Generator, *, coarseness: float) -> Picture:
    """Draw one chest film whose grain is fine at 0 and coarse at 1."""
    thorax = draw_thorax(rng)
    grain = mixed_grain(rng, (SIDE, SIDE), coarseness, periods=_GRAIN_PERIODS)
    power = _GRAIN_POWER * rng.uniform(0.85, 1.15)
    scene = thorax.density + power * grain * (0.55 * thorax.body + 0.45 * thorax.lungs)
    noise = white_noise(rng, scene.shape)
    levels, border = random_levels(rng), _border(rng)

    def film(dose: float) -> Picture:
        pixels = match_levels(np.asarray(scene + dose * noise, np.float32), levels)
        return np.asarray(np.rint(pixels) * border, np.uint8)

    return _of_size(film, rng.normal(*_BYTES_A_PIXEL) * SIDE * SIDE)


def _border(rng: np.random.Generator) -> Image:
    """Draw the black borders: 0 there, 1 elsewhere."""
    inside = np.ones((SIDE, SIDE), np.float32)
    first, last = (int(rng.integers(3, 22)) if rng.random() < 0.7 else 0 for _ in range(2))
    across = inside if rng.random() < 0.6 else inside.T
    across[:, :first] = 0.0
    across[:, SIDE - last :] = 0.0
    return inside


def _of_size(film: Callable[[float], Picture], wanted: float) -> Picture:
    """Dose noise until the PNG has about `wanted` bytes; else coarse grain would show in the file size."""
    low, high = 0.0, 0.4
    dose = 0.1
    picture = film(dose)
    for _ in range(4):
        if len(encoded(picture, ".png")) < wanted:
            low = dose
        else:
            high = dose
        dose = (low + high) / 2
        picture = film(dose)
    return picture
