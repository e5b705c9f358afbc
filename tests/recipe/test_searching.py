from dataclasses import replace
from typing import Any

import pytest

from keras_med import Binary, Data, Float, Holdout, Image, Int, KFold, Model, Recipe, Round, Search, Train
from keras_med.errors import RecipeError
from keras_med.recipe.searching import candidate, check_search, combinations


def network(image: object, *, units: int = 8) -> object:
    return image


RECIPE = Recipe(
    target=Binary(),
    data=Data(lambda root: None),
    image=Image(size=(8, 8)),
    split=Holdout(),
    model=Model(network),
    train=Train(epochs=9),
)


def searched(over: dict[str, Any], **settings: Any) -> Recipe:
    return replace(RECIPE, search=Search(over=over, **settings))


def test_combinations_come_in_the_order_of_the_lists() -> None:
    made = list(combinations(Search(over={"train.batch_size": [8, 16], "model.units": [4, 2]})))
    assert [tuple(one.values()) for one in made] == [(8, 4), (8, 2), (16, 4), (16, 2)]


def test_a_candidate_is_a_whole_checked_recipe() -> None:
    made = candidate(RECIPE, {"model.units": 3, "train.batch_size": 4})
    assert (made.model.settings["units"], made.train.batch_size) == (3, 4)
    with pytest.raises(RecipeError, match="warmup"):
        candidate(RECIPE, {"train.warmup": 20})


@pytest.mark.parametrize(
    ("over", "settings", "told"),
    [
        ({}, {}, "nothing to try"),
        ({"train.learning_rat": [1e-3]}, {}, "Did you mean train.learning_rate"),
        ({"train.batch_size": [8, "many"]}, {}, "a whole number"),
        ({"train.batch_size": []}, {}, "no list of values"),
        ({"train.batch_size": 8}, {}, "no list of values"),
        ({"train.batch_size": [8, 8]}, {}, "twice"),
        ({"train.batch_size": Int(4, 8)}, {}, "needs a list"),
        ({"train.learning_rate": Float(-1.0, 1.0)}, {"by": "random"}, "above 0"),
        ({"image.size": [(8, 8), (16, 16)]}, {}, "cannot be searched"),
        ({"train.threads": [1, 2]}, {}, "cannot be searched"),
        ({"augment.rotate": [5.0]}, {}, "no augment"),
        ({"train.batch_size": list(range(1, 32))}, {}, "31 combinations; search.trials allows 30"),
        ({"train.batch_size": [8]}, {"by": "staged"}, "needs rounds"),
        ({"train.batch_size": [8]}, {"rounds": (Round(epochs=2),)}, "do not go with"),
        (
            {"train.batch_size": [8]},
            {"by": "staged", "rounds": (Round(epochs=2, continues=True),)},
            "has none to continue",
        ),
        (
            {"train.batch_size": [8]},
            {"by": "staged", "rounds": (Round(epochs=5), Round(epochs=5, continues=True))},
            "one of 5 epochs needs more",
        ),
        ({"train.epochs": [8]}, {"by": "hyperband"}, "sets the epochs itself"),
        # 9 epochs, 3 brackets: 9 trials for 1 epoch first, 5 for 3, 3 for all 9
        ({"train.batch_size": [8, 9]}, {"by": "hyperband", "trials": 16}, "Hyperband begins 17 trials"),
        ({"train.batch_size": [8]}, {"metrics": ("mae",)}, "cannot compare 'mae'"),
        ({"train.warmup": [5, 20]}, {}, "train.warmup=20 leaves none"),
    ],
)
def test_a_search_that_cannot_be_done_is_refused_by_name(
    over: dict[str, Any], settings: dict[str, Any], told: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        check_search(searched(over, **settings))
    assert told in str(caught.value)


def test_a_search_beside_folds_without_a_test_part_is_refused() -> None:
    made = searched({"train.batch_size": [8, 16]})
    check_search(replace(made, split=KFold(test=0.15)))
    with pytest.raises(RecipeError, match="nothing is left that chose nothing") as refused:
        check_search(replace(made, split=KFold(test=0)))
    assert refused.value.remedy == "--set split.test=0.15"


def test_a_sound_search_and_none_are_accepted() -> None:
    check_search(RECIPE)
    check_search(searched({"train.learning_rate": [1e-3, 1e-4], "model.units": [4, 8]}))
    check_search(searched({"train.learning_rate": Float(1e-5, 1e-1, log=True)}, by="bayesian", folds=5))


@pytest.mark.parametrize(("low", "high", "told"), [(2, 1, "must be below"), ("a", 1.0, "expected two numbers")])
def test_a_range_that_is_none_is_refused_where_it_is_written(low: Any, high: Any, told: str) -> None:
    for kind in (Float, Int):
        with pytest.raises(RecipeError, match=told):
            kind(low, high)
