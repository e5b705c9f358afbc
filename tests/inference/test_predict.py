"""Files to predictions.csv: the right numbers, reasons for the others, going on after an interruption, exit codes."""

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pydicom
import pytest

from keras_med.errors import DataError, RecipeError
from keras_med.export import manifest
from keras_med.export.savedmodel import export
from keras_med.inference import predict as room
from keras_med.inference.blocks import Blocks
from keras_med.inference.inputs import listed
from keras_med.inference.load import LoadedModel, load_model
from keras_med.inference.range import Range

ROOT = Path(manifest.__file__).parents[2]
THRESHOLD = 0.4


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose answer is the mean of the first window over 255, so that it can be worked out by hand."""
    folder = tmp_path_factory.mktemp("models")
    image = keras.Input((4, 4, 2))
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    dense = keras.layers.Dense(1, activation="sigmoid")
    network = keras.Model(image, dense(mean))
    dense.set_weights([np.array([[4.0], [0.0]]), np.array([-2.0])])
    network.save(folder / "model.keras")
    told = {
        "target": {"kind": "binary", "positive": "1"},
        "classes": ["0", "1"],
        "preparation": {"size": [4, 4], "values": [[40.0, 80.0], [80.0, 200.0]], "channels": 2},
        "threshold": THRESHOLD,
    }
    export(folder / "model.keras", folder / "saved_models" / "bleed" / "1", told)
    return folder / "saved_models" / "bleed" / "1"


@pytest.fixture(scope="module")
def model(exported: Path) -> LoadedModel:
    return load_model(exported)


def ct(path: Path, value: int) -> Path:
    """Write a CT picture of one value in Hounsfield units, of a patient whose name must not get out."""
    one = pydicom.Dataset()
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    one.SOPClassUID, one.SOPInstanceUID = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid()
    one.PatientName, one.PatientID, one.Modality = "Secret^Name", "secret-id", "CT"
    one.Rows = one.Columns = 8
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    one.PixelData = np.full((8, 8), value + 1024, np.uint16).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    one.save_as(path, enforce_file_format=True)
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def test_values_decisions_and_reasons_stand_in_the_order_of_the_names(model: LoadedModel, tmp_path: Path) -> None:
    ct(tmp_path / "in" / "a.dcm", 40)  # the window of 40 and 80 goes from 0 to 80: half way
    ct(tmp_path / "in" / "b.dcm", 80)  # its upper end
    (tmp_path / "in" / "c.dcm").write_text("Dear colleague,")
    ct(tmp_path / "in" / "d", 0)  # a DICOM file without a suffix; the lower end
    (tmp_path / "in" / "notes.txt").write_text("no picture, and not meant as one")
    made = room.predict(model, [str(tmp_path / "in")], tmp_path / "out.csv", tmp_path / "cache")
    rows = table(tmp_path / "out.csv")
    assert [Path(row["path"]).name for row in rows] == ["a.dcm", "b.dcm", "c.dcm", "d"]
    half = sigmoid(4 * 32768 / 65535 - 2)  # training packs deeper files to 16 bits: half way is rounded up
    assert [float(row["p_1"] or -1) for row in rows] == pytest.approx([half, sigmoid(2), -1, sigmoid(-2)], abs=1e-6)
    assert [row["decision"] for row in rows] == ["1", "1", "", "0"]
    assert [row["reason"] for row in rows] == [
        "", "", "not a DICOM file. Leave the file out, or give its picture format.", ""
    ]  # fmt: skip
    assert (made.rows, made.unreadable) == (4, 1)
    assert "secret" not in (tmp_path / "out.csv").read_text().lower().replace(str(tmp_path).lower(), "")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_stack_has_a_row_a_picture_and_a_table_names_files_beside_it(model: LoadedModel, tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", np.stack([np.full((8, 8), value, np.int16) for value in (0, 40, 80)]))
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((8, 8), 40, np.uint8))
    (tmp_path / "list.csv").write_text("path,row\nstack.npy,2\ngrey.png,\nabsent.png,\n")
    named = [str(tmp_path / "stack.npy"), str(tmp_path / "list.csv")]
    room.predict(model, named, tmp_path / "out.csv", tmp_path / "cache")
    rows = table(tmp_path / "out.csv")
    assert [row["row"] for row in rows] == ["0", "1", "2", "2", "", ""]
    packed = sigmoid(4 * 128 / 255 - 2)  # training packs an 8-bit file to 8 bits, and leaves stacks where they are
    wanted = [sigmoid(-2), 0.5, sigmoid(2), sigmoid(2), packed]
    assert [float(row["p_1"]) for row in rows[:5]] == pytest.approx(wanted, abs=1e-6)
    assert rows[5]["reason"] == "There is no such file."


def test_an_interrupted_call_goes_on_and_ends_as_one_that_was_not(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "s.npy", np.stack([np.full((8, 8), value, np.int16) for value in range(0, 80, 10)]))
    named, out = [str(tmp_path / "s.npy")], tmp_path / "out.csv"
    room.predict(model, named, tmp_path / "whole.csv", tmp_path / "cache")
    monkeypatch.setattr(Blocks, "size", 3)
    blocks: list[int] = []
    true = Blocks.rows

    def stops(*given: Any) -> Any:
        blocks.append(len(given[1]))
        if len(blocks) == 2:
            raise KeyboardInterrupt
        return true(*given)

    monkeypatch.setattr(Blocks, "rows", stops)
    with pytest.raises(KeyboardInterrupt):
        room.predict(model, named, out, tmp_path / "cache")
    assert not out.exists()
    with out.with_name("out.csv.part").open("a") as file:
        file.write("cut short in the mid")  # as a killed process leaves it
    room.predict(model, named, out, tmp_path / "cache")
    assert blocks == [3, 3, 3, 2]  # the first block is not made again
    assert out.read_text() == (tmp_path / "whole.csv").read_text()
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.csv"]


def test_a_file_that_changed_after_an_interruption_is_predicted_anew(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "s.npy", np.stack([np.full((8, 8), 40, np.int16)] * 4))
    named, out = [str(tmp_path / "s.npy")], tmp_path / "out.csv"
    monkeypatch.setattr(Blocks, "size", 2)
    true, calls = Blocks.rows, []

    def stops(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return true(*given)

    monkeypatch.setattr(Blocks, "rows", stops)
    with pytest.raises(KeyboardInterrupt):
        room.predict(model, named, out, tmp_path / "cache")
    np.save(tmp_path / "s.npy", np.stack([np.full((8, 8), 80, np.int16)] * 4))
    os.utime(tmp_path / "s.npy", (1, 1))
    room.predict(model, named, out, tmp_path / "cache")
    assert [float(row["p_1"]) for row in table(out)] == pytest.approx([sigmoid(2)] * 4, abs=1e-6)


def test_bad_rows_of_a_table_stop_no_other(model: LoadedModel, tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.stack([np.full((8, 8), 80, np.int16)] * 2))
    long = "x" * 5000
    (tmp_path / "list.csv").write_text(f"path,row\ns.npy,1\n,\ns.npy,99999999999999999999999\n{long},\n")
    room.predict(model, [str(tmp_path / "list.csv")], tmp_path / "out.csv", tmp_path / "cache")
    rows = table(tmp_path / "out.csv")
    assert float(rows[0]["p_1"]) == pytest.approx(sigmoid(2), abs=1e-6)
    assert [bool(row["reason"]) for row in rows] == [False, True, True, True]


def test_bad_files_get_a_sentence_each_and_stop_no_other(model: LoadedModel, tmp_path: Path) -> None:
    known = Range({}, ("CT",))  # flat pictures have no texture to compare
    model = dataclasses.replace(model, manifest={**model.manifest, "range": known.to_json()})
    scans = tmp_path / "in"
    ct(scans / "1-sound.dcm", 40)
    (scans / "2-letter.dcm").write_text("Dear colleague, Anna Miller")
    with ct(scans / "3-cut.dcm", 40).open("rb+") as file:
        file.truncate(300)
    film = pydicom.dcmread(ct(scans / "4-film.dcm", 40))
    film.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML  # which no decoder of ours reads
    film.PixelData = pydicom.encaps.encapsulate([bytes(64)])
    film.save_as(scans / "4-film.dcm")
    other = pydicom.dcmread(ct(scans / "5-other.dcm", 40))
    other.Modality = "MR"
    other.save_as(scans / "5-other.dcm")
    made = room.predict(model, [str(scans)], tmp_path / "out.csv", tmp_path / "cache")
    rows = table(tmp_path / "out.csv")
    assert [bool(row["reason"]) for row in rows] == [False, True, True, True, False]
    for row, told in zip(rows[1:4], ("not a DICOM file", "without pixels", "MPEG2"), strict=True):
        assert told in row["reason"]
        assert "Anna" not in row["reason"]
    assert [row["out_of_range"] for row in rows] == ["", "", "", "", "modality MR"]
    assert [float(rows[at]["p_1"]) for at in (0, 4)] == pytest.approx([0.5, 0.5], abs=1e-4)
    assert (made.unreadable, made.out_of_range) == (3, 1)
    assert made.lines()[-1] == f"Next: look at the column reason and out_of_range of {tmp_path / 'out.csv'}"


def test_the_table_may_not_overwrite_what_is_predicted(model: LoadedModel, tmp_path: Path) -> None:
    listing = tmp_path / "list.csv"
    listing.write_text("path\ns.npy\n")
    with pytest.raises(RecipeError, match="would overwrite"):
        room.predict(model, [str(listing)], listing, tmp_path / "cache")
    with pytest.raises(RecipeError, match="is a folder"):
        room.predict(model, [str(listing)], tmp_path, tmp_path / "cache")
    assert listing.read_text() == "path\ns.npy\n"


def test_a_folder_of_slices_is_one_volume_for_a_network_of_three_dimensions(tmp_path: Path) -> None:
    for name in ("one/1", "one/2", "two/1"):
        ct(tmp_path / name, 0)
    assert [Path(found.path).name for found in listed([str(tmp_path)], 3)] == ["one", "two"]
    assert len(listed([str(tmp_path)], 2)) == 3


def test_nothing_to_predict_is_said(model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "readme.txt").write_text("no picture")
    with pytest.raises(DataError, match="no image"):
        room.predict(model, [str(tmp_path / "in")], tmp_path / "out.csv", tmp_path / "cache")
    (tmp_path / "in" / "a.dcm").write_text("Dear colleague,")
    with pytest.raises(DataError, match="None of the 1 files can be read"):
        room.predict(model, [str(tmp_path / "in")], tmp_path / "out.csv", tmp_path / "cache")


def test_the_command_prints_its_result_alone_and_refuses_what_has_changed(exported: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((8, 8), 40, np.int16))

    def run(*more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "keras_med.predict", "bleed", str(tmp_path / "a.npy"), *more]
        command += ["--out", str(tmp_path / "out.csv"), "--cache", str(tmp_path / "cache")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=exported.parents[2], env=environment, capture_output=True, text=True, check=False
        )

    (tmp_path / "sample.csv").write_text("name,bleed\na,0\n")
    told = run("--json", "--submission", str(tmp_path / "sample.csv"))
    assert told.returncode == 0, told.stderr
    wanted = {
        "format": 1,
        "path": str(tmp_path / "out.csv"),
        "rows": 1,
        "unreadable": 0,
        "demo": False,
        "engine": "SavedModel",
        "out_of_range": 0,
    }
    assert json.loads(told.stdout) == wanted | {"submission": str(tmp_path / "submission.csv"), "heat": None}
    (row,) = table(tmp_path / "submission.csv")
    assert row == {"name": "a", "bleed": table(tmp_path / "out.csv")[0]["p_1"]}
    content = exported / manifest.NAME
    kept = content.read_text()
    content.write_text(kept.replace('"threshold": 0.4', '"threshold": 0.5'))
    try:
        told = run()
    finally:
        content.write_text(kept)
    assert told.returncode == 3
    assert "keras_med.json has changed" in told.stderr
    assert told.stdout == ""
