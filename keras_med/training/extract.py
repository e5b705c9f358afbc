"""The features job: a network to its frozen prefix, and every prepared image through it, once.

Images that change in every epoch have no features to keep: then the fits go through the prefix themselves.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data import augmentation
from keras_med.data.dataset import read_index
from keras_med.data.pipeline import Rows
from keras_med.models import calibration, weights
from keras_med.recipe.words import Recipe
from keras_med.runfolder import FitFolder
from keras_med.training import features, network, rest, runtime
from keras_med.training.examples import Examples, encoded, image_rows
from keras_med.training.fit import recipe_of
from keras_med.training.frozen import graph_hash, split_frozen
from keras_med.training.runtime import Runtime

PROGRESS = "progress.txt"
_BATCH = 32


def run_extraction(folder: Path) -> None:
    """Find the frozen prefix and compute it for every row; done.json says where, or that there is no prefix."""
    fit = FitFolder(folder)
    given = runfolder.read_json(fit.settings)
    recipe = recipe_of(fit)
    if recipe.augment is not None:
        augmentation.check(recipe.augment, recipe.image.shape)
    machine = Runtime(**given["runtime"])
    runtime.start(machine, given["weights_seed"])
    with weights.policy(given["weights"], allow_random=given["demo"], seed=given["weights_seed"]) as record:
        model = network.build(recipe, network.LabelScale())
    used = [{"backbone": one.backbone, "file": Path(one.file).name, "sha256": one.sha256} for one in record.used]
    parts = split_frozen(model)
    outcome: dict[str, Any] = {"weights": used, "random": record.any_random, "folder": None}
    outcome["parameters"] = {"all": model.count_params(), "trained": _trained_parameters(model)}
    if parts is not None:
        prefix, trained = parts
        rest.write(trained, recipe, given["weights_seed"], fit.path)
        calibrated = _calibrate(prefix, fit, recipe, given["fold"]) if record.any_random else 0
        outcome |= {"layers": len(prefix.layers), "calibrated": calibrated}
        table = read_index(fit.run.index)
        if recipe.augment is None:
            outcome |= {"folder": str(_compute(prefix, fit, recipe, table, given)), "rows": len(table)}
            outcome["shape"] = [int(size) for size in prefix.output_shape[1:]]
        else:  # of no rows: only the prefix's weights are kept, for the fits
            features.compute(prefix, _all_rows(table.head(0), recipe), fit.path, _BATCH, fit.path / PROGRESS)
            outcome["reason"] = "images are augmented anew in each epoch, so that frozen features cannot be kept"
    runfolder.write_json(fit.done, outcome)


def _calibrate(prefix: keras.Model, fit: FitFolder, recipe: Recipe, fold: str) -> int:
    """Give a random backbone the statistics of training images; without them its features are next to nothing."""
    rows = Examples(fit.run, fold, recipe).rows("train")
    return calibration.calibrate(prefix, rows.read(np.arange(min(len(rows), calibration.IMAGES))))


def _compute(prefix: keras.Model, fit: FitFolder, recipe: Recipe, table: pd.DataFrame, given: dict[str, Any]) -> Path:
    preparation = {"size": recipe.image.size, "values": recipe.image.values, "channels": recipe.image.channels}
    engine = {**given["runtime"], "batch": _BATCH, "packages": runtime.packages()}
    name = features.key(graph_hash(prefix), table, preparation, engine)
    folder = Path(given["cache"]) / "features" / name
    features.compute(prefix, _all_rows(table, recipe), folder, _BATCH, fit.path / PROGRESS)
    return folder


def _all_rows(table: pd.DataFrame, recipe: Recipe) -> Rows:
    return image_rows(table, recipe.image, encoded(table["label"], recipe))


def _trained_parameters(model: keras.Model) -> int:
    return int(sum(np.prod(variable.shape) for variable in model.trainable_variables))
