from collections.abc import Callable

import pytest

from keras_med import Float, Int, Round, Search
from keras_med.recipe.searching import hyperband_trials
from keras_med.search.oracles import Asked, Asker

Score = Callable[[Asked], float | None]


def driven(search: Search, score: Score, *, best: str = "max", epochs: int = 9) -> list[list[Asked]]:
    """Ask and tell until the search is over."""
    batches = []
    with Asker(search, best, epochs, seed=7) as asker:
        while batch := asker.ask():
            batches.append(batch)
            asker.tell([score(one) for one in batch])
    return batches


def rate(one: Asked) -> float:
    return float(one.changes["train.learning_rate"])


def test_a_grid_asks_for_every_combination_once_and_for_all_of_them_at_once() -> None:
    search = Search(over={"train.learning_rate": [1e-2, 1e-3], "model.width": [None, (1, 2)], "train.batch_size": [8]})
    (batch,) = driven(search, rate)
    assert [one.trial for one in batch] == ["t001", "t002", "t003", "t004"]
    assert [tuple(one.changes.values()) for one in batch] == [
        (1e-2, None, 8),
        (1e-2, (1, 2), 8),
        (1e-3, None, 8),
        (1e-3, (1, 2), 8),
    ]


def test_a_staged_search_keeps_the_best_of_each_round_under_their_names() -> None:
    rounds = (Round(epochs=2, keep=3), Round(epochs=5, keep=2), Round(epochs=9))
    search = Search(over={"train.learning_rate": [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]}, by="staged", rounds=rounds)
    worth = {1e-2: 1.0, 1e-3: 4.0, 1e-4: 5.0, 1e-5: 3.0, 1e-6: 2.0}
    batches = driven(search, lambda one: worth[rate(one)])
    assert [[one.trial for one in batch] for batch in batches] == [
        ["t001", "t002", "t003", "t004", "t005"],
        ["t002", "t003", "t004"],
        ["t002", "t003"],
    ]
    assert [[one.round for one in batch] for batch in batches] == [[0] * 5, [1] * 3, [2] * 2]
    assert {one.trial: rate(one) for one in batches[1]} == {"t002": 1e-3, "t003": 1e-4, "t004": 1e-5}


def test_trials_that_fail_go_on_to_no_round_and_a_round_of_failures_ends_the_search() -> None:
    search = Search(
        over={"train.learning_rate": [1e-2, 1e-3, 1e-4]}, by="staged", rounds=(Round(epochs=2, keep=2), Round(epochs=4))
    )
    first, second = driven(search, lambda one: None if rate(one) == 1e-2 else rate(one))
    assert (len(first), [rate(one) for one in second]) == (3, [1e-3, 1e-4])
    assert len(driven(search, lambda one: None)) == 1


@pytest.mark.parametrize("by", ["random", "bayesian", "hyperband"])
def test_the_same_seed_told_the_same_asks_for_the_same(by: str) -> None:
    over = {"train.learning_rate": Float(1e-5, 1e-1, log=True), "train.batch_size": Int(4, 64)}
    search = Search(over=over, by=by, trials=8)
    once = driven(search, lambda one: -abs(rate(one) - 1e-3))
    assert once == driven(search, lambda one: -abs(rate(one) - 1e-3))
    for one in [one for batch in once for one in batch]:
        assert 1e-5 <= rate(one) <= 1e-1
        assert isinstance(one.changes["train.batch_size"], int)
    if by == "random":
        assert [len(batch) for batch in once] == [8]
    if by == "bayesian":
        assert [len(batch) for batch in once] == [4, 4]  # search.together


def test_hyperband_trains_the_best_longer_under_their_names() -> None:
    search = Search(over={"train.learning_rate": Float(1e-5, 1e-1, log=True)}, by="hyperband")
    asked = [one for batch in driven(search, rate, epochs=9) for one in batch]
    rates = {one.trial: rate(one) for one in asked if one.round == 0}
    later = [one for one in asked if one.round > 0]
    assert later
    assert all(rates[one.trial] == rate(one) for one in later)
    assert {one.epochs for one in asked} == {1, 3, 9}
    assert len({one.trial for one in asked}) == hyperband_trials(9) == 17


def test_hyperband_begins_as_many_trials_as_are_counted_beforehand() -> None:
    import keras_tuner

    for epochs in (1, 2, 3, 10, 27, 30, 81, 100):
        objective = keras_tuner.Objective("score", "max")
        oracle = keras_tuner.oracles.HyperbandOracle(objective=objective, max_epochs=epochs)
        brackets = range(oracle._get_num_brackets())
        assert hyperband_trials(epochs) == sum(oracle._get_size(number, 0) for number in brackets)


def test_an_oracle_of_ones_own_is_asked(capfd: pytest.CaptureFixture[str]) -> None:
    import keras_tuner

    def oracle(space: object, objective: object, seed: int) -> object:
        return keras_tuner.oracles.RandomSearchOracle(
            objective=objective, hyperparameters=space, seed=seed, max_trials=3
        )

    search = Search(over={"train.batch_size": Int(4, 64)}, oracle=oracle)
    assert sum(len(batch) for batch in driven(search, lambda one: 0.5)) == 3
    assert capfd.readouterr().out == ""
