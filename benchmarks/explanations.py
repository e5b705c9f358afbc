"""Whether heat lies on the lesions of phantoms, whose places are known, and on nothing once the weights are shuffled.

    python benchmarks/explanations.py [--heads 500] [--seeds 3]

A small convolutional network learns to tell brain slices with a lump of bright tissue from those that hold the same
amount of it as specks. Printed a seed: AUROC on slices of other heads; of those with a lump that are called so, the
mean heat inside the lump over that of the picture outside it, and over that of the brain outside it; the same by
occlusion on the first twenty; and the median over twelve shuffles of the weights. FAIL, with exit code 1, where heat
or occlusion is below 3 times that of the picture outside, or shuffled heat not about that of the brain outside (0.67
to 1.5): even an untrained network tells a brain from the black around it.
"""

import argparse
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
from sklearn.metrics import roc_auc_score

from keras_med.inference.explain import Explainer, shuffled
from keras_med.phantoms.brain_mr import SHAPE, film
from keras_med.phantoms.heads import cut, lump, random_head, specks

SIDE = 96
HELD_OUT = 200
SHUFFLES = 12
OCCLUDED = 20


def slices(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures, labels, and the masks of lumps and of brains, one slice a head."""
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
    return np.stack(pictures)[..., None], labels, np.stack(lumps), np.stack(brains)


def trained(seed: int, heads: int) -> keras.Model:
    """Train the network that is explained."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((SIDE, SIDE, 1))
    maps = keras.layers.Rescaling(1 / 64, offset=-2)(image)
    for filters, pooling in ((12, 2), (24, 2), (24, 1)):
        maps = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(maps)
        maps = keras.layers.Activation("relu")(keras.layers.BatchNormalization(momentum=0.9)(maps))
        maps = keras.layers.AveragePooling2D(pooling)(maps)
    maps = keras.layers.Conv2D(24, 1, activation="relu")(maps)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    network = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(pooled))
    network.compile(optimizer=keras.optimizers.Adam(3e-3), loss="binary_crossentropy")
    pictures, labels, _, _ = slices(heads, 2 * seed)
    network.fit(pictures, labels, batch_size=32, epochs=20, verbose=0)
    return network


def ratio(heat: np.ndarray, inside: np.ndarray, among: np.ndarray) -> float:
    """Return the mean heat inside the lumps over that outside them, among the places that are given."""
    outside = float(heat[among & ~inside].mean())
    return float(heat[inside].mean()) / outside if outside else float("inf")


def measure(seed: int, heads: int) -> dict[str, float]:
    """Return AUROC and the ratios."""
    network = trained(seed, heads)
    pictures, labels, lumps, brains = slices(HELD_OUT, 2 * seed + 1)
    answers = network.predict(pictures, verbose=0)[:, 0]
    right = (answers > 0.5) & (labels > 0) & lumps.any(axis=(1, 2))
    chosen, inside, brain = pictures[right], lumps[right], brains[right]
    picture = np.ones_like(brain)
    explainer = Explainer(network)
    heat = explainer.heat(chosen)
    covered = np.stack([explainer.occlusion(one, side=12) for one in chosen[:OCCLUDED]])
    others = [
        ratio(Explainer(shuffled(network, seed=draw), signed=False).heat(chosen), inside, brain)
        for draw in range(SHUFFLES)
    ]
    return {
        "AUROC": float(roc_auc_score(labels, answers)),
        "heat/picture": ratio(heat, inside, picture),
        "heat/brain": ratio(heat, inside, brain),
        "occlusion/picture": ratio(covered, inside[:OCCLUDED], picture[:OCCLUDED]),
        "shuffled/brain": float(np.median(others)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    failed = False
    for seed in range(given.seeds):
        found = measure(seed, given.heads)
        kept = min(found["heat/picture"], found["occlusion/picture"]) >= 3 and 0.67 <= found["shuffled/brain"] <= 1.5
        failed |= not kept
        told = "   ".join(f"{name} {value:.2f}" for name, value in found.items())
        print(f"seed {seed}   {told}   {'' if kept else 'FAIL'}", flush=True)
    return int(failed)


def _small(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_AREA)


if __name__ == "__main__":
    sys.exit(main())
