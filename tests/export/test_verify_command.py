"""`python -m keras_med.verify` from the command line: what it prints and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from keras_med.export import manifest
from keras_med.export.savedmodel import export

ROOT = Path(manifest.__file__).parents[2]


def verify(*arguments: str | Path, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "keras_med.verify", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    image = keras.Input((6, 5, 3))
    output = keras.layers.Dense(1, activation="sigmoid")(keras.layers.Flatten()(image))
    keras.Model(image, output).save(folder / "model.keras")
    export(folder / "model.keras", folder / "saved_models" / "bleed" / "1", {"demo": True})
    return folder / "saved_models" / "bleed" / "1"


def test_help_answers_without_keras_and_tensorflow() -> None:
    told = verify("--help")
    assert told.returncode == 0
    assert "MODEL" in told.stdout
    code = "import sys, keras_med.verify; print({'tensorflow', 'keras'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "set()\n"


def test_a_model_is_verified_by_its_name_and_only_the_result_is_on_stdout(exported: Path) -> None:
    told = verify("bleed", "--json", folder=exported.parents[2])
    assert told.returncode == 0, told.stderr
    result = json.loads(told.stdout)
    assert result["format"] == 1
    assert result["demo"] is True
    assert set(result["checks"][0]["seconds"]) == {"1", "3", "7"}
    assert result["files"] == manifest.hashes(exported)
    assert told.stderr == ""


def test_a_changed_byte_ends_with_1_and_names_the_file(exported: Path, tmp_path: Path) -> None:
    graph = exported / "saved_model.pb"
    kept = graph.read_bytes()
    graph.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    try:
        told = verify(exported)
    finally:
        graph.write_bytes(kept)
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr.splitlines()[0] == "This export is not as it was written: saved_model.pb has changed."


@pytest.mark.parametrize(("model", "remedy"), [("bleeds", "Did you mean bleed?"), ("knee", "There are: bleed.")])
def test_a_misspelt_name_ends_with_2_and_the_near_one(exported: Path, model: str, remedy: str) -> None:
    told = verify(model, folder=exported.parents[2])
    assert told.returncode == 2
    assert remedy in told.stderr
    assert len(told.stderr.splitlines()) <= 4


def test_an_argument_that_nobody_knows_ends_with_2() -> None:
    told = verify("bleed", "--jsn")
    assert told.returncode == 2
    assert "--jsn" in told.stderr
