"""A recipe's loss settings to the loss that training and watching use, and to the weights of its classes."""

from typing import Any

import keras
import numpy as np

from keras_med.recipe.words import Classes, Recipe, Regression


@keras.saving.register_keras_serializable("keras_med")
class OneHot(keras.losses.Loss):
    """A loss over rows of shares, for labels that are class numbers.

    Keras' own losses for class numbers know neither smoothing nor focal weights.
    """

    def __init__(self, loss: keras.losses.Loss, name: str = "one_hot") -> None:
        super().__init__(name=name)
        self._loss = loss

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row."""
        numbers = keras.ops.reshape(y_true, (-1,))
        return self._loss.call(keras.ops.one_hot(numbers, y_pred.shape[-1], dtype=y_pred.dtype), y_pred)

    def get_config(self) -> dict[str, Any]:
        """Return what a saved network needs to make it again."""
        return {"loss": keras.losses.serialize(self._loss), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "OneHot":
        """Make it from what get_config returned."""
        return cls(keras.losses.deserialize(config["loss"]), config["name"])


def loss_for(recipe: Recipe, *, smoothed: bool = True) -> keras.losses.Loss:
    """Return the loss that the recipe names, or the one that fits its target.

    Args:
        smoothed: spread the labels as the recipe says; without, a network that is right has a loss of zero.
    """
    name, from_logits = recipe.train.loss, recipe.model.head
    smoothing = recipe.train.label_smoothing if smoothed else 0.0
    if isinstance(recipe.target, Regression):
        numbers: dict[str, Any] = {
            "auto": keras.losses.MeanSquaredError,
            "mean_squared_error": keras.losses.MeanSquaredError,
            "mean_absolute_error": keras.losses.MeanAbsoluteError,
            "huber": keras.losses.Huber,
        }
        return numbers[name]()
    settings = {"from_logits": from_logits, "label_smoothing": smoothing}
    if not isinstance(recipe.target, Classes):
        focal = name == "focal"
        kind: Any = keras.losses.BinaryFocalCrossentropy if focal else keras.losses.BinaryCrossentropy
        return kind(**settings)
    if name == "focal":  # alpha weighs all classes alike here, so it would only scale the learning rate
        return OneHot(keras.losses.CategoricalFocalCrossentropy(alpha=1.0, **settings))
    if smoothing:
        return OneHot(keras.losses.CategoricalCrossentropy(**settings))
    return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)


def class_weights(recipe: Recipe, labels: np.ndarray) -> dict[int, float] | None:
    """Return the weight of every class number by which all classes count the same; None for no weights.

    A class without examples stands in it too, with a weight of one: Keras would fail at its first label.
    """
    if recipe.train.class_weight is None:
        return None
    count = len(recipe.target.names) if isinstance(recipe.target, Classes) else 2
    found = np.bincount(labels.reshape(-1).astype(int), minlength=count)
    share = len(labels) / np.count_nonzero(found)
    return {number: float(share / of_class) if of_class else 1.0 for number, of_class in enumerate(found)}


def weights_of(labels: np.ndarray, classes: dict[int, float] | None) -> np.ndarray | None:
    """Return one weight a row."""
    if classes is None:
        return None
    return np.array([classes[int(label)] for label in labels.reshape(-1)], np.float32)
