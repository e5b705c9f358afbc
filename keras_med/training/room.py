"""A run to how many of its fits go side by side where nobody said how many."""

import numpy as np

from keras_med import runfolder
from keras_med.jobs.job import DONE
from keras_med.recipe.words import Recipe
from keras_med.runfolder import RunFolder
from keras_med.training import memory, runtime

_MOST = 4
_EACH = 1.5 * 1024**3  # bytes of a fit on frozen features, beside those


def side_by_side(run: RunFolder, recipe: Recipe, asked: int | None) -> int:
    """Return what was asked for; else one fit a core where all rest on kept features, and 1 where they do not.

    What is trained behind a frozen backbone is too small for several cores: most of its time goes by between steps. The
    threads of each fit stay what they are, and with them its numbers.
    """
    if asked:
        return asked
    found, machine = runfolder.read_json(run.features / DONE), runfolder.read_json(run.environment)
    if not found["folder"] or recipe.train.fine_tune_from is not None:
        return 1
    if machine["gpus"] or machine["replicas"] > 1:
        return 1
    features = 4 * int(np.prod(found["shape"])) * sum(found["counts"])
    return max(1, min(runtime.cores(), _MOST, int(memory.limit() // (_EACH + memory.held(features)))))
