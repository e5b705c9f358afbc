"""A fit's state to a checkpoint and back, exactly: weights, optimizer, dropout seeds, and what the fit remembers.

Keras' own BackupAndRestore forgets the state of Dropout, the best value so far and the patience used up, and its files
are not written atomically. Here one file holds all, written under a temporary name, synced and renamed; the best
weights are a file of their own that the state names, so that a stop between the two writes harms nothing.
"""

import json
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_med import runfolder
from keras_med.errors import RunFailed
from keras_med.training import averages

_STATE = "state.npz"
Arrays = dict[str, np.ndarray]


@dataclass
class State:
    """What a fit remembers between epochs.

    epoch: number of finished epochs.
    history: one row an epoch.
    best_epoch, best_loss: of the lowest validation loss; -1 and infinity before the first.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = float("inf")


def save(folder: Path, model: keras.Model, state: State, identity: str, best: Arrays | None = None) -> None:
    """Write the state of a compiled model; with a new best epoch, its weights too.

    Args:
        identity: of what is trained on what; a checkpoint of another identity is refused.
        best: the weights of an earlier epoch that became the best one and was not saved.
    """
    arrays = _values(_variables(model))
    if not all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f"):
        raise RunFailed("The weights are no longer finite.", remedy="Lower train.learning_rate, for example by ten.")
    if state.best_epoch == state.epoch - 1:
        best = weights_of(model)
    if best is not None:
        _write(folder / _best_name(state.best_epoch), best)
    _write(folder / _STATE, {**arrays, "told": _bytes({"identity": identity, **asdict(state)})})
    for other in folder.glob("best-*.npz"):
        if other.name != _best_name(state.best_epoch):
            other.unlink()


def weights_of(model: keras.Model) -> Arrays:
    """Return a copy of the weights that count: the averaged ones, where there are any."""
    with averages.averaged(model):
        own = _values(model.variables)
        return {name: array if array.flags.owndata else array.copy() for name, array in own.items()}


def exists(folder: Path) -> bool:
    """Tell whether a fit has one."""
    return (folder / _STATE).is_file()


def take_over(folder: Path, other: Path, identity: str) -> None:
    """Begin with the checkpoint of another fit of the same network, which then counts as one of this identity."""
    saved = _read(other / _STATE)
    told = _told(saved) | {"identity": identity}
    best = _best_name(told["best_epoch"])
    _write(folder / best, _read(other / best))
    _write(folder / _STATE, {**saved, "told": _bytes(told)})


def restore(folder: Path, model: keras.Model, identity: str) -> State:
    """Set a compiled model to its checkpoint and return the state; without a checkpoint the state is new."""
    file = folder / _STATE
    if not exists(folder):
        return State()
    saved = _read(file)
    told = _told(saved)
    if told.pop("identity", None) != identity:
        what = "The checkpoint belongs to other settings or data than this fit."
        raise RunFailed(what, where=str(folder), remedy="Start a new run instead of resuming this one.")
    _assign(_variables(model), saved, file)
    return State(**told)


def restore_best(folder: Path, model: keras.Model, state: State) -> None:
    """Set the model to the weights of its best epoch."""
    file = folder / _best_name(state.best_epoch)
    _assign(model.variables, _read(file), file)


def _told(saved: Arrays) -> dict[str, Any]:
    """Take what stands beside the arrays of a state out of them."""
    return dict(json.loads(saved.pop("told", np.frombuffer(b"{}", np.uint8)).tobytes()))


def _bytes(told: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(json.dumps(told).encode(), np.uint8)


def _variables(model: keras.Model) -> list[Any]:
    """Return all that training changes: weights, seeds of random layers (they are variables too), the optimizer's."""
    return [*model.variables, *model.optimizer.variables]


def _values(variables: list[Any]) -> Arrays:
    return {f"v{number:05d}": np.asarray(keras.ops.convert_to_numpy(one)) for number, one in enumerate(variables)}


def _read(file: Path) -> Arrays:
    """Return all arrays of a file; the archive's checksums tell whether they are as they were written."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
            return {name: saved[name] for name in saved.files}
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        what = f"The checkpoint cannot be read: {type(error).__name__}."
        raise RunFailed(what, where=str(file), remedy="Delete the fit's folder to train it again.") from None


def _assign(variables: list[Any], saved: Arrays, file: Path) -> None:
    arrays = [saved[name] for name in sorted(saved)]
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        what = "The checkpoint belongs to another network or optimizer than this fit's."
        raise RunFailed(what, where=str(file), remedy="Start a new run instead of resuming this one.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _best_name(epoch: int) -> str:
    return f"best-{epoch:05d}.npz"


def _write(file: Path, arrays: Arrays) -> None:
    runfolder.write_atomically(file, lambda temporary: np.savez(temporary, **arrays))  # type: ignore[arg-type]
