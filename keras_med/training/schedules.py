"""A recipe's training settings to learning rates: for each step, or after each epoch from what the epochs showed."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_med.recipe.train import Train


def rate_of_steps(train: Train, steps: int) -> Any:
    """Return what an optimizer takes as its learning rate: a number, or a schedule over all steps.

    Args:
        steps: of an epoch.
    """
    rate, warm = train.learning_rate, steps * train.warmup
    if train.schedule == "cosine" and train.restarts:
        period = max(1, -(-steps * train.epochs // (train.restarts + 1)))
        return keras.optimizers.schedules.CosineDecayRestarts(rate, period, t_mul=1.0)
    if train.schedule == "cosine":
        falling = max(1, steps * (train.epochs - train.warmup))
        warming = {"warmup_target": rate, "warmup_steps": warm} if warm else {}
        return keras.optimizers.schedules.CosineDecay(0.0 if warm else rate, falling, **warming)
    if warm:
        return keras.optimizers.schedules.PolynomialDecay(0.0, warm, end_learning_rate=rate)
    return rate


def rate_after(train: Train, history: Sequence[Mapping[str, float]]) -> float:
    """Return the rate of the next epoch when the schedule is "plateau".

    It follows from the validation losses alone, so a fit that is resumed needs to remember nothing for it.
    """
    rate, waiting = train.learning_rate, 0
    for better in _better(train, history):
        waiting = 0 if better else waiting + 1
        if waiting >= train.plateau_patience:
            rate, waiting = rate * train.plateau_factor, 0
    return rate


def waited(train: Train, history: Sequence[Mapping[str, float]]) -> int:
    """Return how many epochs have passed since the last better one."""
    return next((number for number, better in enumerate(reversed(_better(train, history))) if better), len(history))


def over(train: Train, patience: int | None, history: Sequence[Mapping[str, float]]) -> bool:
    """Tell whether a fit has waited long enough for a better epoch."""
    return patience is not None and waited(train, history) >= patience


def _better(train: Train, history: Sequence[Mapping[str, float]]) -> list[bool]:
    """Tell of each epoch whether its validation loss fell far enough below that of the last such epoch."""
    best, found = float("inf"), []
    for row in history:
        found.append(row["validation_loss"] < best - train.least_gain)
        best = row["validation_loss"] if found[-1] else best
    return found
