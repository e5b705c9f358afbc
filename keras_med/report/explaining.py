"""A scored run to the job that explains the pictures of its report."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_med.errors import RunFailed
from keras_med.jobs.loop import run_jobs
from keras_med.recipe.words import Recipe
from keras_med.report.contents import Contents, read
from keras_med.report.heat import JOB
from keras_med.report.pictures import worst
from keras_med.report.scored import scored
from keras_med.runfolder import RunFolder
from keras_med.training import folds

_ACTION = "keras_med.inference.explanations:run_explanations"


def explain(run: RunFolder, recipe: Recipe, common: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Let the kept network explain the pictures that the report will show; the report does without where that fails.

    Args:
        common: what stands in every job's settings.
    """
    fit = folds.exported_fit(recipe)
    cases = cases_of(read(run), fit) if fit and recipe.report.heat else {}
    if not cases:
        return
    settings = {**common, "cases": cases, "signed": recipe.target.kind != "regression", "seed": recipe.seed}
    try:
        run_jobs([folds.write_job(run, JOB, _ACTION, settings)])
    except RunFailed as failed:
        say(f"no heat maps: {failed.what}")


def cases_of(contents: Contents, fit: str) -> dict[str, int]:
    """Choose the examples of the gallery, and the output of each to explain: the class called, else the only one.

    Nothing where the figures are not of this fit alone: folds are not scored by the network that is kept.
    """
    found = scored(contents)
    if found.why or set(found.rows["fit"]) != {fit}:
        return {}
    outputs = found.p.argmax(axis=1) if found.p.ndim == 2 else np.zeros(len(found.p), int)
    return {str(found.rows["id"][row]): int(outputs[row]) for row in worst(contents, found)}
