"""The second stage of a fit: the whole network on images, with layers of its frozen part set free.

Batch normalisation keeps the statistics and the scale that it has: Keras overrides a call's training=False under fit,
so that only a layer that is not trainable holds them.
"""

from dataclasses import replace
from pathlib import Path

import keras

from keras_med.errors import RecipeError
from keras_med.recipe.kinds import near
from keras_med.recipe.words import Recipe
from keras_med.runfolder import FitFolder
from keras_med.training.features import Features
from keras_med.training.folds import FitPlan
from keras_med.training.frozen import split_frozen

ALL = "all"


def of_stage(recipe: Recipe, plan: FitPlan) -> Recipe:
    """Return the recipe as the stage of the plan trains by it: the second has epochs and a rate of its own."""
    train = recipe.train
    if plan.head is None:
        return recipe
    return replace(recipe, train=replace(train, epochs=train.fine_tune_epochs, learning_rate=train.fine_tune_rate))


def check(model: keras.Model, layer: str) -> None:
    """Refuse a layer that the network's frozen part does not have, or after which it holds nothing to train."""
    _freed(model, layer)


def begin(model: keras.Model, recipe: Recipe, head: FitFolder, job: Path) -> None:
    """Give a whole network the weights that the first stage ended with, and set its layers free; compile it after that.

    Args:
        head: the fit of the first stage.
        job: the features job that it rests on.
    """
    trained, features = keras.models.load_model(head.best, compile=False), Features.of(job)
    if features is None:  # then images went through the whole network in the first stage too
        model.set_weights(trained.get_weights())
    else:
        prefix, rest = _parts(model)
        prefix.set_weights(features.weights())
        rest.set_weights(trained.get_weights())
    free(model, recipe.train.fine_tune_from or ALL)


def free(model: keras.Model, layer: str) -> None:
    """Let the frozen part be trained from a layer on, and hold all batch normalisation."""
    for each in _freed(model, layer):
        each.trainable = True
    for each in model._flatten_layers():
        if isinstance(each, keras.layers.BatchNormalization):
            each.trainable = False


def _freed(model: keras.Model, layer: str) -> list[keras.Layer]:
    """List the layers of the frozen part from the named one on."""
    layers = _parts(model)[0].layers
    names = [each.name for each in layers]
    weighty = [each.name for each in layers if _has_weights_to_train(each)]
    where = f"train.fine_tune_from={layer!r}"
    if layer != ALL and layer not in names:
        close = near(layer, names)
        known = close if close.startswith("Did") else f"One of all, {', '.join([*weighty[:3], '...', *weighty[-3:]])}."
        raise RecipeError("The frozen part of the network has no such layer.", where=where, remedy=known)
    freed = layers if layer == ALL else layers[names.index(layer) :]
    if not any(_has_weights_to_train(each) for each in freed):
        what = "From this layer on, the frozen part holds no weights to train."
        raise RecipeError(what, where=where, remedy=f"Its last layer with some is {weighty[-1]}." if weighty else "")
    return freed


def _has_weights_to_train(layer: keras.Layer) -> bool:
    return bool(layer.weights) and not isinstance(layer, keras.layers.BatchNormalization)


def _parts(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    parts = split_frozen(model)
    if parts is None:
        what = "train.fine_tune_from sets frozen layers free, and this network does not begin with any."
        raise RecipeError(what, remedy="--set train.fine_tune_from=none, or freeze the backbone (model.frozen=true).")
    return parts
