"""The files of an export and keras_med.json, which says what the model is and what each file's SHA-256 must be."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_med.errors import DataError
from keras_med.recipe.words import Binary, Classes, Image, Recipe
from keras_med.runfolder import FORMAT, write_json

NAME = "keras_med.json"
KERAS_FILE = "model.keras"
ONNX_FILE = "model.onnx"
LITERT_FILE = "model.tflite"
LITERT_INT8_FILE = "model_int8.tflite"
_PACKAGES = ("keras_med", "keras", "tensorflow", "numpy", "tf2onnx", "onnxruntime", "ai-edge-litert")
_READ_BY_TENSORFLOW = ("saved_model", "variables/", "assets")  # what it would pick up although nobody listed it


def describe(
    recipe: Recipe,
    *,
    name: str,
    classes: list[str] | None = None,
    decision: Mapping[str, Any] | None = None,
    data_hash: str | None = None,
) -> dict[str, Any]:
    """Return what an export says about itself, as far as the recipe and its run know it.

    classes: labels in the order of the network's outputs; a binary network's one output is the probability of the last
    decision: threshold and calibration as metrics.json has them; the threshold is one of the network's own output;
        both are of what `decides_on` says
    """
    image = recipe.image
    threshold, calibration = ((decision or {}).get(name) or {} for name in ("threshold", "calibration"))
    fitted = {name: calibration.get(name) for name in ("method", "temperature", "offsets")}
    return {
        "recipe": name,
        "target": _target(recipe),
        "classes": classes,
        "preparation": {"size": list(image.size), "values": image.values, "channels": image.shape[-1]},
        "threshold": threshold.get("value"),
        "decides_on": {"unit": recipe.evaluate.unit, "combine": recipe.evaluate.combine},
        "calibration": fitted if fitted["method"] else None,
        "data_hash": data_hash,
    }


def image_of(content: Mapping[str, Any]) -> Image | None:
    """Return how training pictures were made; None where an export does not say."""
    told = content.get("preparation")
    if not isinstance(told, Mapping):
        return None
    image: dict[str, Any] = {name: _tuples(told[name]) for name in ("size", "values")}
    windows = isinstance(image["values"], tuple) and isinstance(image["values"][0], tuple)
    return Image(**image, channels=None if windows else told["channels"])  # windows have one each


def write(folder: Path, content: Mapping[str, Any]) -> None:
    """Write keras_med.json last of all, with the SHA-256 of every other file and of itself."""
    whole = {**content, "packages": _packages(), "files": hashes(folder)}
    write_json(folder / NAME, whole)
    stored = json.loads((folder / NAME).read_text(encoding="utf-8"))
    write_json(folder / NAME, {**stored, "sha256": _own_hash(stored)})


def read(folder: Path) -> dict[str, Any]:
    """Read keras_med.json; a DataError names a missing or damaged one, or one of a newer format."""
    path = folder / NAME
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"This is no export: it has no {NAME}.", where=str(folder)) from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{NAME} cannot be read: {error}", where=str(folder), remedy="Export the model again."
        ) from None
    found = content.get("format") if isinstance(content, dict) else None
    if isinstance(found, int) and found > FORMAT:
        remedy = "pip install --upgrade keras_med"
        raise DataError(
            f"This export has format {found}; this keras_med reads up to {FORMAT}.", where=str(folder), remedy=remedy
        )
    if found != FORMAT or not isinstance(content.get("files"), dict) or not isinstance(content.get("golden"), dict):
        raise DataError(f"{NAME} is not of format {FORMAT}.", where=str(folder), remedy="Export the model again.")
    return content


def changes(folder: Path, content: Mapping[str, Any]) -> list[str]:
    """Name every file that is missing, has another SHA-256 or was added where TensorFlow would read it."""
    found = hashes(folder)
    listed = content["files"]
    told = [f"{name} is missing" for name in listed if name not in found]
    told += [f"{name} has changed" for name, value in listed.items() if name in found and found[name] != value]
    told += [f"{name} was added" for name in found if name not in listed and name.startswith(_READ_BY_TENSORFLOW)]
    if content.get("sha256") != _own_hash(content):
        told.append(f"{NAME} has changed")
    return told


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below the folder but keras_med.json, by relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _hash(path) for path in files if path != folder / NAME}


def _tuples(value: Any) -> Any:
    """Return the lists of JSON as the tuples that the recipe has."""
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _own_hash(content: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _packages() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _target(recipe: Recipe) -> dict[str, Any]:
    target = recipe.target
    if isinstance(target, Binary):
        return {"kind": "binary", "positive": target.positive}
    if isinstance(target, Classes):
        return {"kind": "classes"}
    return {"kind": "regression", "unit": target.unit}
