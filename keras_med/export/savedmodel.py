"""A `.keras` file to a SavedModel that carries its description and the answers it has to give."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keras_med.errors import RunFailed
from keras_med.export import encoded, int8, litert, manifest, onnx, recording
from keras_med.export.network import before_last_activation, load_network
from keras_med.export.quiet import tensorflow
from keras_med.export.verify import verified_in_fresh_process

if TYPE_CHECKING:
    import keras

Format = Literal["onnx", "litert", "litert_int8"]  # beside the SavedModel
_DISK_FULL = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)}


def publish(
    model_file: Path,
    parent: Path,
    description: Mapping[str, Any],
    *,
    demo: bool,
    formats: Sequence[Format] = (),
    held_out: Path | None = None,
) -> Path:
    """Export under a temporary name, verify in a fresh process, and rename to the next free version number.

    A mismatch raises RunFailed and leaves nothing. The caller's process runs TensorFlow and has trained nothing.

    Args:
        held_out: pictures on which the change by 8-bit weights is measured, as `int8.change` reads them.
    """
    with _temporary(parent) as folder, verified_in_fresh_process(folder) as verified:
        _write(model_file, folder, {**description, "demo": demo}, formats, held_out)
        verified()
        _sync(folder)
        return _claim_version(folder, parent)


def export(model_file: Path, folder: Path, description: Mapping[str, Any], *, formats: Sequence[Format] = ()) -> None:
    """Write an export that nobody has verified yet; `folder` must not exist and appears whole or not at all."""
    with _temporary(folder.parent) as temporary:
        _write(model_file, temporary, description, formats)
        temporary.rename(folder)


def _write(
    model_file: Path,
    folder: Path,
    description: Mapping[str, Any],
    formats: Sequence[Format],
    held_out: Path | None = None,
) -> None:
    tf = tensorflow()
    from keras_med.models import ensemble  # which imports Keras

    if tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")  # the recorded answers are a processor's in float32, not TF32's
    network = load_network(model_file)
    shape = _input_shape(network, model_file)
    found = {"serve": network, "logits": before_last_activation(network), "members": ensemble.each(network)}
    models = {name: model for name, model in found.items() if model is not None}
    answers = recording.record(models, shape, description)
    endpoints = {name: _endpoint(model, shape) for name, model in models.items()}
    measured = {encoded.ENCODED: _add_encoded(endpoints, description)}
    with _disk_full_told(folder):
        _save(endpoints, [variable for model in models.values() for variable in model.variables], folder)
        if "onnx" in formats:
            onnx.write(folder, folder / manifest.ONNX_FILE, shape)
        if "litert" in formats:
            litert.write(folder, folder / manifest.LITERT_FILE, shape)
        if "litert_int8" in formats:
            file = folder / manifest.LITERT_INT8_FILE
            litert.write(folder, file, shape, int8=True)
            measured["int8"] = int8.change(
                lambda pixels: np.asarray(endpoints["serve"](tf.constant(pixels))),
                litert.answers(file)["serve"],
                answers,
                held_out,
            )
        shutil.copyfile(model_file, folder / manifest.KERAS_FILE)
        told = {"members": len(ensemble.members(network)), "golden": answers, **measured}
        manifest.write(folder, {"demo": False, **description, **told})


def _endpoint(model: "keras.Model", shape: tuple[int, ...]) -> Any:
    """Return a network as a function of pixels, traced once."""
    tf = tensorflow()

    def answer(pixels: Any) -> Any:
        return model(pixels, training=False)  # said here: Keras exports some networks in training mode (keras PR#23166)

    return tf.function(answer, input_signature=[tf.TensorSpec((None, *shape), name="pixels")], autograph=False)


def _save(endpoints: Mapping[str, Any], variables: Sequence[Any], folder: Path) -> None:
    """Write the SavedModel. Keras' own archive walks through every layer and traces each function anew to do so."""
    tf = tensorflow()
    held = tf.Module()
    held.weights = list({id(variable): variable.value for variable in variables}.values())
    for name, endpoint in endpoints.items():
        setattr(held, name, endpoint)
    signatures = {name: endpoint.get_concrete_function() for name, endpoint in endpoints.items()}
    signatures["serving_default"] = signatures["serve"]  # what TensorFlow Serving calls
    # the gradients of every operation, which nobody asks of an export, take a third of the time to trace
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(held, str(folder), signatures=signatures, options=options)


def _add_encoded(endpoints: dict[str, Any], description: Mapping[str, Any]) -> dict[str, Any]:
    """Let the SavedModel take PNG and JPEG bytes too, and say how exactly it prepares them, or why it cannot."""
    tf = tensorflow()
    image = manifest.image_of(description)
    reason = encoded.why_not(image)
    if image is None or reason:
        return {"left_out": reason}
    content = [tf.TensorSpec((None,), tf.string, name="image_bytes")]  # TensorFlow Serving decodes base64 for *_bytes
    prepare = tf.function(encoded.preparation(image), input_signature=content, autograph=False)

    def answer(image_bytes: Any) -> Any:
        return endpoints["serve"](prepare(image_bytes))

    endpoints[encoded.PREPARED] = prepare
    endpoints[encoded.ENCODED] = tf.function(answer, input_signature=content, autograph=False)
    return encoded.measure(endpoints, image).to_json()


def _input_shape(network: "keras.Model", model_file: Path) -> tuple[int, ...]:
    """Return the shape of one example; a network with several inputs or of no fixed size is refused."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise RunFailed("A network with several inputs or outputs cannot be exported.", where=str(model_file))
    shape = tuple(network.inputs[0].shape[1:])
    if any(length is None for length in shape):
        raise RunFailed(
            f"The network's input has the shape {shape}; an export needs a fixed one.",
            where=str(model_file),
            remedy="Give Image(size=...) and build the network for it.",
        )
    return shape


@contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    """Give a folder's temporary name beside its final one; whatever is left there at the end is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f".{os.getpid()}-{secrets.token_hex(3)}.unverified"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _claim_version(folder: Path, parent: Path) -> Path:
    """Rename to the next free integer; another run that was quicker gets its number and we take the next."""
    while True:
        taken = [int(path.name) for path in parent.iterdir() if path.name.isdecimal()]
        version = parent / str(max(taken, default=0) + 1)
        try:
            return folder.rename(version)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise


def _sync(folder: Path) -> None:
    """Have every file on the disk before the rename makes them findable."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


@contextmanager
def _disk_full_told(folder: Path) -> Iterator[None]:
    """Tell a full disk alike and by the folder's name, whether Python or TensorFlow met it."""
    try:
        yield
    except (OSError, tensorflow().errors.OpError) as error:
        for number, words in _DISK_FULL.items():
            if words in str(error):
                raise OSError(number, os.strerror(number), str(folder.parent)) from None
        raise
