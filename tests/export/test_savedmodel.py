"""An export answers exactly as the trained network does; one that does not is never left behind."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_med.errors import DataError, RunFailed
from keras_med.export import manifest
from keras_med.export.network import before_last_activation, load_network
from keras_med.export.savedmodel import export, publish
from keras_med.export.verify import verify

SHAPE = (20, 16, 1)


@keras.saving.register_keras_serializable("keras_med_tests")
class AddsItsTraces(keras.layers.Layer):
    """A layer whose graph is another one each time it is traced, as a careless layer of a recipe may be."""

    traces = 0

    def call(self, inputs: Any) -> Any:
        self.traces += 1
        return inputs + self.traces


def classifier(shape: tuple[int, ...] = SHAPE, *, fused: bool = False) -> keras.Model:
    """Return a network with everything that Keras 3.15 exports in training mode, trained on images of 0-255."""
    keras.utils.set_random_seed(3)
    image = keras.Input(shape)
    features = keras.layers.Resizing(16, 16)(image)
    features = keras.layers.RandomFlip()(features)
    features = keras.layers.Conv2D(6, 3, activation="relu")(features)
    features = keras.layers.BatchNormalization(momentum=0.5)(features)
    features = keras.layers.GlobalAveragePooling2D()(features)
    features = keras.layers.Dropout(0.5)(features)
    if fused:
        return _trained(keras.Model(image, keras.layers.Dense(3, activation="softmax")(features)))
    logits = keras.layers.Dense(3, name="logits", dtype="float32")(features)
    return _trained(keras.Model(image, keras.layers.Activation("softmax", name="probability", dtype="float32")(logits)))


def _trained(network: keras.Model) -> keras.Model:
    network.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", jit_compile=False)
    random = np.random.default_rng(0)
    shape = network.inputs[0].shape[1:]
    labels = random.integers(0, 3, 48)
    images = random.uniform(0, 85, (48, *shape)) + labels.reshape(-1, *[1] * len(shape)) * 60
    network.fit(images, labels, epochs=3, batch_size=16, verbose=0)
    return network


def age_of_a_volume() -> keras.Model:
    keras.utils.set_random_seed(4)
    image = keras.Input((8, 8, 6, 1))
    features = keras.layers.Conv3D(4, 3)(image)
    features = keras.layers.BatchNormalization()(features)
    features = keras.layers.MaxPool3D(2)(features)
    features = keras.layers.Flatten()(features)
    standardised = keras.layers.Dense(1, name="standardised")(features)
    return keras.Model(image, keras.layers.Rescaling(18.0, 50.0, name="predicted")(standardised))


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return classifier()


@pytest.fixture(scope="module")
def file(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "model.keras"
    network.save(path)
    return path


@pytest.fixture(scope="module")
def exported(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "plain"
    export(file, folder, {"target": {"kind": "classes"}, "classes": ["a", "b", "c"]})
    return folder


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copied"))


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_published_models_get_the_next_free_version_and_leave_nothing_beside_them(file: Path, tmp_path: Path) -> None:
    (tmp_path / "ages" / "7").mkdir(parents=True)
    (tmp_path / "ages" / "notes").mkdir()
    folder = publish(file, tmp_path / "ages", {"target": {"kind": "classes"}}, demo=True)
    assert folder == tmp_path / "ages" / "8"
    assert sorted(path.name for path in (tmp_path / "ages").iterdir()) == ["7", "8", "notes"]
    assert manifest.read(folder)["demo"] is True
    assert load_network(folder / "model.keras").count_params() > 0


def test_the_signature_answers_as_predict_for_any_batch_although_keras_would_export_training_mode(
    network: keras.Model, exported: Path
) -> None:
    images = np.random.default_rng(9).uniform(0, 255, (23, *SHAPE)).astype("float32")
    wanted = network.predict(images, verbose=0)
    loaded = tf.saved_model.load(str(exported))
    for size in (1, 2, 7, 23):
        answer = np.concatenate([loaded.serve(images[at : at + size]) for at in range(0, 23, size)])
        np.testing.assert_allclose(answer, wanted, atol=1e-6)
    assert set(loaded.signatures) == {"serve", "logits", "serving_default"}
    served = loaded.signatures["serving_default"]  # what TensorFlow Serving calls
    assert list(served.structured_input_signature[1]) == ["pixels"]
    np.testing.assert_allclose(served(pixels=tf.constant(images))["output_0"], wanted, atol=1e-6)
    logits = loaded.signatures["logits"](tf.constant(images))["output_0"].numpy()
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), wanted, atol=1e-6)


def test_verification_compares_logits_and_says_how_much_they_span(exported: Path) -> None:
    result = verify(exported)
    assert [(check.format, check.output) for check in result.checks] == [
        ("SavedModel", "logits"),
        ("SavedModel", "serve"),
    ]
    assert all(check.difference < 1e-5 and check.repeat_difference == 0 for check in result.checks)
    recorded = np.array(manifest.read(exported)["golden"]["outputs"])
    assert result.span == pytest.approx((recorded.max(axis=0) - recorded.min(axis=0)).max())
    assert result.weak == (result.span < 4)
    assert result.images == 64


def test_a_network_exported_in_training_mode_does_not_pass(network: keras.Model, copied: Path) -> None:
    # written as keras.Model.export writes it, without training=False, in the place of ours and with hashes that fit
    content = manifest.read(copied)
    archive = keras.export.ExportArchive()
    for name, part in {"serve": network, "logits": before_last_activation(network)}.items():
        archive.track(part)
        archive.add_endpoint(name, part.call, [tf.TensorSpec((None, *SHAPE), name="pixels")])
    archive.write_out(str(copied), verbose=False)
    manifest.write(copied, {"golden": content["golden"]})
    with pytest.raises(RunFailed, match="SavedModel logits differs by"):
        verify(copied)


def test_an_export_that_answers_otherwise_is_removed(tmp_path: Path) -> None:
    image = keras.Input((4, 4, 1))
    network = keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(AddsItsTraces()(image))))
    network.save(tmp_path / "model.keras")
    with pytest.raises(RunFailed, match=r"failed its check.*serve differs by"):
        publish(tmp_path / "model.keras", tmp_path / "exports", {}, demo=False)
    assert list((tmp_path / "exports").iterdir()) == []


def test_a_changed_byte_of_the_weights_is_refused_by_name(copied: Path) -> None:
    weights = copied / "variables" / "variables.data-00000-of-00001"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RunFailed, match=r"variables/variables\.data-00000-of-00001 has changed"):
        verify(copied)


def test_a_volume_network_that_regresses_is_compared_in_the_labels_unit(tmp_path: Path) -> None:
    age_of_a_volume().save(tmp_path / "model.keras")
    export(tmp_path / "model.keras", tmp_path / "export", {"target": {"kind": "regression", "unit": "years"}})
    recorded = manifest.read(tmp_path / "export")["golden"]
    assert (recorded["before_activation"], recorded["needed_span"]) == (False, 20)
    assert [check.output for check in verify(tmp_path / "export").checks] == ["serve"]


def test_labels_without_years_need_a_span_of_their_own_deviation(tmp_path: Path) -> None:
    age_of_a_volume().save(tmp_path / "model.keras")
    export(tmp_path / "model.keras", tmp_path / "export", {"target": {"kind": "regression", "unit": "mm"}})
    assert manifest.read(tmp_path / "export")["golden"]["needed_span"] == 18


def test_a_network_trained_in_bfloat16_passes(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        classifier().save(tmp_path / "model.keras")
    finally:
        keras.config.set_dtype_policy("float32")
    export(tmp_path / "model.keras", tmp_path / "export", {})
    assert all(check.passed for check in verify(tmp_path / "export").checks)


def test_a_network_trained_with_jax_is_exported_by_tensorflow(tmp_path: Path) -> None:
    code = (
        "import keras, numpy as np; keras.utils.set_random_seed(1); layers = keras.layers; "
        "net = keras.Sequential([keras.Input((12, 12, 1)), layers.Conv2D(4, 3), layers.BatchNormalization(), "
        "layers.Dropout(0.3), layers.Flatten(), layers.Dense(1), layers.Activation('sigmoid')]); "
        "net.compile('sgd', 'binary_crossentropy'); random = np.random.default_rng(0); "
        "images = random.uniform(0, 255, (16, 12, 12, 1)).astype('float32'); "
        "net.fit(images, random.integers(0, 2, 16), verbose=0); net.save('model.keras'); "
        "np.savez('seen.npz', images=images, answers=net.predict(images, verbose=0))"
    )
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True)
    export(tmp_path / "model.keras", tmp_path / "export", {"target": {"kind": "binary"}})
    assert verify(tmp_path / "export").checks[0].output == "logits"
    with np.load(tmp_path / "seen.npz") as seen:
        loaded = tf.saved_model.load(str(tmp_path / "export"))
        np.testing.assert_allclose(loaded.serve(seen["images"]), seen["answers"], atol=1e-5)


@pytest.mark.parametrize("fused", [False, True])
def test_logits_are_found_before_the_last_activation(fused: bool) -> None:
    network = classifier(fused=fused)
    logits = before_last_activation(network)
    assert logits is not None
    images = np.random.default_rng(2).uniform(0, 255, (5, *SHAPE)).astype("float32")
    wanted = network.predict(images, verbose=0)
    found = logits.predict(images, verbose=0)
    np.testing.assert_allclose(keras.ops.softmax(found), wanted, atol=1e-6)
    assert found.min() < 0


def test_a_network_without_a_last_activation_has_no_logits() -> None:
    assert before_last_activation(age_of_a_volume()) is None


@pytest.mark.parametrize("share", [0.0, 0.3, 0.98])
def test_a_file_that_is_cut_off_is_refused(file: Path, tmp_path: Path, share: float) -> None:
    content = file.read_bytes()
    cut = tmp_path / "model.keras"
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"no whole \.keras file"):
        publish(cut, tmp_path / "exports", {}, demo=False)
    assert list((tmp_path / "exports").iterdir()) == []


def test_a_lambda_layer_is_refused_by_name(tmp_path: Path) -> None:
    image = keras.Input((4, 4, 1))
    doubled = keras.layers.Lambda(lambda value: value * 2, name="doubled")(image)
    keras.Model(image, keras.layers.Flatten()(doubled)).save(tmp_path / "model.keras")
    with pytest.raises(DataError, match="Layer 'doubled' is a Lambda"):
        export(tmp_path / "model.keras", tmp_path / "export", {})


def test_a_layer_that_nobody_registered_is_refused_in_a_sentence(file: Path, tmp_path: Path) -> None:
    class Unknown(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs

    image = keras.Input((4, 4, 1))
    keras.Model(image, keras.layers.Flatten()(Unknown()(image))).save(tmp_path / "model.keras")
    with pytest.raises(DataError, match="nobody registered the class Unknown"):
        export(tmp_path / "model.keras", tmp_path / "export", {})


def test_a_network_of_no_fixed_size_is_refused(tmp_path: Path) -> None:
    image = keras.Input((None, None, 1))
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)).save(tmp_path / "model.keras")
    with pytest.raises(RunFailed, match="fixed"):
        export(tmp_path / "model.keras", tmp_path / "export", {})


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    network = age_of_a_volume()
    network.get_layer("standardised").bias.assign([np.nan])
    network.save(tmp_path / "model.keras")
    with pytest.raises(RunFailed, match="not finite"):
        export(tmp_path / "model.keras", tmp_path / "export", {})


@pytest.mark.parametrize("size", [200, 3000, 30_000])
def test_a_disk_that_takes_no_more_leaves_nothing_behind(file: Path, tmp_path: Path, size: int) -> None:
    with files_limited_to(size), pytest.raises(OSError, match="too large"):
        export(file, tmp_path / "export", {})
    assert list(tmp_path.iterdir()) == []


def test_golden_images_are_no_patients(exported: Path) -> None:
    assert set(json.loads((exported / manifest.NAME).read_text())["golden"]) == {
        "seed", "indices", "count", "shape", "fingerprint", "outputs", "served",
        "before_activation", "span", "needed_span", "weak", "unsteady",
    }  # fmt: skip
