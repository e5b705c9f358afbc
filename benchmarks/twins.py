"""Twins: 217,000 correlated hashes compared on one core, and the share of planted copies that is found.

    python benchmarks/twins.py [--hashes 217000] [--pictures 150]

Hashes are those of real pictures with bits changed at random, so that bits are as unequal and as correlated as theirs:
head_ct_png below $KERAS_MED_REAL_DATA, or generated pictures without it. Each of the sets there also gets one copy of
each kind for up to --pictures pictures, and the whole path (hash, proposal, alignment) must join copy and original.
Seconds are those of the processor. Wanted: under 60 s; 99 % of every copy but crops, whose share is stated.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from keras_med.data import hashes, neighbours, twins

SETS = {
    "head_ct_png": "head_ct_png/*/*.png",
    "chest_xray_3class": "chest_xray_3class/*/*/*.*",
    "chest_xray_age": "chest_xray_age/*/*/*.png",
}
CHANGED_BITS = 0.15


def jpeg(image: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_GRAYSCALE)


def cropped(image: np.ndarray) -> np.ndarray:
    """Cut 3 % off each of the four sides."""
    down, along = (max(1, round(0.03 * size)) for size in image.shape)
    return image[down:-down, along:-along]


COPIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored": lambda image: image[:, ::-1],
    "mirrored, jpeg": lambda image: jpeg(np.ascontiguousarray(image[:, ::-1])),
    "turned, jpeg": lambda image: jpeg(np.ascontiguousarray(np.rot90(image))),
    "jpeg 75": jpeg,
    "rescaled 0.9": lambda image: cv2.resize(image, None, fx=0.9, fy=0.9, interpolation=cv2.INTER_AREA),
    "brightness +10 %": lambda image: np.clip(image * 1.1, 0, 255).astype(np.uint8),
    "brightness -10 %": lambda image: (image * 0.9).astype(np.uint8),
    "crop 3 % a side": cropped,
}


def pictures(real: str, number: int) -> dict[str, list[np.ndarray]]:
    found = {}
    for name, pattern in SETS.items() if real else ():
        paths = sorted(Path(real).glob(pattern))
        step = max(1, len(paths) // number)
        found[name] = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths[::step]]
    return found or {"generated": [generated(seed) for seed in range(number)]}


def generated(seed: int) -> np.ndarray:
    """Draw a head-like picture: one bright oval, the same for all, with an inside of its own."""
    random = np.random.default_rng(seed)
    inside = cv2.GaussianBlur(random.normal(size=(224, 224)).astype(np.float32), (0, 0), 10)
    inside = 110 + 60 * inside / inside.std()
    picture = np.zeros((224, 224), np.float32)
    centre = tuple(int(place) for place in random.integers(104, 120, 2))
    cv2.ellipse(picture, centre, (72, 92), float(random.integers(-8, 9)), 0, 360, 255, -1)
    return np.clip(np.minimum(picture, inside), 0, 255).astype(np.uint8)


def prepared(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image.astype(np.float32), (224, 224), interpolation=cv2.INTER_AREA)[..., None]


def table_of(images: list[np.ndarray]) -> tuple[pd.DataFrame, np.ndarray]:
    found, thumbnails = zip(*(hashes.describe(image, prepared(image)) for image in images), strict=True)
    return pd.DataFrame(found).assign(id=[str(row) for row in range(len(found))]), np.stack(thumbnails)


def planted(name: str, images: list[np.ndarray]) -> list[str]:
    """Return a line for each kind of copy: how many were joined to their original, and how many pairs are neither."""
    images = [image for image in images if image.std() > 0]
    own = {frozenset(pair) for pair in twins.find_twins(*table_of(images)).pairs[["first", "second"]].to_numpy()}
    lines = []
    for kind, change in COPIES.items():
        found = twins.find_twins(*table_of(images + [change(image) for image in images]))
        joined = {frozenset(int(place) for place in pair) for pair in found.pairs[["first", "second"]].to_numpy()}
        right = int((found.group[: len(images)] == found.group[len(images) :]).sum())
        strangers = sum(
            len({place % len(images) for place in pair}) > 1
            and frozenset(place % len(images) for place in pair) not in own
            for pair in joined
        )
        lines.append(f"{name:18} {kind:18} {right:4} of {len(images):4}  {right / len(images):6.1%}  {strangers:9}")
    return lines


def compared(codes: np.ndarray, number: int) -> str:
    random = np.random.default_rng(0)
    changed = np.packbits(random.random((number, 64)) < CHANGED_BITS, axis=1).view(">u8")[:, 0].astype(np.uint64)
    many = codes[random.integers(0, len(codes), number)] ^ changed
    begun = time.process_time()
    proposed = sum(len(part) for part in neighbours.propose(many))
    spent = time.process_time() - begun
    pairs = number * (number - 1) / 2
    return f"{number:,} hashes: {spent:.1f} s of one core, {proposed:,} pairs proposed ({proposed / pairs:.4%} of all)"


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the search for twins and count the planted ones it finds.")
    parser.add_argument("--hashes", type=int, default=217_000)
    parser.add_argument("--pictures", type=int, default=150)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    sets = pictures(os.environ.get("KERAS_MED_REAL_DATA", ""), given.pictures)
    first = next(iter(sets.values()))
    codes = [hashes.perceptual_hash(hashes.shrunk(prepared(image))) for image in first if image.std() > 0]
    print(compared(np.array(codes, np.uint64), given.hashes), flush=True)
    print(f"{'set':18} {'copy':18} {'found':>12}  {'share':>6}  strangers")
    for name, images in sets.items():
        print("\n".join(planted(name, images)), flush=True)


if __name__ == "__main__":
    main()
