import re
from pathlib import Path

import pytest

from keras_med.errors import RecipeError
from keras_med.recipe.loading import check_reference, load_recipe

GOOD = '''"""What it does."""
from keras_med import Binary, Data, Holdout, Image, Model, Recipe

def index(root): ...
def network(image, *, width: int = 3): ...

recipe = Recipe(target=Binary(), data=Data(index), image=Image(size=(8, 8)), split=Holdout(), model=Model(network))
other = Recipe(target=Binary(), data=Data(index), image=Image(size=(9, 9)), split=Holdout(), model=Model(network))
'''


def write(folder: Path, text: str, name: str = "my.py") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_file_gives_its_recipe_or_the_one_named(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert load_recipe(path).title == "my"
    other = load_recipe(f"{path}:other")
    assert other.title == "my-other"
    assert other.recipe.image.size == (9, 9)
    assert other.docstring == "What it does."


def test_reading_a_recipe_leaves_no_file_beside_it(tmp_path: Path) -> None:
    load_recipe(write(tmp_path, GOOD))
    assert [path.name for path in tmp_path.iterdir()] == ["my.py"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = (", "not valid Python"),
        ("x = 3", "no recipe named 'recipe'\n"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("y = 1\nz = 1 / 0", "line 2"),
        (GOOD.replace("Holdout()", "Holdout(tset=0.1)", 1), "line 7"),
        (GOOD.replace("size=(8, 8)", "size='large'"), "Image(size=...) is 'large'"),
    ],
)
def test_a_faulty_file_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert told in str(caught.value)
    assert path in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4


def test_a_missing_file_is_told_with_the_near_name(tmp_path: Path) -> None:
    write(tmp_path, GOOD, "spr_age.py")
    with pytest.raises(RecipeError, match=re.escape("spr_age.py")):
        check_reference(str(tmp_path / "spr_agee.py"))


@pytest.mark.parametrize("name", ["recipe.txt", "folder", ""])
def test_what_is_no_python_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="A recipe is a Python file"):
        check_reference(str(tmp_path / name) if name else name)


def test_an_unknown_name_is_told_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=re.escape("Did you mean other?")):
        load_recipe(write(tmp_path, GOOD) + ":othr")
