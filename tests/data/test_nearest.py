"""A wrong --data is answered with the folder that was meant."""

import os
from pathlib import Path

import pytest

from keras_med.data.dataset import read_table
from keras_med.data.nearest import with_nearest
from keras_med.errors import DataError
from keras_med.recipe.loading import load_recipe

RECIPES = Path(__file__).parents[2] / "recipes"


def refusal(file: str, root: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        read_table(load_recipe(str(RECIPES / file)).recipe, root, smoke=False)
    return caught.value


@pytest.fixture
def brain(tmp_path: Path) -> Path:
    images = tmp_path / "downloads" / "archive" / "Brain Tumor" / "Brain Tumor"
    images.mkdir(parents=True)
    (images / "Image1.jpg").touch()
    (images.parents[1] / "Brain Tumor.csv").write_text("Image,Class\nImage1,1\n")
    return images.parents[1]


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    for name in ("covid", "normal", "virus"):
        (tmp_path / "set" / "COVID_IEEE" / name).mkdir(parents=True)
        (tmp_path / "set" / "COVID_IEEE" / name / "1.png").touch()
    return tmp_path / "set" / "COVID_IEEE"


def test_pictures_that_a_pattern_misses_are_looked_for_below_and_above(brain: Path) -> None:
    below = refusal("brain_tumor.py", brain.parent)
    assert below.remedy == f"Found Brain Tumor/Brain Tumor one level down: use --data {brain}"
    above = refusal("brain_tumor.py", brain / "Brain Tumor" / "Brain Tumor")
    assert above.remedy == f"Found Brain Tumor/Brain Tumor two levels up: use --data {brain}"


def test_a_csv_that_is_absent_is_looked_for_too(brain: Path) -> None:
    (brain / "Brain Tumor.csv").rename(brain / "Brain Tumor" / "Brain Tumor.csv")
    told = refusal("brain_tumor.py", brain)
    assert told.remedy == f"Found Brain Tumor.csv one level down: use --data '{brain / 'Brain Tumor'}'"


def test_class_folders_one_level_down_are_named_and_so_are_those_above(chest: Path) -> None:
    assert refusal("chest_xray.py", chest.parent).remedy.endswith(f"one level down: use --data {chest}")
    assert refusal("chest_xray.py", chest.parent.parent).remedy.endswith(f"two levels down: use --data {chest}")
    assert refusal("chest_xray.py", chest / "covid").remedy.endswith(f"one level up: use --data {chest}")


def test_what_is_nowhere_near_leaves_the_error_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c" / "d" / "table.csv").touch()  # three levels down
    error = DataError("The data folder lacks a file.", where=str(tmp_path / "a" / "table.csv"), remedy="as before")
    assert with_nearest(error, tmp_path / "a") is error
    elsewhere = DataError("No weights.", where=os.fspath(Path("other") / "place"))
    assert with_nearest(elsewhere, tmp_path) is elsewhere
