"""A run's network to the job that exports it: what its files are told of the training, and where they go."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_med import runfolder
from keras_med.export import job as export_job
from keras_med.export import manifest
from keras_med.inference.training_range import held_out_pictures, training_range
from keras_med.jobs.job import Job
from keras_med.recipe.words import Recipe
from keras_med.runfolder import RunFolder
from keras_med.training import folds


def exporting(run: RunFolder, recipe: Recipe, title: str, settings: Mapping[str, Any]) -> Job:
    """Return the export job of a scored run whose model.keras is there; demo and smoke runs keep their export inside.

    Args:
        settings: the run's own.
    """
    in_run = settings["demo"] or settings["smoke"]
    classes, found = settings["target"]["classes"] or None, runfolder.read_json(run.metrics)
    description = manifest.describe(recipe, name=title, classes=classes, decision=found)
    fold = folds.exported_fold(recipe) or "0"
    description["range"] = training_range(run, recipe, fold)
    told = {
        "model": str(run.model.absolute()),
        "parent": str((run.export if in_run else Path("saved_models") / title).absolute()),
        "description": description,
        "demo": in_run,
        "formats": list(recipe.export.formats),
    }
    if "litert_int8" in recipe.export.formats:
        told["held_out"] = held_out_pictures(run, recipe, fold, description["threshold"])
    return export_job.job(run.fit("export").path, told)
