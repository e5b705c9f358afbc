"""A network's weights to their moving average, for a while or for good."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


def take(model: keras.Model) -> None:
    """Give the network the average of its weights, where its optimizer keeps one."""
    model.optimizer.finalize_variable_values(model.trainable_variables)


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """Inside, the network has the average of its weights; training goes on from the weights themselves."""
    if not model.optimizer.use_ema:
        yield
        return
    trained = [keras.ops.convert_to_numpy(variable).copy() for variable in model.trainable_variables]
    take(model)
    try:
        yield
    finally:
        for variable, values in zip(model.trainable_variables, trained, strict=True):
            variable.assign(values)
