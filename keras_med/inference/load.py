"""A model's name or folder to a loaded model that is exactly the one exported."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_med import runfolder
from keras_med.engines import TENSORFLOW, Function
from keras_med.errors import DataError, EnvironmentProblem, RecipeError, five_of
from keras_med.export import manifest
from keras_med.export.network import load_network
from keras_med.export.quiet import tensorflow
from keras_med.runfolder import RunFolder

if TYPE_CHECKING:
    import keras

SAVED_MODELS = Path("saved_models")


@dataclass(frozen=True)
class LoadedModel:
    """An exported model.

    manifest: keras_med.json
    changed: what is not as it was written; empty unless the user trusts it nevertheless
    """

    folder: Path
    manifest: dict[str, Any]
    changed: tuple[str, ...]
    _loaded: Any = field(repr=False)

    @property
    def demo(self) -> bool:
        """Whether it was trained on generated data; every line that shows its numbers says DEMO MODEL then."""
        return bool(self.manifest.get("demo"))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one prepared example, channels last."""
        return tuple(self.manifest["golden"]["shape"])

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Return the network's output for a batch of prepared pixels, 0-255."""
        return self._loaded.serve(np.asarray(pixels, np.float32)).numpy()

    def predict_encoded(self, files: Sequence[bytes]) -> np.ndarray:
        """Return the network's output for the bytes of PNG or JPEG files, which the SavedModel prepares itself."""
        if "encoded" not in self._loaded.signatures:
            reason = self.manifest.get("encoded", {}).get("left_out", "it was exported before there were any")
            raise DataError(f"This export has no signature for encoded files: {reason}.", where=str(self.folder))
        return self._loaded.encoded(list(files)).numpy()

    def answer(self, pixels: np.ndarray) -> np.ndarray:
        """Return what every member of an ensemble puts out, one after the other; of a single network its output."""
        return self._answer(np.asarray(pixels, np.float32)).numpy()

    @property
    def function(self) -> Function:
        """The same as what an engine runs."""
        return Function(call=self._answer, shape=self.shape, backend=TENSORFLOW, plain=self.answer)

    @property
    def recorded(self) -> np.ndarray:
        """What `answer` has to give for the golden images, one row each."""
        golden = self.manifest["golden"]
        return np.asarray(golden.get("members", golden["served"]), np.float32)

    @property
    def _answer(self) -> Any:
        return self._loaded.members if "members" in self._loaded.signatures else self._loaded.serve

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Return the output before the last activation, or the output itself of a network that has none."""
        endpoint = self._loaded.logits if "logits" in self._loaded.signatures else self._loaded.serve
        return endpoint(np.asarray(pixels, np.float32)).numpy()


def find_model(reference: str) -> Path:
    """Return the export that MODEL means: itself, a run's, or the newest version of a name in ./saved_models."""
    if not reference.strip():
        raise RecipeError(
            "MODEL is empty.", remedy="Name an export folder, a run folder or a recipe in ./saved_models."
        )
    for place in (Path(reference), SAVED_MODELS / reference):
        if not place.is_dir():
            continue
        for folder in (place, place / "export"):
            found = folder if (folder / manifest.NAME).is_file() else _newest_version(folder)
            if found:
                return found
        if named := _of_run(place):
            return named
        raise RecipeError(
            "This folder holds no export.", where=str(place), remedy="A run makes its export when it has finished."
        )
    if Path(reference).is_file():
        raise RecipeError("MODEL is a file; expected an export's folder.", where=reference)
    raise RecipeError(f"There is no model {reference!r}, here or in ./{SAVED_MODELS}.", remedy=_known(reference))


def load_model(folder: Path, *, trust: bool = False) -> LoadedModel:
    """Load an export; a file that is not as it was written is refused by name, unless the user trusts it."""
    content, changed = _checked(folder, trust)
    tf = tensorflow()
    try:
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"The SavedModel cannot be loaded: {first}", where=str(folder), remedy="Export it again."
        ) from None
    return LoadedModel(folder, content, changed, loaded)


def load_keras(folder: Path, *, trust: bool = False) -> "keras.Model":
    """Load the `.keras` file of an export, for gradients or further training."""
    _checked(folder, trust)
    return load_network(folder / manifest.KERAS_FILE)


def _checked(folder: Path, trust: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    content = manifest.read(folder)
    try:
        changed = tuple(manifest.changes(folder, content))
    except OSError as error:
        raise EnvironmentProblem(f"The export cannot be read: {error.strerror}", where=str(error.filename)) from None
    if changed and not trust:
        remedy = "A model can run any code. --trust uses it all the same."
        raise DataError(
            f"This export is not as it was written: {five_of(list(changed))}.", where=str(folder), remedy=remedy
        )
    return content, changed


def _of_run(place: Path) -> Path | None:
    """Return the export that a run on real data has put into saved_models."""
    settings = RunFolder(place).settings
    named = runfolder.read_json(settings).get("export") if settings.is_file() else None
    return Path(named) if named and (Path(named) / manifest.NAME).is_file() else None


def _newest_version(folder: Path) -> Path | None:
    if not folder.is_dir():
        return None
    versions = [path for path in folder.iterdir() if path.name.isdecimal() and (path / manifest.NAME).is_file()]
    return max(versions, key=lambda path: int(path.name), default=None)


def _known(reference: str) -> str:
    names = sorted(path.name for path in SAVED_MODELS.iterdir() if path.is_dir()) if SAVED_MODELS.is_dir() else []
    close = difflib.get_close_matches(reference, names, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return f"There are: {five_of(names)}." if names else "Train one: python -m keras_med.run RECIPE"
