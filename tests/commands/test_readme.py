"""What the README tells a newcomer to type, typed."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from keras_med.recipe.loading import load_recipe
from keras_med.recipe.searching import check_search, combinations

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_the_two_commands_install_and_run_and_install_and_test() -> None:
    run, test = (block.splitlines() for block in blocks("bash"))
    assert run[:2] == test[:2] == ["python -m venv .venv", ". .venv/bin/activate"]
    assert run[2:] == ["pip install -e .", "python -m keras_med.run recipes/spr_age.py"]
    assert test[2] == 'pip install -e ".[test]"'
    assert "pytest" in test[3]


def test_the_first_run_works_as_written(command: Command, tmp_path: Path) -> None:
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    _, _, name, *arguments = shlex.split(blocks("bash")[0].splitlines()[-1])
    told = command(name.removeprefix("keras_med."), *arguments, "--smoke")
    assert told.returncode == 0, told.stderr
    assert "DEMO DATA" in told.stdout
    report = next((tmp_path / "runs").glob("spr_age/*-????/report.html")).read_text()
    assert "DEMO DATA" in report
    assert not (tmp_path / "saved_models").exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"python -m keras_med\.(\w+)", README))))
def test_every_command_named_exists_and_takes_the_options_named(name: str, command: Command) -> None:
    told = command(name, "--help")
    assert told.returncode == 0
    for line in re.findall(rf"python -m keras_med\.{name}\b.*", README):
        for option in re.findall(r"(?<=\s)--[a-z-]+", line):
            assert option in told.stdout


def pictures(folder: Path) -> None:
    """Write two folders of pictures, one kind with a bright spot."""
    draw = np.random.default_rng(0)
    for name in ("healthy", "tumour"):
        (folder / name).mkdir(parents=True)
        for number in range(40):
            picture = draw.integers(0, 120, (48, 48), dtype=np.uint8)
            if name == "tumour":
                row, column = draw.integers(8, 40, 2)
                picture[row - 5 : row + 5, column - 5 : column + 5] = 220
            cv2.imwrite(str(folder / name / f"{name[0]}{number:02d}.png"), picture)


def slices(folder: Path) -> None:
    """Write DICOM slices of 40 patients and their labels."""
    draw = np.random.default_rng(0)
    (folder / "dicom").mkdir(parents=True)
    lines = ["PatientID,bleed"]
    for patient in range(40):
        lines.append(f"P{patient},{patient % 2}")
        for number in range(2):
            write_slice(folder / "dicom" / f"{patient:02d}-{number}.dcm", f"P{patient}", draw)
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def write_slice(path: Path, patient: str, draw: np.random.Generator) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    slice_ = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    slice_.PatientID, slice_.Modality = patient, "CT"
    slice_.StudyInstanceUID, slice_.SeriesInstanceUID = generate_uid(), generate_uid()
    slice_.Rows = slice_.Columns = 48
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.BitsAllocated, slice_.BitsStored, slice_.HighBit, slice_.PixelRepresentation = 16, 16, 15, 1
    slice_.RescaleSlope, slice_.RescaleIntercept = 1, -1024
    slice_.PixelData = draw.integers(900, 1200, (48, 48), dtype=np.int16).tobytes()
    pydicom.dcmwrite(path, slice_, enforce_file_format=True)


def stack(folder: Path) -> None:
    """Write one array of volumes and its labels."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    np.save(folder / "volumes.npy", draw.normal(size=(60, 32, 32, 16)).astype(np.float32))
    np.save(folder / "labels.npy", np.arange(60) % 2)


def divided_pictures(folder: Path) -> None:
    """Write three classes of pictures in train/ and val/."""
    draw = np.random.default_rng(0)
    for side, count in (("train", 24), ("val", 12)):
        for level, name in enumerate(("Covid", "Normal", "Viral Pneumonia")):
            (folder / side / name).mkdir(parents=True)
            for number in range(count):
                picture = draw.integers(0, 60, (48, 48), dtype=np.uint8) + np.uint8(70 * level)
                cv2.imwrite(str(folder / side / name / f"{name[0]}{number:02d}.png"), picture)


def bleeds(folder: Path) -> None:
    pictures(folder)
    (folder / "tumour").rename(folder / "intraparenchymal")
    (folder / "healthy").rename(folder / "normal")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return random weights in the form in which Keras saves them."""
    import keras

    path = tmp_path_factory.mktemp("weights") / "mobilenet.weights.h5"
    keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None).save_weights(
        path
    )
    return path


@pytest.mark.parametrize(("number", "make"), [(3, divided_pictures), (4, bleeds)], ids=["divided", "folds"])
def test_a_recipe_on_published_weights_runs_with_several_seeds(
    command: Command, tmp_path: Path, weights: Path, number: int, make: Callable[[Path], None]
) -> None:
    (tmp_path / "my.py").write_text(blocks("python")[number])
    make(tmp_path / "data")
    settings = ["--set", "model.alpha=0.35", "--set", "train.repeats=5", "--set", "image.size=32,32"]
    told = command("run", "my.py", "--data", "data", "--weights", weights, *settings, "--smoke")
    assert told.returncode == 0, told.stderr
    assert "mean of 2 seeds: Accuracy" in told.stdout


@pytest.mark.parametrize(
    ("number", "make"), [(0, pictures), (1, slices), (2, stack)], ids=["folders", "DICOM", "stack"]
)
def test_a_recipe_for_own_data_is_short_and_runs(
    command: Command, tmp_path: Path, number: int, make: Callable[[Path], None]
) -> None:
    text = blocks("python")[number]
    assert len(text.strip().splitlines()) <= 25
    (tmp_path / "my.py").write_text(text)
    make(tmp_path / "data")
    told = command("run", "my.py", "--data", "data", "--smoke")
    assert told.returncode == 0, told.stderr
    assert "patients shared" in told.stderr or "groups of twins shared" in told.stderr
    assert "DEMO" not in told.stdout


def test_the_search_fits_the_end_of_a_recipe(tmp_path: Path) -> None:
    ends = [block for block in blocks("python") if "search=Search(" in block]
    (tmp_path / "my.py").write_text(f"{blocks('python')[0]}\n\n{ends[0]}")
    recipe = load_recipe(str(tmp_path / "my.py")).recipe
    check_search(recipe)
    assert recipe.search
    assert (len(list(combinations(recipe.search))), recipe.search.folds) == (6, 3)


def test_a_backbone_of_kerashub_fits_the_end_of_a_recipe(command: Command, tmp_path: Path) -> None:
    pytest.importorskip("keras_hub", reason="an extra")
    (end,) = [block for block in blocks("python") if "keras_hub" in block]
    (tmp_path / "my.py").write_text(f"{blocks('python')[0]}\n\n{end.replace('[6, 12, 24, 16]', '[1, 1]')}")
    pictures(tmp_path / "data")
    told = command("run", "my.py", "--data", "data", "--set", "image.size=32,32", "--smoke")
    assert told.returncode == 0, told.stderr
    assert "exported and verified in a fresh process" in told.stderr


def test_a_starter_recipe_for_a_folder_runs(command: Command, tmp_path: Path) -> None:
    pictures(tmp_path / "scans")
    told = command("audit", "scans", "--write", "my.py")
    assert told.returncode == 0, told.stderr
    assert "python -m keras_med.run my.py --data scans" in told.stderr
    told = command("run", "my.py", "--data", "scans", "--smoke")
    assert told.returncode == 0, told.stderr


def test_the_documented_python_is_the_one_that_is_allowed() -> None:
    import configparser

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options"]["python_requires"] == ">=3.11,<3.14"
    assert (3, 11) <= sys.version_info < (3, 14)
