"""A `.keras` file to a network, in safe mode, with what is wrong with the file said in a sentence."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_med.errors import DataError, EnvironmentProblem
from keras_med.export.quiet import tensorflow

if TYPE_CHECKING:
    import keras

_HOLD_CODE = ("Lambda", "TFSMLayer")
_SQUASHING = ("softmax", "sigmoid")


def load_network(file: Path) -> "keras.Model":
    """Load a `.keras` file; refuse one that is cut off, holds Python code or comes from another Keras major.minor."""
    tensorflow()
    import keras

    if keras.backend.backend() != "tensorflow":
        raise EnvironmentProblem(
            "Exported models are made and read with TensorFlow.", remedy="export KERAS_BACKEND=tensorflow"
        )
    metadata, config = _described(file)
    for layer in _objects(config):
        if layer.get("class_name") in _HOLD_CODE:
            name = layer.get("config", {}).get("name", "?")
            raise DataError(
                f"Layer {name!r} is a {layer['class_name']}, which can run any code when it is loaded.",
                where=str(file),
                remedy="Write it as a Layer class with @keras.saving.register_keras_serializable() and train again.",
            )
    _refuse_other_keras(file, str(metadata.get("keras_version", "")), keras.__version__)
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:
        # Keras has no error class of its own here: anything between KeyError and TypeError, over several lines
        unknown = re.search(r"Could not locate class '(\w+)'", str(error))
        reason = f"nobody registered the class {unknown[1]}" if unknown else _first_line(error)
        raise DataError(
            f"The network cannot be loaded: {reason}",
            where=str(file),
            remedy="Register layers of your own by @keras.saving.register_keras_serializable() and import them.",
        ) from error


def before_last_activation(network: "keras.Model") -> "keras.Model | None":
    """Return the network up to its logits, or None when it does not end in a softmax or sigmoid.

    Probabilities near 0 or 1 look alike whatever goes wrong before them; logits do not.
    """
    import keras

    last = network.layers[-1]
    if last.output is not network.outputs[0] or len(network.outputs) != 1:
        return None
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(network.inputs, last.input)
    if not hasattr(last, "activation") or keras.activations.serialize(last.activation) not in _SQUASHING:
        return None
    if isinstance(last, keras.layers.Activation):
        return keras.Model(network.inputs, last.input)
    if not isinstance(last, keras.layers.Dense):
        return None
    linear = keras.layers.Dense.from_config({**last.get_config(), "activation": None, "name": f"{last.name}_logits"})
    logits = keras.Model(network.inputs, linear(last.input))
    linear.set_weights(last.get_weights())
    return logits


def _described(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return metadata and configuration; a DataError names a file that is cut off or damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()
            metadata = json.loads(archive.read("metadata.json"))
            config = json.loads(archive.read("config.json"))
    except FileNotFoundError:
        raise DataError("There is no such file.", where=str(file)) from None
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
        raise DataError(
            f"This is no whole .keras file: {_first_line(error)}",
            where=str(file),
            remedy="Run the training again with --resume.",
        ) from None
    if damaged:
        raise DataError(
            f"{damaged} inside the .keras file is damaged.", where=str(file), remedy="Train again with --resume."
        )
    return metadata, config


def _objects(value: object) -> Iterator[dict[str, Any]]:
    """Walk through every object of a configuration."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _refuse_other_keras(file: Path, written: str, installed: str) -> None:
    if written.split(".")[:2] != installed.split(".")[:2]:
        raise DataError(
            f"Keras {written or '(unknown)'} wrote this file; Keras {installed} is installed.",
            where=str(file),
            remedy=f"pip install 'keras=={written}'" if written else "",
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
