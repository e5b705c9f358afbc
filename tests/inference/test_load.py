"""A model is found by folder, run or name, and loaded only if it is exactly the one exported."""

import json
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_med.errors import DataError, RecipeError
from keras_med.export import manifest
from keras_med.export.savedmodel import export
from keras_med.inference.load import find_model, load_keras, load_model
from keras_med.runfolder import write_json


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(2)
    image = keras.Input((6, 5, 1))
    logits = keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image)))
    return keras.Model(image, keras.layers.Activation("softmax")(logits))


@pytest.fixture
def exported(network: keras.Model, tmp_path: Path) -> Path:
    network.save(tmp_path / "model.keras")
    export(tmp_path / "model.keras", tmp_path / "model", {"demo": True, "classes": ["a", "b"]})
    return tmp_path / "model"


def an_export(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / manifest.NAME).write_text("{}")
    return folder


def test_a_loaded_model_answers_as_the_network_and_says_that_it_is_a_demo(exported: Path, network: keras.Model) -> None:
    model = load_model(exported)
    images = np.random.default_rng(0).integers(0, 256, (9, 6, 5, 1), np.uint8)
    wanted = network.predict(images.astype(float), verbose=0)
    np.testing.assert_allclose(model.predict(images), wanted, atol=1e-6)
    ratio = np.log(wanted[:, 1] / wanted[:, 0])
    np.testing.assert_allclose(np.diff(model.logits(images))[:, 0], ratio, atol=1e-4)
    assert model.demo
    assert model.shape == (6, 5, 1)
    assert model.changed == ()
    np.testing.assert_allclose(load_keras(exported).predict(images.astype(float), verbose=0), wanted, atol=1e-6)


def test_a_changed_byte_is_refused_by_name_and_can_be_trusted(exported: Path) -> None:
    with (exported / "fingerprint.pb").open("ab") as file:
        file.write(b"\0")
    for load in (load_model, load_keras):
        with pytest.raises(DataError, match=r"fingerprint\.pb has changed"):
            load(exported)
    assert load_model(exported, trust=True).changed == ("fingerprint.pb has changed",)


def test_a_truncated_graph_that_is_trusted_is_refused_in_a_sentence(exported: Path) -> None:
    graph = exported / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:500])
    with pytest.raises(DataError, match="SavedModel cannot be loaded"):
        load_model(exported, trust=True)


def test_an_export_of_a_newer_format_is_refused(exported: Path) -> None:
    path = exported / manifest.NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 9}))
    with pytest.raises(DataError, match="format 9"):
        load_model(exported, trust=True)


def test_a_keras_file_of_another_minor_version_is_refused_even_if_trusted(exported: Path) -> None:
    with zipfile.ZipFile(exported / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["metadata.json"] = json.dumps({"keras_version": "3.99.0", "date_saved": "2030-01-01"}).encode()
    with zipfile.ZipFile(exported / "model.keras", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(DataError, match=r"Keras 3\.99\.0 wrote this file"):
        load_keras(exported, trust=True)


def test_a_model_is_an_export_a_run_folder_a_name_or_a_folder_of_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    second = an_export(Path("saved_models/ages/2"))
    tenth = an_export(Path("saved_models/ages/10"))
    of_a_demo = an_export(Path("runs/ages/20261121T080000Z-00ff/export/1"))
    older = an_export(Path("runs/ages/20261121T070000Z-00ff/export"))
    Path("saved_models/ages/11").mkdir()  # begun and never finished
    an_export(Path("saved_models/ages/.77-a1b2c3.unverified"))
    assert find_model("saved_models/ages/2") == second
    assert find_model("ages") == tenth
    assert find_model("saved_models/ages") == tenth
    assert find_model("ages/2") == second
    assert find_model("runs/ages/20261121T080000Z-00ff") == of_a_demo
    assert find_model("runs/ages/20261121T070000Z-00ff") == older
    Path("runs/ages/latest").symlink_to("20261121T070000Z-00ff")
    assert find_model("runs/ages/latest") == Path("runs/ages/latest/export")


def test_a_run_on_real_data_names_its_export_in_saved_models(tmp_path: Path) -> None:
    export_of_it, run = an_export(tmp_path / "saved_models" / "ages" / "3"), tmp_path / "runs" / "ages" / "one"
    run.mkdir(parents=True)
    write_json(run / "settings.json", {"export": str(export_of_it)})
    assert find_model(str(run)) == export_of_it
    write_json(run / "settings.json", {"demo": False})  # it has not come so far
    with pytest.raises(RecipeError, match="holds no export"):
        find_model(str(run))


def test_what_is_no_model_is_refused_with_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"no model 'ages'(.|\n)*keras_med\.run"):
        find_model("ages")
    an_export(Path("saved_models/ages/1"))
    with pytest.raises(RecipeError, match="Did you mean ages"):
        find_model("age")
    Path("empty").mkdir()
    with pytest.raises(RecipeError, match="holds no export"):
        find_model("empty")
    Path("model.keras").touch()
    with pytest.raises(RecipeError, match="is a file"):
        find_model("model.keras")
    with pytest.raises(RecipeError, match="empty"):
        find_model(" ")
