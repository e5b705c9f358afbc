"""The features jobs: a network to its frozen prefix, and every prepared image through it, once.

Images that change in every epoch have no features to keep: then the fits go through the prefix themselves.
"""

import functools
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data import augmentation
from keras_med.data.dataset import read_index
from keras_med.data.pipeline import Rows
from keras_med.engines import Compiler, Engine, choose, installed
from keras_med.errors import RunFailed
from keras_med.models import calibration, weights
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Recipe
from keras_med.runfolder import FitFolder, RunFolder
from keras_med.training import blocks, features, network, rest, runtime, tuning
from keras_med.training.examples import Examples, encoded, image_rows
from keras_med.training.fit import recipe_of
from keras_med.training.frozen import graph_hash, split_frozen
from keras_med.training.runtime import Runtime

PROGRESS = "progress.txt"
_BATCH = 32


def run_extraction(folder: Path) -> None:
    """Find the frozen prefix and compute it for every row; done.json says where, or that there is no prefix."""
    fit = FitFolder(folder)
    given, recipe = runfolder.read_json(fit.settings), recipe_of(fit)
    if recipe.augment is not None:
        augmentation.check(recipe.augment, recipe.image.shape)
    model, record = _built(given, recipe)
    if recipe.train.fine_tune_from is not None:
        tuning.check(model, recipe.train.fine_tune_from)
    used = [{"backbone": one.backbone, "file": Path(one.file).name, "sha256": one.sha256} for one in record.used]
    parts = split_frozen(model)
    outcome: dict[str, Any] = {"weights": used, "random": record.any_random, "folder": None}
    outcome["parameters"] = {"all": model.count_params(), "trained": _trained_parameters(model)}
    if parts is not None:
        prefix, trained = parts
        rest.write(trained, recipe, given["weights_seed"], fit.path)
        calibrated = _calibrate(prefix, fit, recipe, given["fold"]) if record.any_random else 0
        outcome |= {"layers": len(prefix.layers), "calibrated": calibrated}
        if recipe.augment is None or recipe.train.views:
            outcome |= _computed(prefix, fit, recipe, given)
        else:
            features.write_prefix(prefix, fit.path)  # for the fits, through which the images go anew
            outcome["reason"] = (
                "images are changed anew in each epoch, so that frozen features cannot be kept; "
                "train.views=8 would keep those of 8 changed views of each"
            )
    elif recipe.train.views:
        outcome["told"] = "train.views is left aside: nothing in this network is frozen"
    runfolder.write_json(fit.done, outcome)


def run_part(folder: Path) -> None:
    """Compute some blocks of the features that a finished job has planned: with its weights and its engine."""
    part = FitFolder(folder)
    given, recipe = runfolder.read_json(part.settings), recipe_of(part)
    job = part.run.fit(given["features"])
    planned = runfolder.read_json(job.done)
    parts = split_frozen(_built(given, recipe)[0])
    place = Path([planned["folder"], *planned["views"]][given["pass"]])
    if parts is not None:
        parts[0].set_weights(features.prefix_weights(place))
    if parts is None or graph_hash(parts[0]) != planned["graph"]:
        raise RunFailed("The network no longer has the frozen prefix that was planned.", remedy="Start a new run.")
    rows = _passes(read_index(part.run.index), part.run, recipe)[given["pass"]][1]
    told = functools.partial(_tell, part.path / PROGRESS, 0)
    left = [number for number in given["blocks"] if number in blocks.missing(place, len(rows))]
    if left:
        features.compute(Compiler(parts[0], _BATCH).run(Engine(**planned["engine"])), rows, place, left, _BATCH, told)
    runfolder.write_json(part.done, {"blocks": given["blocks"]})


def _built(given: dict[str, Any], recipe: Recipe) -> tuple[keras.Model, weights.Policy]:
    runtime.start(Runtime(**given["runtime"]), given["weights_seed"])
    with weights.policy(given["weights"], allow_random=given["demo"], seed=given["weights_seed"]) as record:
        return network.build(recipe, network.LabelScale()), record


def _calibrate(prefix: keras.Model, fit: FitFolder, recipe: Recipe, fold: str) -> int:
    """Give a random backbone the statistics of training images; without them its features are next to nothing."""
    rows = Examples(fit.run, fold, recipe).rows("train")
    return calibration.calibrate(prefix, rows.read(np.arange(min(len(rows), calibration.IMAGES))))


def _computed(prefix: keras.Model, fit: FitFolder, recipe: Recipe, given: dict[str, Any]) -> dict[str, Any]:
    """Compute the features of every row and view, unless the cache has them; return what the fits need to know.

    Where workers are to share the work, this says only where the features will lie, and how they are made.
    """
    table, cache = read_index(fit.run.index), Path(given["cache"])
    passes = _passes(table, fit.run, recipe)
    if len(passes) > 1:
        positions = passes[1][0].index.to_numpy()
        runfolder.write_atomically(fit.path / features.VIEWED, lambda file: np.save(file, positions))
    of_graph = graph_hash(prefix)
    compiler = Compiler(prefix, _BATCH)
    choice = _engine(compiler, of_graph, passes[0][1], sum(len(part) for part, _, _ in passes), recipe, given)
    engine = Engine(**choice["engine"])
    preparation = {"size": recipe.image.size, "values": recipe.image.values, "channels": recipe.image.channels}
    made_by = {**given["runtime"], **engine.settings(), "batch": _BATCH, "packages": runtime.packages()}
    folders, before = [], 0
    for part, rows, view in passes:
        folder = cache / "features" / features.key(of_graph, part, {**preparation, **view}, made_by)
        features.write_prefix(prefix, folder)
        left = [] if given.get("shared") else blocks.missing(folder, len(rows))
        if left:
            told = functools.partial(_tell, fit.path / PROGRESS, before)
            features.compute(compiler.run(engine), rows, folder, left, _BATCH, told)
        before += len(rows)
        folders.append(str(folder))
    counts = [len(part) for part, _, _ in passes]
    shape = [int(size) for size in prefix.output_shape[1:]]
    planned = {"graph": of_graph, "counts": counts, "shape": shape, "rows": len(table)}
    return {"folder": folders[0], "views": folders[1:], **planned, **choice}


def _passes(table: pd.DataFrame, run: RunFolder, recipe: Recipe) -> list[tuple[pd.DataFrame, Rows, dict[str, Any]]]:
    """Return all rows as they are, and for each view the rows that some fold trains on, as the view changes them."""
    plain: tuple[pd.DataFrame, Rows, dict[str, Any]] = (table, _all_rows(table, recipe), {})
    if recipe.augment is None or not recipe.train.views:
        return [plain]
    splits = pd.read_csv(run.splits, dtype=str, keep_default_na=False)
    trained = table[table["id"].isin(splits.loc[splits["split"] == "train", "id"])]
    rows, seed, changes = _all_rows(trained, recipe), seed_for(recipe.seed, "views"), recipe.augment
    names = trained["id"].to_numpy()

    def view(number: int) -> Rows:
        def read(wanted: np.ndarray) -> np.ndarray:
            pairs = zip(rows.read(wanted), names[wanted], strict=True)
            return np.stack([augmentation.augment(image, changes, seed, number, name) for image, name in pairs])

        return Rows(read, rows.shape, rows.labels)

    made_of = {"changes": asdict(changes), "seed": seed}
    return [plain, *((trained, view(number), {**made_of, "view": number}) for number in range(recipe.train.views))]


def _engine(
    compiler: Compiler, of_graph: str, rows: Rows, count: int, recipe: Recipe, given: dict[str, Any]
) -> dict[str, Any]:
    """Choose the engine once: a job that resumes keeps it, and so does every run that finds the same work here."""
    train, machine = recipe.train, Runtime(**given["runtime"])
    asked = [of_graph, count, train.engine, train.engine_precision, machine.settings(), runtime.processor()]
    name = hashlib.sha256(json.dumps([*asked, runtime.packages(), installed()]).encode()).hexdigest()[:24]
    kept = Path(given["cache"]) / "engines" / f"{name}.json"
    if not kept.is_file():
        images = rows.read(np.resize(np.arange(len(rows)), _BATCH))
        found = choose(compiler, train.engine, train.engine_precision, machine.threads, images, count)
        runfolder.write_json(kept, asdict(found))
    return runfolder.read_json(kept)


def _tell(file: Path, before: int, done: int) -> None:
    file.write_text(f"{before + done}\n", encoding="utf-8")


def _all_rows(table: pd.DataFrame, recipe: Recipe) -> Rows:
    return image_rows(table, recipe.image, encoded(table["label"], recipe))


def _trained_parameters(model: keras.Model) -> int:
    return int(sum(np.prod(variable.shape) for variable in model.trainable_variables))
