"""ONNX and LiteRT files give the same answers as the SavedModel beside them, or are refused by name."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_med.errors import EnvironmentProblem, RecipeError, RunFailed
from keras_med.export import formats, manifest
from keras_med.export.savedmodel import Format, export
from keras_med.export.verify import verify
from keras_med.models import ensemble
from keras_med.models.mirroring import both_ways

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")
pytest.importorskip("ai_edge_litert")


def picture_network() -> keras.Model:
    keras.utils.set_random_seed(5)
    image = keras.Input((12, 10, 3))
    features = keras.layers.Normalization(mean=[90.0, 100, 110], variance=[900.0, 1000, 1100])(image)
    features = keras.layers.Conv2D(4, 3, activation="silu")(features)  # which has a gradient of TensorFlow's own
    features = keras.layers.BatchNormalization()(features)
    features = keras.layers.Dropout(0.5)(keras.layers.GlobalMaxPooling2D()(features))
    features = both_ways(image, features)
    return keras.Model(image, keras.layers.Activation("sigmoid")(keras.layers.Dense(1)(features)))


def ensemble_network(activation: str | None) -> keras.Model:
    """Return the mean of three heads on features that are computed once."""
    keras.utils.set_random_seed(7)
    image = keras.Input((12, 10, 3))
    features = keras.layers.Conv2D(16, 3, activation="relu")(keras.layers.Rescaling(1 / 64)(image))
    features = keras.layers.GlobalAveragePooling2D()(features)
    heads = {}
    for name in ("fold0", "fold1", "fold2"):
        given = keras.Input((16,))
        start = keras.initializers.RandomNormal(0, 4)
        end = keras.layers.Dense(3 if activation == "softmax" else 1, kernel_initializer=start)(given)
        heads[name] = keras.Model(given, end if activation else keras.layers.Rescaling(18.0, 50.0)(end))
    return keras.Model(image, ensemble.joined(features, heads, activation, "mean"))


def volume_network() -> keras.Model:
    keras.utils.set_random_seed(6)
    image = keras.Input((8, 8, 6, 1))
    features = keras.layers.MaxPool3D(2)(keras.layers.Conv3D(4, 3, activation="relu")(image))
    return keras.Model(image, keras.layers.Dense(1)(keras.layers.Flatten()(features)))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    picture_network().save(folder / "model.keras")
    export(folder / "model.keras", folder / "export", {}, formats=["onnx", "litert"])
    return folder / "export"


def test_every_format_passes_on_the_same_golden_images(exported: Path, caplog: pytest.LogCaptureFixture) -> None:
    checks = verify(exported).checks
    assert not caplog.records, "a gradient that is left out is no news"
    assert [(check.format, check.output) for check in checks] == [
        (name, output) for name in ("SavedModel", "ONNX", "LiteRT") for output in ("logits", "serve")
    ]
    assert all(check.passed for check in checks)
    assert {manifest.ONNX_FILE, manifest.LITERT_FILE} <= set(manifest.read(exported)["files"])


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", None])
def test_every_format_of_an_ensemble_says_what_each_member_says(activation: str | None, tmp_path: Path) -> None:
    network = ensemble_network(activation)
    network.save(tmp_path / "model.keras")
    kind = {"sigmoid": "binary", "softmax": "classes"}.get(str(activation), "regression")
    told = {"target": {"kind": kind, "unit": "mm"}}
    export(tmp_path / "model.keras", tmp_path / "export", told, formats=["onnx", "litert", "litert_int8"])
    checks = verify(tmp_path / "export").checks
    outputs = ["logits", "serve", "members"] if activation else ["serve", "members"]
    names = ("SavedModel", "ONNX", "LiteRT", "LiteRT int8")
    assert [(check.format, check.output) for check in checks] == [(name, out) for name in names for out in outputs]
    assert all(check.difference < 1e-3 for check in checks if "int8" not in check.format)
    content = manifest.read(tmp_path / "export")
    served, said = (np.array(content["golden"][name]) for name in ("served", "members"))
    np.testing.assert_allclose(said.reshape(len(said), 3, -1).mean(axis=1), served, rtol=1e-5, atol=1e-6)
    assert content["members"] == 3
    assert content["golden"]["needed_span"] == (4 if activation else 18)
    onnx = pytest.importorskip("onnx").load(str(tmp_path / "export" / manifest.ONNX_FILE))
    held = [int(np.prod(each.dims)) for each in onnx.graph.initializer]
    assert held.count(3 * 3 * 3 * 16) == 1, "what the members share is there once, for all outputs"


def test_the_onnx_file_takes_any_batch_and_answers_as_the_network(exported: Path) -> None:
    session = onnxruntime.InferenceSession(str(exported / manifest.ONNX_FILE), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(1).uniform(0, 255, (11, 12, 10, 3)).astype("float32")
    network = keras.saving.load_model(exported / manifest.KERAS_FILE)
    for size in (1, 11):
        (answer,) = session.run(["serve"], {"pixels": images[:size]})
        np.testing.assert_allclose(answer, network.predict(images[:size], verbose=0), atol=1e-5)


def test_a_file_of_another_network_does_not_pass(exported: Path, tmp_path: Path) -> None:
    network = picture_network()
    network.layers[-2].bias.assign([0.01])
    network.save(tmp_path / "model.keras")
    export(tmp_path / "model.keras", tmp_path / "other", {}, formats=["litert"])
    content = manifest.read(tmp_path / "other")
    (tmp_path / "other" / manifest.LITERT_FILE).write_bytes((exported / manifest.LITERT_FILE).read_bytes())
    manifest.write(tmp_path / "other", {"golden": content["golden"]})
    with pytest.raises(RunFailed, match=r"^LiteRT logits differs by 0\.01"):
        verify(tmp_path / "other")


def test_volumes_go_to_onnx_and_are_refused_by_litert(tmp_path: Path) -> None:
    volume_network().save(tmp_path / "model.keras")
    with pytest.raises(RecipeError, match=r"LiteRT cannot run a network on volumes \(8 x 8 x 6 x 1\)"):
        export(tmp_path / "model.keras", tmp_path / "export", {}, formats=["litert"])
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    export(tmp_path / "model.keras", tmp_path / "export", {}, formats=["onnx"])
    assert [check.format for check in verify(tmp_path / "export").checks] == ["SavedModel", "ONNX"]


def wide_network(seed: int) -> keras.Model:
    """Return a network whose weights are many enough to be stored in 8 bits."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((12, 10, 3))
    features = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))
    features = keras.layers.Dense(32, activation="relu")(features)
    return keras.Model(image, keras.layers.Dense(1)(features))


def test_8_bit_weights_change_the_answers_within_the_stated_loss_and_halve_the_file(tmp_path: Path) -> None:
    wide_network(7).save(tmp_path / "model.keras")
    export(tmp_path / "model.keras", tmp_path / "export", {}, formats=["litert", "litert_int8"])
    sizes = [(tmp_path / "export" / name).stat().st_size for name in (manifest.LITERT_FILE, manifest.LITERT_INT8_FILE)]
    assert sizes[1] < sizes[0] / 2
    result = verify(tmp_path / "export")
    check = result.checks[-1]
    assert (check.format, check.passed) == ("LiteRT int8", True)
    assert 1e-4 < check.mean <= 0.05 * result.span  # it is another network, and says by how much
    assert check.mean < check.difference
    assert any("LiteRT int8" in line and "of what is allowed" in line for line in result.lines())
    assert manifest.LITERT_INT8_FILE in result.files


def test_8_bit_weights_that_change_the_answers_more_do_not_pass(tmp_path: Path) -> None:
    for seed, name in ((7, "one"), (8, "two")):
        wide_network(seed).save(tmp_path / "model.keras")
        export(tmp_path / "model.keras", tmp_path / name, {}, formats=["litert_int8"])
    content = manifest.read(tmp_path / "one")
    other = (tmp_path / "two" / manifest.LITERT_INT8_FILE).read_bytes()
    (tmp_path / "one" / manifest.LITERT_INT8_FILE).write_bytes(other)
    manifest.write(tmp_path / "one", {"golden": content["golden"]})
    with pytest.raises(RunFailed, match=r"LiteRT int8 serve differs .*allowed in the mean is 5% of the outputs'"):
        verify(tmp_path / "one")


def test_a_format_whose_package_is_absent_is_refused_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    formats.check(["onnx", "litert", "litert_int8"])
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(
        EnvironmentProblem, match=r"ai-edge-litert: it is not installed.\npip install 'keras_med\[litert"
    ):
        formats.check(["litert_int8"])


@pytest.mark.parametrize(("name", "missing"), [("onnx", "onnxruntime"), ("litert", "ai_edge_litert.interpreter")])
def test_a_format_without_its_package_says_what_to_install(
    name: Format, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture_network().save(tmp_path / "model.keras")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(EnvironmentProblem, match=rf"not installed.\npip install 'keras_med\[{name}\]'"):
        export(tmp_path / "model.keras", tmp_path / "export", {}, formats=[name])
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
