from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from keras_med import Binary, Data, Holdout, Image, Model, Recipe
from keras_med.evaluation.summary import Scoring
from keras_med.training.folds import FitPlan
from keras_med.training.knowledge import checks, flattered, known_groups

PLAN = FitPlan("0", "validation", ("validation", "test"), 2, None, "best", 1)
SCORING = Scoring("binary", "", ("0", "1"), 1)


def index(root: Path) -> Any:
    return None


def network(image: Any) -> Any:
    return image


def recipe() -> Recipe:
    return Recipe(
        target=Binary(), data=Data(index), image=Image(size=(8, 8)), split=Holdout(), model=Model(network), seed=1
    )


def splits(**folds: str) -> pd.DataFrame:
    """Return one example a letter: t(rain), v(alidation), e (test), o(ut of fold), u(nused)."""
    words = {"t": "train", "v": "validation", "e": "test", "o": "out_of_fold", "u": "unused"}
    rows = [
        (f"i{number}", f"g{number}", words[letter], fold.replace("f0", "0"))
        for fold, letters in folds.items()
        for number, letter in enumerate(letters)
    ]
    return pd.DataFrame(rows, columns=["id", "group", "split", "fold"])


def labels(count: int) -> pd.DataFrame:
    return pd.DataFrame({"id": [f"i{number}" for number in range(count)], "label": ["0", "1"] * (count // 2)})


def test_a_fit_knows_what_it_trained_on_and_what_chose_its_weights() -> None:
    found = known_groups({"a": PLAN}, splits(f0="tvetue"), labels(6), recipe())
    assert found == {"a": {"g0", "g1", "g3"}}
    watching = known_groups({"a": replace(PLAN, keep="last")}, splits(f0="tvetue"), labels(6), recipe())
    assert watching == {"a": {"g0", "g3"}}
    on_test = known_groups({"a": replace(PLAN, validation="test")}, splits(f0="tvetue"), labels(6), recipe())
    assert on_test == {"a": {"g0", "g2", "g3", "g5"}}


def test_a_final_network_knows_what_the_fit_that_it_starts_from_knew() -> None:
    """Seed 004: the watched examples 2, 3 and 5; 2 was trained on, 3 chose the weights, 5 was in the test split."""
    parts = splits(f0="tttoee", final="ttvvtv")
    plans = {
        "a": replace(PLAN, validation="out_of_fold"),
        "z": replace(PLAN, fold="final", keep="last", start="a"),
    }
    known = known_groups(plans, parts, labels(6), recipe())
    assert known["z"] == {"g0", "g1", "g2", "g3", "g4"}
    rows = pd.DataFrame({"id": ["i2", "i3", "i5"], "label": ["0", "1", "1"], "p_1": [0.1, 0.8, 0.4]})
    rows = rows.assign(fit="z", role="validation")
    found = flattered(rows, known, plans, parts, SCORING)
    assert (found["validation"]["known"], found["validation"]["examples"]) == (2, 3)
    (check,) = checks(found)
    assert check["severity"] == "red"
    assert check["sentence"].startswith("2 of the 3 examples of the validation part (67 %)")


def test_an_ensemble_knows_what_any_of_its_members_knew() -> None:
    plans = {
        "a": PLAN,
        "b": replace(PLAN, fold="1", examples=2),
        "z": replace(PLAN, fold="final", epochs=0, members=("a", "b")),
    }
    parts = splits(f0="tvoouuue", **{"1": "oottvuue"}, final="tttttuue")
    assert known_groups(plans, parts, labels(8), recipe())["z"] == {"g0", "g1", "g2", "g3", "g4"}
    del plans["b"]
    plans["z"] = replace(plans["z"], members=("a",))
    assert known_groups(plans, parts, labels(8), recipe())["z"] == {"g0", "g1"}


def test_examples_that_a_smaller_fit_left_out_are_not_known() -> None:
    found = known_groups({"a": replace(PLAN, examples=4)}, splits(f0="t" * 20 + "v"), labels(22), recipe())
    assert len(found["a"] - {"g20"}) == 4


def test_a_sound_run_has_nothing_to_measure() -> None:
    parts = splits(f0="ttve")
    known = known_groups({"a": PLAN}, parts, labels(4), recipe())
    rows = pd.DataFrame({"id": ["i2", "i3"], "label": ["0", "1"], "p_1": [0.1, 0.8], "fit": "a"})
    rows["role"] = ["validation", "test"]
    assert flattered(rows, known, {"a": PLAN}, parts, SCORING) == {}
