import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_med import Binary, Data, Holdout, Image, Model, Recipe
from keras_med.data.copies import with_mirrored
from keras_med.data.subsets import balanced, beyond, drawn


def table_of(labels: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"{number:05}" for number in range(len(labels))], "label": labels})


def test_each_class_gives_its_share_and_nothing_is_drawn_twice() -> None:
    table = table_of(["a"] * 600 + ["b"] * 300 + ["c"] * 100)
    chosen = drawn(table, 100, kind="classes", seed=1)
    assert table["label"][chosen].value_counts().to_dict() == {"a": 60, "b": 30, "c": 10}


def test_a_number_is_drawn_from_all_its_range() -> None:
    ages = np.random.default_rng(0).permutation(np.linspace(18, 90, 1000))
    chosen = drawn(table_of(list(ages)), 50, kind="regression", seed=1)
    assert np.histogram(ages[chosen], np.quantile(ages, np.linspace(0, 1, 11)))[0].tolist() == [5] * 10


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from("abc"), min_size=2, max_size=200),
    st.integers(1, 200),
    st.integers(1, 200),
    st.integers(0, 5),
)
def test_a_smaller_draw_is_part_of_a_larger_one_in_any_order_of_the_rows(
    labels: list[str], one: int, two: int, seed: int
) -> None:
    table = table_of(list(labels))
    small, large = (drawn(table, count, kind="classes", seed=seed) for count in sorted((one, two)))
    assert small.sum() == min(one, two, len(labels))
    assert not (small & ~large).any()
    shuffled = table.sample(frac=1, random_state=seed)
    assert set(shuffled["id"][drawn(shuffled, min(one, two), kind="classes", seed=seed)]) == set(table["id"][small])
    shares = table["label"].value_counts()
    for label, count in table["label"][small].value_counts().items():
        assert abs(count - shares[label] * small.sum() / len(table)) <= 1


def test_another_seed_draws_others() -> None:
    table = table_of(["a"] * 200)
    assert (drawn(table, 50, kind="classes", seed=1) != drawn(table, 50, kind="classes", seed=2)).any()


@pytest.mark.parametrize("count", [10, 11, 5000])
def test_more_than_there_are_is_all_of_them(count: int) -> None:
    assert drawn(table_of([1] * 10), count, kind="classes", seed=0).all()


def test_balanced_classes_are_as_large_as_the_smallest() -> None:
    table = table_of([1] * 30 + [0] * 170)
    assert table["label"][balanced(table, 3)].value_counts().to_dict() == {0: 30, 1: 30}
    shuffled = table.sample(frac=1, random_state=1)
    assert set(shuffled["id"][balanced(shuffled, 3)]) == set(table["id"][balanced(table, 3)])


def test_a_smaller_fit_takes_the_mirrored_copies_of_its_pictures_and_leaves_the_other_places_alone() -> None:
    table = with_mirrored(table_of(["0", "1"] * 20))
    test = table["id"].str[:5] >= "00030"
    table["place"] = np.where(~test, "train", np.where(table["mirrored"], "unused", "test"))
    recipe = Recipe(
        target=Binary(),
        data=Data(lambda root: None, mirror="training"),
        image=Image(size=(8, 8)),
        split=Holdout(),
        model=Model(lambda image: image),
    )
    left = table[~beyond(table, 10, recipe)]
    assert left["place"].value_counts().to_dict() == {"train": 20, "test": 10, "unused": 10}
    train = left[left["place"] == "train"]
    assert train["id"].str[:5].value_counts().eq(2).all()
    assert train["label"].value_counts().to_dict() == {"0": 10, "1": 10}
