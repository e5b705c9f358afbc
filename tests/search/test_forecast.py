"""What a search will train, known before it: as many fits as it then trains, whatever their scores."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from keras_med import Binary, Data, Float, Holdout, Image, Model, Recipe, Round, Search, Train
from keras_med.search import forecast


def index(root: Path) -> Any:
    return None


def network(image: Any, *, units: int = 8) -> Any:
    return image


def recipe(**train: Any) -> Recipe:
    parts: dict[str, Any] = {"target": Binary(), "data": Data(index), "image": Image(size=(8, 8)), "split": Holdout()}
    return Recipe(**parts, model=Model(network), train=Train(epochs=9, batch_size=16, **train))


def shape(search: Search, **train: Any) -> list[list[list[tuple[int, int, int | None]]]]:
    """Return epochs, batch size and examples of every fit of every stage of every batch."""
    found = forecast.batches(dataclasses.replace(recipe(**train), search=search), search)
    return [
        [[(fit["epochs"], fit["batch_size"], fit["examples"]) for fit in stage] for stage in batch["stages"]]
        for batch in found
    ]


def test_a_grid_is_one_batch_of_its_combinations_folds_and_repeats() -> None:
    over = {"train.learning_rate": [1e-2, 1e-3], "train.batch_size": [8, 32]}
    ((stage,),) = shape(Search(over=over, folds=3, repeats=2))
    assert sorted(stage) == 12 * [(9, 8, None)] + 12 * [(9, 32, None)]


def test_rounds_keep_what_they_say_and_have_epochs_and_examples_of_their_own() -> None:
    rounds = (Round(epochs=2, keep=1, examples=40), Round(epochs=4))
    search = Search(over={"train.learning_rate": [1e-2, 1e-3, 1e-4]}, by="staged", rounds=rounds)
    assert shape(search) == [[3 * [(2, 16, 40)]], [[(4, 16, None)]]]


def test_a_round_that_continues_trains_the_rest_of_its_epochs() -> None:
    rounds = (Round(epochs=2, keep=2), Round(epochs=5, keep=1, continues=True), Round(epochs=9, continues=True))
    search = Search(over={"train.learning_rate": [1e-2, 1e-3, 1e-4]}, by="staged", rounds=rounds)
    assert shape(search) == [[3 * [(2, 16, None)]], [2 * [(3, 16, None)]], [[(4, 16, None)]]]


def test_second_stages_are_counted() -> None:
    search = Search(over={"train.learning_rate": [1e-2, 1e-3]})
    assert shape(search, fine_tune_from="all", fine_tune_epochs=5) == [[2 * [(9, 16, None)], 2 * [(5, 16, None)]]]


def test_bayesian_search_asks_in_its_batches() -> None:
    search = Search(over={"train.learning_rate": Float(1e-4, 1e-2, log=True)}, by="bayesian", trials=5, together=2)
    assert [len(batch[0]) for batch in shape(search)] == [2, 2, 1]


@pytest.mark.parametrize("flip", [False, True])
def test_hyperband_s_brackets_do_not_depend_on_the_scores(monkeypatch: pytest.MonkeyPatch, flip: bool) -> None:
    """KerasTuner's brackets of at most 9 epochs: 9, 3, 1 fits of 1, 3, 9 epochs; 5, 2 of 3, 9; and 3 of 9."""
    tell = forecast.Asker.tell
    if flip:
        monkeypatch.setattr(forecast.Asker, "tell", lambda self, scores: tell(self, scores[::-1]))
    search = Search(over={"train.learning_rate": Float(1e-4, 1e-2, log=True)}, by="hyperband")
    epochs = [fit[0] for batch in shape(search) for fit in batch[0]]
    assert sorted(epochs) == 9 * [1] + (3 + 5) * [3] + (1 + 2 + 3) * [9]
