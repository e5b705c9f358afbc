from pathlib import Path
from typing import Any

import pytest

from keras_med import Data, Final, Holdout, Image, KFold, Model, Recipe, Regression, Train
from keras_med.errors import RecipeError
from keras_med.recipe.settings import (
    assigned,
    changed,
    check_assignments,
    settings_of,
    values_of,
    with_values,
)


def index(root: Path) -> Any:
    return None


def network(image: Any, *, width: int = 3) -> Any:
    """Do nothing.

    width: how wide
    """
    return image


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        target=Regression(unit="years"),
        data=Data(index),
        image=Image(size=(8, 8)),
        split=Holdout(),
        model=Model(network),
        train=Train(epochs=7),
    )


def test_every_setting_has_a_meaning_and_an_expected_form(recipe: Recipe) -> None:
    settings = settings_of(recipe)
    assert settings["train.epochs"].value == 7
    assert settings["model.width"].meaning == "how wide"
    assert settings["seed"].value == 0
    assert all(setting.meaning and setting.expected for setting in settings.values())
    assert not {"data.index", "model.network"} & set(settings)  # functions are no settings


def test_every_plain_field_of_every_word_is_a_setting(recipe: Recipe) -> None:
    names = set(settings_of(recipe)) | set(settings_of(changed_split(recipe)))
    assert {"image.size", "image.values", "image.channels", "split.test", "split.folds", "final.share"} <= names


def changed_split(recipe: Recipe) -> Recipe:
    import dataclasses

    return dataclasses.replace(recipe, split=KFold(), final=Final())


def test_an_assignment_changes_one_setting_and_leaves_the_recipe_alone(recipe: Recipe) -> None:
    made = assigned(recipe, ["train.learning_rate=1e-4", "image.size=16,16", "model.width=9", "seed=5"])
    assert made.train.learning_rate == 1e-4
    assert made.image.size == (16, 16)
    assert made.model.settings["width"] == 9
    assert made.seed == 5
    assert recipe.train.learning_rate == 1e-3
    assert recipe.model.settings["width"] == 3


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("train.epochs", "name=value"),
        ("=3", "name=value"),
        ("trian.epochs=3", "Did you mean train.epochs?"),
        ("train.epoch=3", "Did you mean train.epochs?"),
        ("train.epochs=many", "expected a whole number at least 1"),
        ("split.tset=0.1", "Did you mean split.test?"),
    ],
)
def test_what_is_wrong_in_any_recipe_is_refused_before_it_is_read(assignment: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_assignments([assignment])
    assert told in str(caught.value)


def test_what_may_be_right_passes_the_first_look() -> None:
    check_assignments(["split.folds=3", "model.anything=3", "target.unit=years", "seed=1"])


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("model.widht=3", "Did you mean model.width?"),
        ("model.width=wide", "expected a whole number"),
        ("split.folds=3", "no setting 'split.folds' in this recipe"),
        ("final.share=0.9", "this recipe has no final"),
        ("train.batch_size=0", "at least 1"),
    ],
)
def test_what_is_wrong_in_this_recipe_is_refused(recipe: Recipe, assignment: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        assigned(recipe, [assignment])
    assert told in str(caught.value)


def test_values_make_the_same_recipe_again_by_way_of_json(recipe: Recipe) -> None:
    import json

    made = assigned(recipe, ["train.epochs=3", "image.size=4,5", "image.values=[(40,80)]", "model.width=1"])
    again = with_values(recipe, json.loads(json.dumps(values_of(made))))
    assert values_of(again) == values_of(made)
    assert again.image.values == ((40.0, 80.0),)


def test_a_changed_setting_is_checked_as_in_the_file(recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match="expected a number above 0 and below 1"):
        changed(recipe, "split.test", 2.0)
