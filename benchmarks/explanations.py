"""Whether heat lies on the lesions of phantoms, whose places are known, and on nothing once the weights are shuffled.

    python benchmarks/explanations.py [--phantoms brain knee] [--examples 500] [--seeds 3]

Small networks learn to tell brain slices with a lump of bright tissue from those that hold the same amount of it as
specks, and, in three dimensions, knees whose marrow has a coarse grain from those with a fine one.
Printed a seed: AUROC on pictures of other people; of the ill ones that are called so, the mean heat inside the lesion
(lump, bones) over that of the picture outside it, and over that of the organ (brain, leg) outside it; the same by
occlusion on the first few; and the median over forty shuffles of the weights. FAIL, with exit code 1, where heat or
occlusion is below 3 times that of the picture outside, or shuffled heat not about that of the organ outside (0.67 to
1.5): even an untrained network tells a brain from the black around it. Bones are brighter than the leg around them in
healthy knees too, so shuffled heat on ill knees is told as a multiple of the same on healthy ones. Occlusion of knees
must be twice that outside: a block is as thick as a bone, and takes some of what lies beside it.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
from keras import layers
from sklearn.metrics import roc_auc_score

from keras_med.inference.explain import Explainer
from keras_med.phantoms.brain_mr import SHAPE, film
from keras_med.phantoms.heads import cut, lump, random_head, specks
from keras_med.phantoms.knee_mr import anatomy, volume

SIDE = 96
KNEE = (32, 32, 16)
HELD_OUT = 120
SHUFFLES = 40
LEAST = 3.0  # heat inside the lesion over that outside


@dataclass(frozen=True)
class Pictures:
    """What a network is shown, and where its lesions are, or of healthy ones would be."""

    pixels: np.ndarray
    labels: np.ndarray
    lesions: np.ndarray
    organs: np.ndarray


@dataclass(frozen=True)
class Phantom:
    """A kind of picture, the network that learns it, and how it is occluded.

    share: of the examples asked for: volumes take longer.
    occluded: how many pictures, with blocks of `block` pixels.
    """

    draw: Callable[[int, int], Pictures]
    network: Callable[[], keras.Model]
    epochs: int
    share: float
    occluded: int
    block: int
    least_occluded: float = LEAST


def heads(count: int, seed: int) -> Pictures:
    """Draw one slice a head."""
    rng = np.random.default_rng(seed)
    pictures, lumps, brains = [], [], []
    labels = (np.arange(count) % 2).astype(np.float32)
    for ill in labels.astype(bool):
        head, radius = random_head(rng), rng.uniform(0.32, 0.44)
        regions = cut(head, SHAPE, level=float(rng.uniform(0, 0.5)))
        bright = (lump if ill else specks)(rng, head, SHAPE, radius=radius)
        pictures.append(_small(film(rng, regions, bright)(0.3)))
        lumps.append(_small(bright & ill) > 0.5)
        brains.append(_small(regions.brain) > 0.5)
    return Pictures(np.stack(pictures)[..., None], labels, np.stack(lumps), np.stack(brains))


def knees(count: int, seed: int) -> Pictures:
    """Draw one volume a knee, scaled to its own brightest voxels."""
    volumes, bones, legs = [], [], []
    labels = (np.arange(count) % 2).astype(np.float32)
    for number, ill in enumerate(labels.astype(int)):
        visit = np.random.default_rng([seed, number, 1])
        voxels = volume(np.random.default_rng([seed, number]), visit, ("normal", "abnormal")[ill], KNEE)
        voxels = voxels - voxels.min()
        volumes.append(voxels * (255 / np.quantile(voxels, 0.999)))
        bone, _, leg = anatomy(np.random.default_rng([seed, number]), KNEE)
        bones.append(bone > 0.5)
        legs.append(leg > 0.5)
    return Pictures(np.stack(volumes)[..., None].astype(np.float32), labels, np.stack(bones), np.stack(legs))


def plane_network() -> keras.Model:
    """Build the network of the slices."""
    image = keras.Input((SIDE, SIDE, 1))
    maps = layers.Rescaling(1 / 64, offset=-2)(image)
    for filters, pooling in ((12, 2), (24, 2), (24, 1)):
        maps = layers.Conv2D(filters, 3, padding="same", use_bias=False)(maps)
        maps = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(maps))
        maps = layers.AveragePooling2D(pooling)(maps)
    maps = layers.Conv2D(24, 1, activation="relu")(maps)
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(maps)))


def volume_network() -> keras.Model:
    """Build the network of the knees; it pools nothing, for a bone is a few voxels wide."""
    image = keras.Input((*KNEE, 1))
    maps = layers.Rescaling(1 / 64, offset=-2)(image)
    for filters in (8, 12):
        maps = layers.Conv3D(filters, 3, padding="same", use_bias=False)(maps)
        maps = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(maps))
    maps = layers.Conv3D(12, 1, activation="relu")(maps)
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling3D()(maps)))


PHANTOMS = {
    "brain": Phantom(heads, plane_network, epochs=20, share=1.0, occluded=20, block=12),
    "knee": Phantom(knees, volume_network, epochs=12, share=0.3, occluded=2, block=4, least_occluded=2.0),
}


def trained(phantom: Phantom, seed: int, examples: int) -> keras.Model:
    """Train the network that is explained."""
    keras.utils.set_random_seed(seed)
    network = phantom.network()
    network.compile(optimizer=keras.optimizers.Adam(3e-3), loss="binary_crossentropy")
    shown = phantom.draw(int(phantom.share * examples), 2 * seed)
    network.fit(shown.pixels, shown.labels, batch_size=16, epochs=phantom.epochs, verbose=0)
    return network


def ratio(heat: np.ndarray, inside: np.ndarray, among: np.ndarray) -> float:
    """Return the mean heat inside the lesions over that outside them, among the places that are given."""
    outside = float(heat[among & ~inside].mean())
    return float(heat[inside].mean()) / outside if outside else float("inf")


def measure(phantom: Phantom, seed: int, examples: int) -> dict[str, float]:
    """Return AUROC and the ratios."""
    network = trained(phantom, seed, examples)
    shown = phantom.draw(HELD_OUT, 2 * seed + 1)
    answers = network.predict(shown.pixels, verbose=0)[:, 0]
    lesions = shown.lesions.reshape(len(shown.lesions), -1).any(axis=1)
    right = (answers > 0.5) & (shown.labels > 0) & lesions
    chosen, inside, organ = shown.pixels[right], shown.lesions[right], shown.organs[right]
    picture, first = np.ones_like(organ), slice(phantom.occluded)
    explainer = Explainer(network)
    heat = explainer.heat(chosen)
    covered = np.stack([explainer.occlusion(one, side=phantom.block) for one in chosen[first]])
    anything, others = Explainer(network, signed=False), list[float]()
    well = (shown.labels == 0) & lesions
    for draw in range(SHUFFLES):
        with anything.shuffled(draw):
            usual = (
                ratio(anything.heat(shown.pixels[well]), shown.lesions[well], shown.organs[well]) if well.any() else 1
            )
            others.append(ratio(anything.heat(chosen), inside, organ) / usual)
    return {
        "AUROC": float(roc_auc_score(shown.labels, answers)),
        "heat/picture": ratio(heat, inside, picture),
        "heat/organ": ratio(heat, inside, organ),
        "occlusion/picture": ratio(covered, inside[first], picture[first]),
        "shuffled/organ": float(np.median(others)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantoms", nargs="+", default=list(PHANTOMS), choices=list(PHANTOMS))
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    failed = False
    for name in given.phantoms:
        for seed in range(given.seeds):
            found = measure(PHANTOMS[name], seed, given.examples)
            kept = found["heat/picture"] >= LEAST and found["occlusion/picture"] >= PHANTOMS[name].least_occluded
            kept &= 0.67 <= found["shuffled/organ"] <= 1.5
            failed |= not kept
            told = "   ".join(f"{figure} {value:.2f}" for figure, value in found.items())
            print(f"{name}, seed {seed}   {told}   {'' if kept else 'FAIL'}", flush=True)
    return int(failed)


def _small(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    sys.exit(main())
