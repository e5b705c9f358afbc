"""Every recipe's network in every format: the largest difference from Keras on 64 varied images.

    python benchmarks/parity.py [RECIPE ...] [--images 64]

RECIPE is a path, as recipes/spr_age.py or recipes/spr_age.py:dense; without one, all of recipes/ but `as_published`.
Each network is built as the recipe builds it, with random weights; its batch normalisation is calibrated, and its last
layer's weights are multiplied until the answers before the last activation span 4 logits, 20 years for an age: random
weights of EfficientNetB2 that span 68 differ by twice what is allowed. Then it is exported in all formats (LiteRT
without volumes), and every format answers for images of another seed than the export's golden ones: the 64 of 128 whose
answers span the most and are steady in float32. Printed: the span, and the largest difference as a share of what is
allowed, 1e-4 * max(1, |a|); of 8-bit weights the largest difference as a share of the span (10 % is allowed, and a run
refuses an export that changes its golden answers by more). FAIL, with exit code 1, where a share is above 1.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from keras_med.export import golden, int8, manifest, verify
from keras_med.export.network import before_last_activation
from keras_med.export.savedmodel import Format, export
from keras_med.models import calibration, weights
from keras_med.recipe.loading import load_recipe
from keras_med.recipe.words import Recipe
from keras_med.training import network
from recipes import names, reference_of

SEED = 77
NEEDED_LOGITS, NEEDED_YEARS = 4.0, 20.0
ROUNDS = 5
BATCH = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    parser.add_argument("--images", type=int, default=64)
    given = parser.parse_args()
    if len(given.recipes) == 1:
        return one(given.recipes[0], given.images)
    references = given.recipes or [reference_of(name) for name in names()]
    print(f"{'recipe':28} {'shape':18} {'span':>7}   share of what is allowed, by format and output", flush=True)
    typed = [sys.executable, __file__, "--images", str(given.images)]  # a process each, or their memory adds up
    codes = [apart([*typed, each]) for each in references]
    return int(any(codes))


def apart(typed: list[str]) -> int:
    """Print a recipe's row from a process of its own, or how that ended."""
    ended = subprocess.run(typed, capture_output=True, text=True, check=False)
    last = ended.stderr.strip().splitlines()[-1:] or [f"ended with {ended.returncode}"]
    print(ended.stdout.rstrip() or f"{Path(typed[-1]).name:28} {last[0]}   FAIL", flush=True)
    return ended.returncode


def one(reference: str, count: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        told, kept = row(reference, count, Path(folder))
    print(f"{Path(reference).name:28} {told}{'' if kept else '   FAIL'}", flush=True)
    return int(not kept)


def row(reference: str, count: int, folder: Path) -> tuple[str, bool]:
    recipe = load_recipe(reference).recipe
    keras.utils.set_random_seed(SEED)
    shape = recipe.image.shape
    pool = golden.images(SEED, range(2 * count), shape)
    model = calibrated(recipe, pool)
    chosen, answers = varied(model, pool, count)
    wanted = {"logits": answers[chosen], "serve": predicted(model, pool[chosen])}
    formats: tuple[Format, ...] = ("onnx",) if len(shape) == 4 else ("onnx", "litert", "litert_int8")
    model.save(folder / "model.keras")
    export(folder / "model.keras", folder / "export", manifest.describe(recipe, name="parity"), formats=formats)
    shares = {}
    for name, outputs in verify._formats(folder / "export").items():
        for output, right in wanted.items():
            if output in outputs:
                found = _batched(outputs[output], pool[chosen]).reshape(len(chosen), -1)
                shares[f"{name} {output}"] = share(name, right, found)
    text = ", ".join(f"{name} {value:.3f}" for name, value in shares.items())
    size = "x".join(map(str, shape))
    return f"{size:18} {golden.span(wanted['logits']):7.1f}   {text}", max(shares.values()) <= 1


def calibrated(recipe: Recipe, pool: np.ndarray) -> keras.Model:
    """Build the recipe's network with random weights, its batch normalisation calibrated on the pool."""
    with weights.policy(allow_random=True, allow_download=False):
        model = network.build(recipe, network.LabelScale(50.0, 15.0))
    trainable = [layer for layer in model.layers if layer.trainable]
    for layer in trainable:
        layer.trainable = False  # all batch normalisation is calibrated, not that of a frozen backbone alone
    calibration.calibrate(model, pool[: calibration.IMAGES].astype(np.float32))
    return model


def varied(model: keras.Model, pool: np.ndarray, count: int) -> tuple[list[int], np.ndarray]:
    """Multiply the last weights until the steady images' answers span enough; return which those are, and all answers.

    What is multiplied trembles more, so that other images are chosen: a few rounds, or the span stays what it is.
    """
    scores = before_last_activation(model) or model
    needed = NEEDED_LOGITS if scores is not model else NEEDED_YEARS
    last = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dense))
    for _ in range(ROUNDS):
        answers = predicted(scores, pool)
        unsteady = golden.share_of_tolerance(answers, predicted(scores, golden.trembling(pool))).max(axis=1)
        chosen = golden.choose(answers, unsteady, count)
        span = golden.span(answers[chosen])
        if span >= needed:
            break
        last.kernel.assign(last.kernel * 1.02 * needed / span)
    return chosen, answers


def predicted(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return _batched(lambda pixels: np.asarray(model.predict_on_batch(pixels)), images).reshape(len(images), -1)


def share(name: str, wanted: np.ndarray, found: np.ndarray) -> float:
    """Return the largest difference, or the mean one by 8-bit weights, as a share of what is allowed."""
    if name == verify.INT8:
        return int8.share(wanted, found)
    return float(golden.share_of_tolerance(wanted, found).max())


def _batched(answer: golden.Answer, images: np.ndarray) -> np.ndarray:
    starts = range(0, len(images), BATCH)
    return np.concatenate([answer(images[start : start + BATCH].astype(np.float32)) for start in starts])


if __name__ == "__main__":
    sys.exit(main())
