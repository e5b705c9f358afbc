"""The assembly job: a fit on features and its frozen prefix to one whole model that predicts the same."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data.dataset import read_index
from keras_med.errors import RunFailed
from keras_med.models import ensemble, graph, weights
from keras_med.recipe.words import Recipe
from keras_med.runfolder import FitFolder
from keras_med.training import network, runtime
from keras_med.training.ensemble import features_of
from keras_med.training.examples import encoded, image_rows
from keras_med.training.features import Features, job_of
from keras_med.training.fit import prediction_columns, recipe_of
from keras_med.training.folds import FitPlan, read_plan
from keras_med.training.frozen import split_frozen
from keras_med.training.runtime import Runtime

_CHECKED = 32  # images that go through the whole model again
_BOUND = 1e-4


def run_assembly(folder: Path) -> None:
    """Write model.keras of the run from the fit that is exported, after the whole gave that fit's predictions again."""
    job = FitFolder(folder)
    given = runfolder.read_json(job.settings)
    recipe = recipe_of(job)
    runtime.start(Runtime(**given["runtime"]), given["weights_seed"])
    fit = job.run.fit(given["fit"])
    plan = read_plan(fit.path)
    features = features_of(fit, plan)
    model = keras.models.load_model(fit.best, compile=False)
    if features is not None:
        model = _joined(model, fit, plan, recipe, given, features)
    random = bool(runfolder.read_json(job_of(job) / "done.json").get("random"))
    each = zip(ensemble.members(model), map(job.run.fit, plan.members), strict=True)
    difference = max(_difference(*pair, recipe, random=random) for pair in [(model, fit), *each])
    if not difference <= _BOUND and not _in_bfloat16(job):  # which is off by what its precision costs
        what = f"The whole model differs from the fit's own predictions by {difference:.2g} (allowed: {_BOUND:g})."
        raise RunFailed(what, where=str(fit.path))
    runfolder.write_atomically(job.run.model, lambda file: model.save(file))
    runfolder.write_json(job.done, {"difference": difference, "checked": _CHECKED, "parameters": model.count_params()})


def _in_bfloat16(job: FitFolder) -> bool:
    engine = runfolder.read_json(job_of(job) / "done.json").get("engine") or {}
    return engine.get("precision") == "bfloat16"


def _joined(
    rest: keras.Model, fit: FitFolder, plan: FitPlan, recipe: Recipe, given: dict[str, Any], features: Features
) -> keras.Model:
    """Build the whole network and give its two parts their weights; an ensemble follows the part that all share."""
    done = runfolder.read_json(fit.done)
    scale = network.LabelScale() if plan.members else network.LabelScale(done["label_mean"], done["label_deviation"])
    with weights.policy(given["weights"], allow_random=given["demo"], seed=given["weights_seed"]):
        whole = network.build(recipe, scale)
    parts = split_frozen(whole)
    if parts is None:
        raise RunFailed("The network no longer has the frozen prefix that its features were computed with.")
    parts[0].set_weights(features.weights())
    if plan.members:
        values = graph.again(graph.steps(rest), {id(rest.inputs[0]): parts[0].outputs[0]})
        return keras.Model(parts[0].inputs, values[id(rest.outputs[0])], name="model")
    parts[1].set_weights(rest.get_weights())
    return whole


def _difference(model: keras.Model, fit: FitFolder, recipe: Recipe, *, random: bool) -> float:
    """Return the largest difference between the model on images and what the fit predicted, in its measure."""
    predicted = pd.read_csv(fit.predictions, dtype={"id": str})
    if not len(predicted):  # an ensemble where nothing is left to be predicted
        return 0.0
    spans = predicted.max(numeric_only=True) - predicted.min(numeric_only=True)
    predicted = predicted.drop_duplicates("id").head(_CHECKED).set_index("id")
    table = read_index(fit.run.index)
    table = table[table["id"].isin(predicted.index)]
    rows = image_rows(table, recipe.image, encoded(table["label"], recipe))
    again = np.asarray(model.predict_on_batch(rows.read(np.arange(len(rows)))))
    largest = 0.0
    for column, values in prediction_columns(recipe, again).items():
        before = predicted.loc[table["id"], column].to_numpy(float)
        largest = max(largest, largest_difference(before, values, span=float(spans[column]) if random else 0.0))
    return largest


def largest_difference(before: np.ndarray, again: np.ndarray, *, span: float) -> float:
    """Return the largest |a - b| / max(1, |a|, span).

    span: of all predictions, on random weights: their features are of any size, and where terms of hundreds cancel to a
        prediction near 0, float32 rounds by what the terms are. Of published weights it is 0: they are held to more.
    """
    return float(np.max(np.abs(before - again) / np.maximum(np.maximum(1, np.abs(before)), span)))
