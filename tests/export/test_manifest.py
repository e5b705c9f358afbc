"""keras_med.json notices every changed byte and says which file it is in."""

import json
import subprocess
from pathlib import Path

import pytest

from keras_med import Binary, Classes, Data, Holdout, Image, Model, Recipe, Regression
from keras_med.errors import DataError
from keras_med.export import manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "variables" / "variables.index").write_bytes(b"index")
    manifest.write(tmp_path, {"golden": {}, "demo": False, "threshold": 0.25, "preparation": {"size": (2, 3)}})
    return tmp_path


def test_hashes_are_those_of_sha256sum(folder: Path) -> None:
    told = subprocess.run(["sha256sum", folder / "saved_model.pb"], capture_output=True, text=True, check=True).stdout
    assert manifest.read(folder)["files"]["saved_model.pb"] == told.split()[0]
    assert list(manifest.read(folder)["files"]) == ["saved_model.pb", "variables/variables.index"]


def test_an_untouched_export_has_no_changes(folder: Path) -> None:
    assert manifest.changes(folder, manifest.read(folder)) == []


def test_a_note_laid_beside_the_model_is_no_change(folder: Path) -> None:
    (folder / "notes.txt").write_text("ours")
    assert manifest.changes(folder, manifest.read(folder)) == []


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("variables/variables.index", b"indey", "variables/variables.index has changed"),
        ("saved_model.pb", None, "saved_model.pb is missing"),
        ("saved_model.cpb", b"another graph", "saved_model.cpb was added"),
    ],
)
def test_a_changed_missing_or_added_file_is_named(folder: Path, name: str, content: bytes | None, told: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    assert manifest.changes(folder, manifest.read(folder)) == [told]


def test_a_changed_threshold_is_noticed(folder: Path) -> None:
    path = folder / manifest.NAME
    path.write_text(path.read_text().replace("0.25", "0.35"))
    assert manifest.changes(folder, manifest.read(folder)) == ["keras_med.json has changed"]


def test_an_export_of_a_newer_format_is_refused(folder: Path) -> None:
    path = folder / manifest.NAME
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(DataError, match=r"format 2; this keras_med reads up to 1.\n(.*\n)?pip install"):
        manifest.read(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format": 1}', '{"format": "1"}', "\x00\x01"])
def test_a_damaged_description_is_refused(folder: Path, text: str) -> None:
    (folder / manifest.NAME).write_text(text)
    with pytest.raises(DataError, match=r"keras_med\.json"):
        manifest.read(folder)


def test_a_folder_without_description_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no export"):
        manifest.read(tmp_path)


def test_a_recipe_describes_its_target_and_preparation() -> None:
    def recipe(target: Binary | Classes | Regression) -> Recipe:
        return Recipe(
            target=target,
            data=Data(lambda root: root),
            image=Image(size=(8, 6), values=((40, 80), (80, 200))),
            split=Holdout(),
            model=Model(lambda image: image),
        )

    calibration = {"method": "temperature", "temperature": 1.5, "offsets": [0.0, -2.0], "examples": 80, "note": ""}
    decision = {"threshold": {"value": 0.3, "target": 0.95}, "calibration": calibration}
    told = manifest.describe(recipe(Binary(positive="bleed")), name="ct", classes=["none", "bleed"], decision=decision)
    assert told["target"] == {"kind": "binary", "positive": "bleed"}
    assert told["preparation"] == {"size": [8, 6], "values": ((40.0, 80.0), (80.0, 200.0)), "channels": 2}
    assert (told["recipe"], told["classes"], told["threshold"]) == ("ct", ["none", "bleed"], 0.3)
    assert told["calibration"] == {"method": "temperature", "temperature": 1.5, "offsets": [0.0, -2.0]}
    assert told["decides_on"] == {"unit": "example", "combine": "mean"}
    assert manifest.describe(recipe(Regression(unit="years")), name="x")["target"] == {
        "kind": "regression",
        "unit": "years",
    }
    assert manifest.describe(recipe(Classes(names=("a", "b"))), name="x")["target"] == {"kind": "classes"}
