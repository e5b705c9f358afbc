import ast
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom.data
import pytest

from keras_med import Binary, Classes, Regression, tables
from keras_med.data.splits import make_splits
from keras_med.data.starter import write_starter
from keras_med.errors import DataError, RecipeError
from keras_med.recipe.loading import load_recipe

HOUSE = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture(autouse=True)
def own_key_and_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
    monkeypatch.setenv("KERAS_MED_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def write_picture(path, size=(40, 50), colour=False, bits=8):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if colour else size
    values = np.random.default_rng(len(str(path))).integers(0, 2**bits, shape)
    cv2.imwrite(str(path), values.astype(np.uint8 if bits == 8 else np.uint16))


def write_dicom(path, patient, body="HEAD"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm"))
        file.preamble = bytes(128)
        file.PatientID, file.BodyPartExamined = patient, body
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        file.save_as(path)


def started(data, labels=None, *, lines=25):
    """Write the starter, hold it to the house's rules, and return the recipe with its checked table."""
    out = data.parent / "my.py"
    text = write_starter(data, labels, out)
    assert out.read_text() == text
    after_docstring = text.splitlines()[ast.parse(text).body[0].end_lineno :]
    code = [line for line in after_docstring if line.strip()]
    assert len(code) <= lines, text
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--config", str(HOUSE), str(out)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + text
    recipe = load_recipe(str(out)).recipe
    table = tables.checked(recipe.data.index(data), recipe.target)
    kind = "regression" if isinstance(recipe.target, Regression) else "classes"
    make_splits(table, recipe.split, recipe.final, kind=kind, seed=recipe.seed)
    return recipe, table, text


def test_two_class_folders_are_binary_and_the_one_that_is_not_normal_is_positive(data):
    for number in range(6):
        write_picture(data / f"bleeding/{number}.png")
        write_picture(data / f"normal/{number}.png")
    recipe, table, text = started(data)
    assert recipe.target == Binary(positive="bleeding")
    assert (recipe.image.size, recipe.image.channels, recipe.image.values) == ((40, 50), 1, "as_is")
    assert len(table) == 12
    assert "The data name no patients" in text


def test_three_class_folders_with_splits_and_large_colour_pictures(data):
    for side in ("train", "test"):
        for name in ("covid", "normal", "viral pneumonia"):
            for number in range(3):
                write_picture(data / side / name / f"{number}.jpg", size=(500, 640), colour=True)
    recipe, _, _ = started(data)
    assert recipe.target == Classes(names=("covid", "normal", "viral pneumonia"))
    assert recipe.image.shape == (176, 224, 3)


def test_a_csv_of_numbers_without_their_zeros_and_16_bit_pictures(data):
    rows = ["imageId,age"]
    for number in range(40):
        write_picture(data / f"train/{number:06}.png", bits=16)
        rows.append(f"{number},{20 + number}.5")
    (data / "train_age.csv").write_text("\n".join(rows))
    recipe, table, text = started(data, data / "train_age.csv")
    assert isinstance(recipe.target, Regression)
    assert recipe.image.values == "per_image"
    assert "zfill=6" in text
    assert table.set_index("id")["label"]["000007"] == 27.5


def test_a_csv_with_file_names_folders_and_patients(data, tmp_path):
    rows = ["patient,file,sex,finding"]
    for number in range(18):
        suffix = "png" if number % 2 else "jpg"
        write_picture(data / f"p{number % 9}/{number}.{suffix}")
        rows.append(f"{number % 9},p{number % 9}/{number}.{suffix},F,{'ill' if number % 3 else 'normal'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    recipe, table, text = started(data, tmp_path / "labels.csv")
    assert recipe.target == Binary(positive="ill")
    assert 'on="file"' in text
    assert "**/*.{jpg,png}" in text
    assert table["patient"].nunique() == 9
    assert "The data name no patients" not in text


def test_a_csv_of_patients_and_head_ct(data):
    for patient in range(8):
        for number in range(2):
            write_dicom(data / f"dicom/{patient}-{number}.dcm", f"Silva {patient}")
    labels = pd.DataFrame({"PatientID": [f"Silva {patient}" for patient in range(8)], "bleed": [0, 1] * 4})
    labels.to_csv(data / "labels.csv", index=False)
    recipe, table, text = started(data, data / "labels.csv")
    assert recipe.target == Binary(positive=1)
    assert recipe.evaluate.unit == "patient"
    assert recipe.image.values == ((40, 80), (80, 200), (600, 2800))
    assert 'tables.labelled(examples, root / "labels.csv", key="PatientID", label="bleed")' in text
    assert table.groupby("patient").size().tolist() == [2] * 8
    assert "Silva" not in text + table.to_csv()


def test_class_folders_of_dicom_keep_their_patients(data):
    for patient in range(8):
        write_dicom(data / f"{'ill' if patient % 2 else 'healthy'}/series/{patient}.dcm", f"P{patient}", body="CHEST")
    recipe, table, _ = started(data)
    assert recipe.target == Binary(positive="ill")
    assert recipe.image.values == ((40, 400), (-600, 1500), (400, 1800))
    assert table["patient"].nunique() == 8


def test_one_stack_of_volumes_and_a_csv_in_its_order(data):
    np.save(data / "knees.npy", np.random.default_rng(0).random((12, 20, 24, 16), np.float32))
    (data / "labels.csv").write_text("grade\n" + "\n".join("012" * 4))
    recipe, table, _ = started(data, data / "labels.csv")
    assert recipe.target == Classes(names=(0, 1, 2))
    assert recipe.image.shape == (20, 24, 16, 1)
    assert recipe.image.values == (0.0, 1.0)
    assert table["label"].tolist() == [0, 1, 2] * 4


def test_one_stack_of_pictures_and_one_of_labels(data):
    np.save(data / "x.npy", np.full((10, 28, 28), 200, np.uint8))
    np.save(data / "y.npy", np.array([0, 1] * 5))
    recipe, table, _ = started(data)
    assert recipe.target == Binary(positive=1)
    assert recipe.image.shape == (28, 28, 1)
    assert table["label"].tolist() == [0, 1] * 5


def test_one_stack_a_class(data):
    np.save(data / "normal.npy", np.zeros((4, 28, 28, 28), np.float32))
    np.save(data / "abnormal.npy", np.ones((4, 28, 28, 28), np.float32))
    recipe, table, _ = started(data)
    assert recipe.target == Binary(positive="abnormal")
    assert table["label"].value_counts().to_dict() == {"normal": 4, "abnormal": 4}


def test_many_long_class_names_stay_within_the_line(data):
    for name in range(9):
        for number in range(3):
            write_picture(data / f"a class with a rather long name {name}/{number}.png")
    recipe, _, _ = started(data, lines=30)
    assert len(recipe.target.names) == 9


def test_names_that_python_would_read_otherwise_are_quoted(data):
    for name in ('say "no"', "back\\slash"):
        for number in range(3):
            write_picture(data / name / f"{number}.png")
    recipe, table, _ = started(data)
    assert set(table["label"]) == {'say "no"', "back\\slash"}
    assert recipe.target.positive in ('say "no"', "back\\slash")


def test_images_without_a_label_are_left_out_and_counted(data):
    for number in range(10):
        write_picture(data / f"{number}.png")
    (data / "l.csv").write_text("id,label\n" + "".join(f"{n},{n % 2 if n < 8 else ''}\n" for n in range(10)))
    _, table, text = started(data, data / "l.csv")
    assert len(table) == 8
    assert "2 images have none" in " ".join(text.split())


@pytest.mark.parametrize("shape", [(16, 16, 1), (16, 16, 16, 1)])
def test_the_network_gives_features_and_takes_a_width(data, shape):
    import keras

    np.save(data / "x.npy", np.full((10, *shape[:-1]), 200, np.uint8))
    np.save(data / "y.npy", np.array([0, 1] * 5))
    recipe, _, _ = started(data)
    assert recipe.model.network(keras.Input(shape), width=4).shape == (None, 16)


def test_an_existing_recipe_is_not_overwritten(data):
    out = data.parent / "my.py"
    out.write_text("mine")
    with pytest.raises(RecipeError, match="is not overwritten"):
        write_starter(data, None, out)
    assert out.read_text() == "mine"


def test_a_recipe_is_a_python_file(data):
    with pytest.raises(RecipeError, match=r"not 'my\.txt'"):
        write_starter(data, None, data / "my.txt")


def some_pictures(data):
    for number in range(4):
        write_picture(data / f"{number}.png")


def some_labels(text):
    def make(data):
        some_pictures(data)
        (data / "labels.csv").write_text(text)

    return make


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda data: None, "There are no images"),
        (some_pictures, "no class folders"),
        (lambda data: write_dicom(data / "1.dcm", "P"), "lie in no class folders"),
        (lambda data: np.save(data / "x.npy", np.zeros((4, 8, 8))), "one array and no labels"),
        (some_labels("name,label\nx,7\ny,8\n"), "No column of the CSV names the files"),
        (some_labels("id,label\n0,1\n1,1\n"), "looks like a label"),
    ],
)
def test_data_from_which_no_recipe_follows_are_refused_with_what_to_do(data, make, told):
    make(data)
    labels = data / "labels.csv"
    with pytest.raises(DataError, match=told) as raised:
        write_starter(data, labels if labels.exists() else None, data.parent / "my.py")
    assert raised.value.remedy
    assert not (data.parent / "my.py").exists()
