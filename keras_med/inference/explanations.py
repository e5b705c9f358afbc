"""The explanation job: a run's model and a few of its examples to heat maps, and to those of its shuffled weights."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy import ndimage, stats

from keras_med import runfolder
from keras_med.data.dataset import read_index
from keras_med.errors import DataError, RunFailed
from keras_med.inference.explain import Explainer
from keras_med.runfolder import FitFolder
from keras_med.training import runtime
from keras_med.training.examples import encoded, image_rows
from keras_med.training.fit import recipe_of
from keras_med.training.runtime import Runtime

HEAT = "heat.npy"
SHUFFLED = "shuffled.npy"
COMPARED = 4  # cases whose heat is also made with shuffled weights
OCCLUDED = {2: 2, 3: 1}  # cases whose heat is compared with occlusion: each takes longer than all maps together
BLOCKS = {2: 6, 3: 4}  # along the longest axis, for occlusion


def run_explanations(folder: Path) -> None:
    """Write heat.npy, one plane a case, and done.json; gradients are TensorFlow's, whatever trained the network."""
    given = runfolder.read_json(FitFolder(folder).settings)
    if given["runtime"]["backend"] == "tensorflow":
        runtime.start(Runtime(**given["runtime"]), given["seed"])
        explain_cases(folder, given)
        return
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "keras_med.inference.explanations", str(folder)]
    if subprocess.run(command, env=environment, check=False).returncode:
        raise RunFailed("The heat maps could not be made.", where=str(folder / "log.txt"))


def explain_cases(folder: Path, given: dict[str, Any]) -> None:
    """Explain what the settings list, in this process.

    Args:
        given: cases (ids, each with the number of the output to explain) and signed.
    """
    job = FitFolder(folder)
    recipe = recipe_of(job)  # its layers are registered with it
    network = keras.models.load_model(job.run.model, compile=False)
    table = read_index(job.run.index).set_index("id", drop=False).loc[list(given["cases"])]
    rows = image_rows(table, recipe.image, encoded(table["label"], recipe))
    try:
        planes, slices, others, agreed = _explained(network, rows, list(given["cases"].values()), given)
    except DataError as error:  # this network has nothing to show, which is no fault of the run
        runfolder.write_json(job.done, {"why": error.what})
        return
    np.save(folder / HEAT, planes)
    found: dict[str, Any] = {
        "cases": list(given["cases"]),
        "slices": slices,
        "similarity": similarity(planes, others),
        "why": "",
    }
    known = [each for each in agreed if each is not None]
    found["occlusion"] = {"pictures": len(known), "agreement": float(np.median(known)) if known else None}
    if np.isfinite(others).all():
        np.save(folder / SHUFFLED, others)
    runfolder.write_json(job.done, found)


def similarity(planes: np.ndarray, others: np.ndarray) -> float | None:
    """Return the median rank correlation between maps of the same pictures; None where none varies."""
    pairs = [(one.ravel(), other.ravel()) for one, other in zip(planes, others, strict=False)]
    usable = [pair for pair in pairs if all(np.isfinite(each).all() and np.ptp(each) > 0 for each in pair)]
    if not usable:
        return None
    return float(np.median([stats.spearmanr(*pair).statistic for pair in usable]))


def _explained(
    network: keras.Model, rows: Any, outputs: list[int], given: dict[str, Any]
) -> tuple[np.ndarray, list[int | None], np.ndarray, list[float | None]]:
    """Return one plane of heat a picture, of a volume the hottest slice and its number; the first also as shuffled.

    Last comes how far the first agree with occlusion.
    """
    explainer = Explainer(network, signed=bool(given["signed"]))
    maps = [explainer.heat(rows.read(np.array([at])), output)[0] for at, output in enumerate(outputs)]
    slices = [int(heat.sum(axis=(0, 1)).argmax()) if heat.ndim == 3 else None for heat in maps]
    agreed = list[float | None]()
    for at, heat in enumerate(maps):
        if np.ptp(heat) > 0 and len(agreed) < OCCLUDED[heat.ndim]:  # an empty map ranks nothing
            agreed.append(agreement(explainer, rows.read(np.array([at]))[0], heat, target=outputs[at]))
    with explainer.shuffled(int(given["seed"])):
        others = [explainer.heat(rows.read(np.array([at])), outputs[at])[0] for at in range(len(maps))[:COMPARED]]
    planes, theirs = ([_plane(*each) for each in zip(some, slices, strict=False)] for some in (maps, others))
    return np.stack(planes), slices, np.stack(theirs), agreed


def _plane(heat: np.ndarray, place: int | None) -> np.ndarray:
    return heat if place is None else heat[:, :, place]


def agreement(
    explainer: Explainer, picture: np.ndarray, heat: np.ndarray, *, target: int = 0, side: int | None = None
) -> float | None:
    """Return the rank correlation of heat with occlusion, block by block; None where one of them never varies.

    side: of a block; by default such that 6 lie along a picture, 4 along a volume.
    """
    side = side or max(1, max(heat.shape) // BLOCKS[heat.ndim])
    places = np.indices(heat.shape) // side
    blocks = np.ravel_multi_index(tuple(places), tuple(int(axis.max()) + 1 for axis in places))
    covered = explainer.occlusion(picture, target, side=side)
    pair = [ndimage.mean(each, blocks, np.arange(blocks.max() + 1)) for each in (heat, covered)]
    return None if any(np.ptp(each) == 0 for each in pair) else float(stats.spearmanr(*pair).statistic)


if __name__ == "__main__":
    told = Path(sys.argv[1])
    explain_cases(told, runfolder.read_json(FitFolder(told).settings))
