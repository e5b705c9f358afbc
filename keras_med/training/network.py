"""A recipe's network function to the whole model: features, the head the target needs, and its optimizer."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_med.errors import RecipeError
from keras_med.models import graph
from keras_med.models.mirroring import both_ways
from keras_med.recipe.words import Binary, Classes, Recipe, Regression
from keras_med.training import adam, batch_norm, schedules

LOGITS, PROBABILITY, STANDARDISED, PREDICTED = "logits", "probability", "standardised", "predicted"


@dataclass(frozen=True)
class LabelScale:
    """Mean and deviation of the training labels: a regression head starts at the one and steps in the other."""

    mean: float = 0.0
    deviation: float = 1.0


def build(recipe: Recipe, scale: LabelScale) -> keras.Model:
    """Call the recipe's network on an image and add the head; what it returns is checked before any training."""
    image = keras.Input(recipe.image.shape, name="image", dtype="float32")
    features = recipe.model.network(image, **recipe.model.settings)
    _check_tensor(features)
    if recipe.train.mirrored:
        features = both_ways(image, features)
    outputs = _headed(features, recipe, scale) if recipe.model.head else _checked_output(features, recipe)
    return keras.Model(image, outputs, name="model")


def up_to_logits(model: keras.Model) -> keras.Model:
    """Return the network up to its logits, or as it is where it has none.

    They are looked for in the model's own graph: behind a frozen prefix the layer was called once more, and
    `layer.output` is of the first call.
    """
    logits = [step.results[0] for step in graph.steps(model) if step.operation.name == LOGITS]
    return keras.Model(model.inputs[0], logits[0]) if logits else model


def trained_on(model: keras.Model) -> keras.Model:
    """Return what is trained, of the same weights: up to the logits, where there are, for exactness, and fast.

    It is always another model than the one that is saved, whose file thus holds the network alone.
    """
    seen = up_to_logits(model)
    return batch_norm.with_kernels(keras.Model(model.inputs[0], seen.outputs[0]))


def optimizer_for(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer with its schedule over all the epochs that the recipe names."""
    kinds: dict[str, Any] = {
        "adam": adam.Adam,
        "adamw": adam.AdamW,
        "sgd": keras.optimizers.SGD,
    }
    rate = schedules.rate_of_steps(recipe.train, steps)
    train = recipe.train
    settings: dict[str, Any] = {"learning_rate": rate, "global_clipnorm": train.clip}
    if train.weight_decay is not None:
        settings["weight_decay"] = train.weight_decay
    if train.ema is not None:
        settings |= {"use_ema": True, "ema_momentum": train.ema}
    return kinds[train.optimizer](**settings)


def output_width(recipe: Recipe) -> int:
    """Return how many numbers the network puts out for one image."""
    return len(recipe.target.names) if isinstance(recipe.target, Classes) else 1


def _headed(features: Any, recipe: Recipe, scale: LabelScale) -> Any:
    if len(features.shape) != 2:
        remedy = "End it with keras.layers.GlobalAveragePooling2D() or Flatten(), or say Model(network, head=False)."
        raise RecipeError(f"network() returned shape {features.shape}; expected (batch, features)", remedy=remedy)
    if isinstance(recipe.target, Regression):
        standardised = keras.layers.Dense(1, name=STANDARDISED, dtype="float32")(features)
        return keras.layers.Rescaling(scale.deviation, scale.mean, name=PREDICTED, dtype="float32")(standardised)
    logits = keras.layers.Dense(output_width(recipe), name=LOGITS, dtype="float32")(features)
    function = "sigmoid" if isinstance(recipe.target, Binary) else "softmax"
    return keras.layers.Activation(function, name=PROBABILITY, dtype="float32")(logits)


def _check_tensor(features: Any) -> None:
    if not isinstance(features, keras.KerasTensor):
        kind = type(features).__name__
        raise RecipeError(
            f"network() returned a {kind}; expected one Keras tensor", remedy="End network() with return features."
        )
    if any(size is None for size in features.shape[1:]) or not np.all(np.array(features.shape[1:], int) > 0):
        raise RecipeError(f"network() returned shape {features.shape}; its sizes must be known and above 0")


def _checked_output(output: Any, recipe: Recipe) -> Any:
    expected = (None, output_width(recipe))
    if tuple(output.shape) != expected:
        raise RecipeError(f"network() returned shape {output.shape}; with head=False the target needs {expected}")
    return output
