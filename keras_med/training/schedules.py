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
    rate, best, waited = train.learning_rate, float("inf"), 0
    for row in history:
        improved = row["validation_loss"] < best
        best, waited = min(best, row["validation_loss"]), 0 if improved else waited + 1
        if waited >= train.plateau_patience:
            rate, waited = rate * train.plateau_factor, 0
    return rate
