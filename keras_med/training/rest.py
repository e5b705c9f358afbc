"""What comes after a frozen prefix, written down once, so that no fit builds the backbone only to throw it away."""

import json
from pathlib import Path

import keras
import numpy as np

from keras_med import runfolder
from keras_med.recipe.settings import values_of
from keras_med.recipe.words import Recipe
from keras_med.training.network import PREDICTED, LabelScale

_FILE = "rest.json"
_DECIDING = ("model.", "image.", "target.", "train.precision")


def write(rest: keras.Model, recipe: Recipe, seed: int, job: Path) -> bool:
    """Leave the rest's settings in the features job, if they and a seed alone give its very weights again.

    They do not where the rest holds published weights, as behind a backbone that is frozen in part: then nothing is
    written, and fits build the whole network. `rest` must be of a network built from this seed; its layers draw their
    initial weights, and dropout its seeds, in the order in which they are made.
    """
    text = rest.to_json()
    keras.utils.set_random_seed(seed)
    try:
        again = keras.models.model_from_json(text)
    except (TypeError, ValueError):  # a layer of the recipe's own that Keras cannot make from its settings
        return False
    pairs = zip(rest.variables, again.variables, strict=False)
    if len(rest.variables) != len(again.variables) or not all(_equal(*pair) for pair in pairs):
        return False
    runfolder.write_json(job / _FILE, {"of": _identity(recipe), "rest": text})
    return True


def build(recipe: Recipe, scale: LabelScale, job: Path) -> keras.Model | None:
    """Make the rest with new weights, for labels of this scale; None where its settings are not enough.

    They are of another network where a search changes what comes after the prefix.
    """
    if keras.config.dtype_policy().name != "float32":  # in which it was written down
        return None
    written = runfolder.read_json(job / _FILE) if (job / _FILE).is_file() else {}
    if written.get("of") != _identity(recipe):
        return None
    described = json.loads(written["rest"])
    for layer in described["config"]["layers"]:
        if layer["name"] == PREDICTED:
            layer["config"] |= {"scale": scale.deviation, "offset": scale.mean}
    return keras.models.model_from_json(json.dumps(described))


def _equal(left: keras.Variable, right: keras.Variable) -> bool:
    values = keras.ops.convert_to_numpy(left), keras.ops.convert_to_numpy(right)
    return left.trainable == right.trainable and np.array_equal(*values)


def _identity(recipe: Recipe) -> str:
    """Name the settings that decide about the layers; recipe.py is one for the whole run."""
    chosen = {name: value for name, value in values_of(recipe).items() if name.startswith(_DECIDING)}
    return json.dumps(chosen, sort_keys=True, default=str)
