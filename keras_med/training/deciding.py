"""Labels and what a network puts out to the figures that are followed epoch by epoch beside its loss."""

from collections.abc import Callable
from functools import partial

import numpy as np

from keras_med.recipe.words import Binary, Recipe, Regression

Figures = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def figures_of(recipe: Recipe) -> Figures:
    """Return the function for the recipe's target: an error of numbers; of classes what the likeliest one is worth."""
    if isinstance(recipe.target, Regression):
        return _error
    if isinstance(recipe.target, Binary):
        return partial(_at_half, half=0.0 if recipe.model.head else 0.5)  # training sees a head's logits
    return _likeliest


def _error(labels: np.ndarray, output: np.ndarray) -> dict[str, float]:
    return {"mae": float(np.abs(labels - output).mean())}


def _at_half(labels: np.ndarray, output: np.ndarray, *, half: float) -> dict[str, float]:
    """Decide at p = 0.5; without a case to count among, a share is 0."""
    true, called = labels.reshape(-1) > 0, output.reshape(-1) > half
    hit = (true & called).sum()
    return {
        "sensitivity": _share(hit, true.sum()),
        "precision": _share(hit, called.sum()),
        "accuracy": float((true == called).mean()),
    }


def _likeliest(labels: np.ndarray, output: np.ndarray) -> dict[str, float]:
    """Decide for the likeliest class; the means are over the classes that the labels have."""
    true, called = labels.reshape(-1).astype(int), output.argmax(axis=1)
    classes = np.unique(true)
    hits = [((true == one) & (called == one)).sum() for one in classes]
    recalls = [_share(hit, (true == one).sum()) for hit, one in zip(hits, classes, strict=True)]
    precisions = [_share(hit, (called == one).sum()) for hit, one in zip(hits, classes, strict=True)]
    return {
        "macro_recall": float(np.mean(recalls)),
        "macro_precision": float(np.mean(precisions)),
        "accuracy": float((true == called).mean()),
    }


def _share(part: np.integer, whole: np.integer) -> float:
    return float(part / whole) if whole else 0.0
