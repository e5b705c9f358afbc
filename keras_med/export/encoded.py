"""Bytes of PNG and JPEG files to prepared pixels inside the SavedModel, as the readers make them or nearly so.

A server that knows nothing of keras_med then takes files. Resizing is that of `data.resizing`, written as products of
matrices; decoding is TensorFlow's, which turns no picture upright and rounds a JPEG's colours its own way. By how much
pixels and answers differ is measured on generated files, stands in keras_med.json and is measured again by `verify`.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from keras_med.export import golden
from keras_med.export.quiet import tensorflow
from keras_med.recipe.words import Image

PREPARED, ENCODED = "prepared", "encoded"  # the two signatures, and the second's name in keras_med.json
GREY_LEVELS = 4.0  # that decoders may be apart
_SEED = 21
_EACH = 2
_FINE = 257.0
_GREY = (0.299, 0.587, 0.114)  # as data.pixels has them


@dataclass(frozen=True)
class Difference:
    """How far a SavedModel's own preparation is from the readers', at most.

    grey_levels: of a pixel, 0-255
    answer: of an output of the network
    files: generated ones: PNG of 8 and 16 bits and JPEG, of the network's size, larger and smaller
    """

    grey_levels: float
    answer: float
    files: int

    def to_json(self) -> dict[str, Any]:
        """Return what keras_med.json says."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Say it to a reader."""
        told = f"pixels differ by up to {self.grey_levels:.2g} grey levels, answers by {self.answer:.2g}"
        return [f"  SavedModel {ENCODED} (PNG and JPEG bytes, approximate): {told}, on {self.files} generated files"]


def why_not(image: Image | None) -> str:
    """Say why an export cannot take encoded files; nothing where it can."""
    if image is None:
        return "the export does not say how its pictures were prepared"
    if len(image.size) == 3:
        return "PNG and JPEG hold no volumes"
    if image.windows:
        return "its values are windows of a scanner's units, which PNG and JPEG do not hold"
    return ""


def preparation(image: Image) -> Callable[[Any], Any]:
    """Return a function of a string tensor that gives prepared pixels, one picture a row."""
    tf = tensorflow()
    one = tf.TensorSpec(image.shape, tf.float32)

    def prepared(image_bytes: Any) -> Any:
        return tf.map_fn(lambda content: _prepared(tf, content, image), image_bytes, fn_output_signature=one)

    return prepared


def measure(endpoints: Mapping[str, Callable[[Any], Any]], image: Image) -> Difference:
    """Compare the two signatures, on generated files, with what the readers make of them and `serve` answers then."""
    tf = tensorflow()
    files = generated(image)
    with tempfile.TemporaryDirectory() as folder:
        wanted = np.stack([_read(Path(folder) / "picture", content, image) for content in files])
    pairs = {PREPARED: wanted, ENCODED: endpoints["serve"](wanted)}
    grey, answer = (
        float(np.abs(np.asarray(endpoints[name](tf.constant(files))) - np.asarray(right)).max())
        for name, right in pairs.items()
    )
    return Difference(grey, answer, len(files))


def generated(image: Image) -> list[bytes]:
    """Return files of generated pictures: no patient's."""
    height, width = image.size[:2]
    channels = image.shape[-1]
    kinds = [(".png", 1.0, 1.0, 1), (".png", 2.1, 1.3, 1), (".png", 0.6, 1.4, 1), (".png", 1.7, 1.7, 257)]
    made = []
    for number, (suffix, tall, wide, factor) in enumerate([*kinds, (".jpg", 1.9, 2.3, 1), (".jpg", 1.0, 1.0, 1)]):
        size = (max(1, round(tall * height)), max(1, round(wide * width)), channels)
        indices = range(_EACH * number, _EACH * (number + 1))
        stored = golden.images(_SEED, indices, size).astype(np.uint16 if factor > 1 else np.uint8) * factor
        made += [cv2.imencode(suffix, picture)[1].tobytes() for picture in stored]
    return made


def _read(place: Path, content: bytes, image: Image) -> np.ndarray:
    """Read a file as `predict` does: prepared pictures are packed, those of 8 bits to whole grey levels."""
    from keras_med.data import pixels  # resizing needs SciPy, which `verify --help` must not load

    place.write_bytes(content)
    stored, values = pixels.read(place, None, image)
    return pixels.unpack(pixels.pack(values, stored.bits))


def _prepared(tf: Any, content: Any, image: Image) -> Any:
    """Decode, put on the 0-255 scale, give channels, resize and round, in the readers' order."""
    deep = tf.logical_and(
        tf.equal(tf.strings.substr(content, 1, 3), b"PNG"), tf.equal(tf.strings.substr(content, 24, 1), b"\x10")
    )
    decoded = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.cast(tf.io.decode_jpeg(content, dct_method="INTEGER_ACCURATE"), tf.float32) * _FINE,
        lambda: tf.cast(tf.io.decode_png(content, dtype=tf.uint16), tf.float32),
    )
    grey = tf.shape(decoded)[-1] < 3
    decoded = tf.cond(grey, lambda: decoded[..., :1], lambda: decoded[..., :3])  # alpha is dropped
    scaled = _scaled(tf, decoded, deep, image)
    resized = _resized(tf, _with_channels(tf, scaled, grey, image.shape[-1]), image.size[:2])
    return tf.ensure_shape(tf.where(deep, tf.round(resized * _FINE) / _FINE, tf.round(resized)), image.shape)


def _scaled(tf: Any, decoded: Any, deep: Any, image: Image) -> Any:
    """Bring values of 0-65535 to 0-255 as `values.to_scale` does those that the file stores."""
    if image.values == "per_image":
        low, high = tf.reduce_min(decoded), tf.reduce_max(decoded)
    elif isinstance(image.values, str):
        return decoded / _FINE
    else:
        unit = tf.where(deep, 1.0, _FINE)
        low, high = (tf.cast(value, tf.float32) * unit for value in image.values)
    return tf.clip_by_value(tf.math.divide_no_nan(decoded - low, high - low) * 255, 0, 255)


def _with_channels(tf: Any, scaled: Any, grey: Any, channels: int) -> Any:
    if channels == 3:
        return tf.cond(grey, lambda: tf.repeat(scaled, 3, axis=-1), lambda: scaled)
    weights = tf.constant(_GREY)
    return tf.cond(grey, lambda: scaled, lambda: tf.reduce_sum(scaled * weights, axis=-1, keepdims=True))


def _resized(tf: Any, scaled: Any, size: Sequence[int]) -> Any:
    rows, columns = (_weights(tf, tf.shape(scaled)[axis], length) for axis, length in enumerate(size))
    return tf.einsum("ir,rcd,jc->ijd", rows, scaled, columns)


def _weights(tf: Any, length: Any, wanted: int) -> Any:
    """Return the matrix, (wanted, length), of `data.resizing`: by areas where an axis shrinks, by neighbours else."""
    pixel = tf.cast(tf.range(length), tf.float64)[None]
    place = tf.range(wanted, dtype=tf.float64)[:, None]
    step = tf.cast(length, tf.float64) / wanted
    covered = tf.minimum((place + 1) * step, pixel + 1) - tf.maximum(place * step, pixel)
    centre = tf.clip_by_value((place + 0.5) * step - 0.5, 0, tf.cast(length - 1, tf.float64))
    shrunk, grown = tf.maximum(covered, 0) / step, tf.maximum(1 - tf.abs(centre - pixel), 0)
    return tf.cast(tf.where(step > 1, shrunk, grown), tf.float32)
