"""A SavedModel to one function of pixels that gives all its outputs by name, from which other formats are made."""

from pathlib import Path
from typing import Any

from keras_med.export.golden import OUTPUTS
from keras_med.export.quiet import tensorflow


def together(saved_model: Path, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return the loaded SavedModel, which holds the variables and must be kept, and a `tf.function` over it.

    Converters that are given two signatures write the network twice, or only one of them.
    """
    tf = tensorflow()
    loaded = tf.saved_model.load(str(saved_model))
    endpoints = {name: getattr(loaded, name) for name in OUTPUTS if name in loaded.signatures}
    pixels = tf.TensorSpec((None, *shape), tf.float32, name="pixels")

    def all_outputs(pixels: Any) -> dict[str, Any]:
        return {name: endpoint(pixels) for name, endpoint in endpoints.items()}

    return loaded, tf.function(all_outputs, input_signature=[pixels])
