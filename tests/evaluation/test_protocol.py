from pathlib import Path
from typing import Any

import pandas as pd

from keras_med import Data, Final, Image, KFold, Model, Recipe, Regression
from keras_med.evaluation.protocol import protocol_checks


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
