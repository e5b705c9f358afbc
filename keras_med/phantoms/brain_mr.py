"""Brain MR slices in the format of the brain tumour set: one CSV of texture measures and one folder of JPEG files.

A tumour is a lump of bright tissue; slices without one hold the same amount of it as specks. Grey levels are dealt by
rank, and noise is dosed, without regard to the class. Neighbouring numbers are slices of one head, which no file says.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from keras_med.phantoms.folders import dosed, whole_folder, write_picture
from keras_med.phantoms.heads import Cut, cut, lump, random_head, specks
from keras_med.phantoms.textures import match_levels, random_levels, white_noise

SHAPE = (240, 240)
_JPEG_BYTES = (26_000.0, 1_200.0)  # mean and deviation of the file size aimed at

_RADIUS = (0.36, 0.44)  # of a tumour, as a share of the head's half width; larger ones would all hold its middle

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]


def brain_tumor(folder: Path, *, seed: int, heads: int = 200, slices: int = 2) -> None:
    """Write `Brain Tumor.csv` and `Brain Tumor/Brain Tumor/Image1.jpg` and so on, `slices` pictures a head."""
    rng = np.random.default_rng([seed, 0])
    rows: list[dict[str, object]] = []
    with whole_folder(folder) as root:
        images = root / "Brain Tumor" / "Brain Tumor"
        images.mkdir(parents=True)
        for _ in range(heads):
            head, site, radius = random_head(rng), int(rng.integers(2**31)), rng.uniform(*_RADIUS)
            ill = rng.random() < 0.52
            clear = rng.integers(0, slices, size=slices // 6)
            for place in range(slices):
                name, tumor = f"Image{len(rows) + 1}", bool(ill and place not in clear)
                regions = cut(head, SHAPE, level=0.5 * place / slices)
                bright = (lump if tumor else specks)(np.random.default_rng(site), head, SHAPE, radius=radius)
                drawn = film(rng, regions, bright)
                picture = dosed(drawn, size=rng.normal(*_JPEG_BYTES), suffix=".jpg")
                write_picture(images / f"{name}.jpg", np.dstack([picture] * 3))
                rows.append({"Image": name, "Class": int(tumor), **measures(picture)})
        pd.DataFrame(rows).to_csv(root / "Brain Tumor.csv", index=False)


def film(rng: np.random.Generator, regions: Cut, bright: NDArray[np.bool_]) -> Callable[[float], Picture]:
    """Draw a slice for any dose of noise: black outside, thin bright scalp, dark skull, and the brain dealt by rank."""
    ranks = 0.35 * regions.pattern - 3.0 * regions.ventricles + 3.0 * bright
    noise, levels = white_noise(rng, SHAPE), random_levels(rng, low=25.0, high=235.0)
    outside = np.abs(3.0 * white_noise(rng, SHAPE)) + 150.0 * regions.scalp + 12.0 * regions.skull

    def dosed_with(dose: float) -> Picture:
        pixels = outside.copy()
        pixels[regions.brain] = match_levels((ranks + 4.0 * dose * noise)[regions.brain], levels)
        return np.asarray(np.rint(pixels), np.uint8)

    return dosed_with


def measures(picture: Picture) -> dict[str, float]:
    """Compute the set's thirteen measures: of the grey levels, and of pairs of horizontal neighbours."""
    values = picture.astype(np.float64)
    mean, variance = values.mean(), values.var()
    centred = (values - mean) / np.sqrt(variance)
    share = np.bincount(picture.ravel(), minlength=256) / picture.size
    return {
        "Mean": mean,
        "Variance": variance,
        "Standard Deviation": np.sqrt(variance),
        "Entropy": -float(np.sum(share[share > 0] * np.log2(share[share > 0]))),
        "Skewness": float(np.mean(centred**3)),
        "Kurtosis": float(np.mean(centred**4)),
        **_pair_measures(picture),
        "Coarseness": _coarseness(values),
    }


def _pair_measures(picture: Picture) -> dict[str, float]:
    """Compute Haralick's measures of the symmetric co-occurrence of neighbours, 256 levels."""
    left, right = picture[:, :-1].ravel().astype(np.int64), picture[:, 1:].ravel().astype(np.int64)
    pairs = np.bincount(left * 256 + right, minlength=65536).reshape(256, 256)
    share = (pairs + pairs.T) / (2.0 * left.size)
    level = np.arange(256.0)
    apart = level[:, None] - level
    side = share.sum(axis=0)
    mean = float(side @ level)
    squares = float(np.sum(share**2))
    return {
        "Contrast": float(np.sum(share * apart**2)),
        "Energy": squares**0.5,
        "ASM": squares,
        "Homogeneity": float(np.sum(share / (1.0 + apart**2))),
        "Dissimilarity": float(np.sum(share * np.abs(apart))),
        "Correlation": float(((level - mean) @ share @ (level - mean)) / (side @ (level - mean) ** 2)),
    }


def _coarseness(values: Floats) -> float:
    """Compute Amadasun and King's coarseness: the inverse of how far a grey level is from its neighbours' mean."""
    inner = values[1:-1, 1:-1]
    around = sum(
        values[1 + down : values.shape[0] - 1 + down, 1 + across : values.shape[1] - 1 + across]
        for down in (-1, 0, 1)
        for across in (-1, 0, 1)
        if (down, across) != (0, 0)
    )
    levels = inner.astype(np.int64).ravel()
    far = np.bincount(levels, weights=np.abs(inner - around / 8.0).ravel(), minlength=256)
    share = np.bincount(levels, minlength=256) / levels.size
    return 1.0 / float(share @ far)
