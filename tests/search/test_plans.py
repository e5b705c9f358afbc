"""What the fits of a trial change."""

from keras_med import Binary, Data, Holdout, Image, Model, Recipe, Round, Search
from keras_med.search.oracles import Asked
from keras_med.search.plans import changes_of, features_name, plans_of

RECIPE = Recipe(
    target=Binary(),
    data=Data(lambda root: None),  # type: ignore[arg-type, return-value]
    image=Image(size=(8, 8)),
    split=Holdout(),
    model=Model(lambda image: image),
)
GRID = Search(over={"train.batch_size": [16, 32]})
STAGED = Search(
    over={"train.learning_rate": [1e-3]}, by="staged", rounds=(Round(epochs=2, examples=40), Round(epochs=9))
)


def test_a_round_sets_epochs_and_examples_and_an_oracle_s_epochs_are_taken() -> None:
    one = {"train.learning_rate": 1e-3}
    assert changes_of(Asked("t001", 0, one), STAGED) == {**one, "train.epochs": 2, "train.examples": 40}
    assert changes_of(Asked("t001", 1, one), STAGED) == {**one, "train.epochs": 9}
    assert changes_of(Asked("t001", 0, {}, epochs=3), Search(over={}, by="hyperband")) == {"train.epochs": 3}
    assert changes_of(Asked("t001", 0, {"train.batch_size": 32}), GRID) == {"train.batch_size": 32}


def test_a_smoke_run_keeps_its_one_epoch_and_its_small_batch() -> None:
    assert changes_of(Asked("t001", 0, {"train.batch_size": 32, "train.epochs": 30}), GRID, smoke=True) == {
        "train.epochs": 1
    }
    assert changes_of(Asked("t001", 1, {"train.clip": 1.0}), STAGED, smoke=True) == {
        "train.clip": 1.0,
        "train.epochs": 1,
    }


def test_trials_share_the_frozen_part_unless_they_may_change_it() -> None:
    assert features_name({"train.learning_rate": 1e-3, "train.batch_size": 8}) == "features"
    names = {features_name({"model.units": units}) for units in (8, 16)} | {features_name({"augment.rotate": 5.0})}
    assert len(names) == 3
    assert "features" not in names


def test_a_round_that_continues_goes_on_after_the_same_fold_and_repeat_of_the_round_before() -> None:
    rounds = (Round(epochs=2), Round(epochs=5, continues=True), Round(epochs=9))
    search = Search(over={}, by="staged", rounds=rounds, folds=2)

    def after(round_: int) -> list[str | None]:
        (plans,) = plans_of(Asked("t003", round_, {}), RECIPE, search)
        return [plan.after for plan in plans.values()]

    assert after(0) == [None, None]
    assert after(1) == ["t003-round1-fold0", "t003-round1-fold1"]
    assert after(2) == [None, None]
