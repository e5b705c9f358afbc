from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from keras_med import Column, Data, Final, Holdout, Image, KFold, Model, Recipe, Regression, Search
from keras_med.evaluation.protocol import protocol_checks
from keras_med.recipe.words import Split


def index(root: Path) -> Any:
    return None


def network(image: Any) -> Any:
    return image


def recipe(validation: float, final: Final | None) -> Recipe:
    return Recipe(
        target=Regression(),
        data=Data(index),
        image=Image(size=(8, 8)),
        split=KFold(folds=2, validation=validation),
        model=Model(network),
        final=final,
    )


def splits() -> pd.DataFrame:
    """Ten examples: fold 0 trains on 0 to 4; the final network watches 4, 5, 6 and 7."""
    rows = [(str(number), "0", "train" if number < 5 else "out_of_fold") for number in range(10)]
    rows += [(str(number), "final", "validation" if 4 <= number < 8 else "train") for number in range(10)]
    return pd.DataFrame(rows, columns=["id", "fold", "split"])


def test_a_sound_protocol_has_no_check() -> None:
    assert protocol_checks(recipe(0.1, Final()), splits(), None) == []


def test_a_start_from_the_best_fold_is_told_with_the_share_already_seen() -> None:
    (check,) = protocol_checks(recipe(0.1, Final(start="best_fold", redraw=True)), splits(), "0")
    assert check["severity"] == "red"
    assert "1 of the 4 examples (25 %)" in check["sentence"]
    assert "the test split included" in check["sentence"]


def test_early_stopping_on_the_scored_fold_is_told() -> None:
    (check,) = protocol_checks(recipe(0, None), splits(), None)
    assert "same fold that is scored" in check["sentence"]


def test_folds_that_chose_the_settings_are_told_also_of_an_ensembles_threshold() -> None:
    searched = Search(over={"train.learning_rate": [1e-3, 1e-4]})
    (check,) = protocol_checks(replace(recipe(0.1, None), search=searched), splits(), None)
    assert check["severity"] == "amber"
    assert check["sentence"].endswith("out-of-fold figures flatter.")
    (check,) = protocol_checks(replace(recipe(0.1, Final(ensemble=True)), search=searched), splits(), None)
    assert check["sentence"].endswith("the ensemble's threshold was chosen on the same.")


def other(split: Split, **data: Any) -> Recipe:
    plain = {"target": Regression(), "image": Image(size=(8, 8)), "model": Model(network)}
    return Recipe(**plain, data=Data(index, **data), split=split)  # type: ignore[arg-type]


def four(*places: str) -> pd.DataFrame:
    """Two patients of two examples each."""
    names = ["a", "b", "c", "d"]
    return pd.DataFrame({"id": names, "group": ["a", "a", "c", "c"], "split": places, "fold": "0"})


def test_patients_that_a_split_by_example_cut_are_counted() -> None:
    (check,) = protocol_checks(other(Holdout(by="example")), four("train", "test", "train", "unused"), None)
    assert check["sentence"].startswith("1 patients or groups of twins lie on two sides")
    assert protocol_checks(other(Holdout(by="example")), four("train", "train", "test", "test"), None) == []
    (allowed,) = protocol_checks(other(KFold(), duplicates="allow"), four("train", "test", "test", "train"), None)
    assert allowed["sentence"].startswith("2 ")
    assert "duplicates" in allowed["remedy"]


def test_mirrored_pairs_across_the_split_are_counted() -> None:
    rows = [("a", "train"), ("a~mirror", "test"), ("b", "train"), ("b~mirror", "train"), ("c", "test")]
    rows += [("c~mirror", "validation")]
    table = pd.DataFrame(
        [(name, name[0], place, "0") for name, place in rows], columns=["id", "group", "split", "fold"]
    )
    (check,) = protocol_checks(other(Holdout(), mirror="before_split"), table, None)
    assert check["severity"] == "red"
    assert check["sentence"].startswith("2 of the 3 pictures lie on another side")


def test_undersampling_before_the_split_and_watching_the_test_are_told() -> None:
    (check,) = protocol_checks(
        other(Holdout(), balance="undersample_before_split"), four("train", "test", "unused", "unused"), None
    )
    assert "(2 examples left out)" in check["sentence"]
    (check,) = protocol_checks(other(Column(watch="test")), four("train", "train", "test", "test"), None)
    assert "on the test split itself" in check["sentence"]
