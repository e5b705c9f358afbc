import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keras_med import Binary, Classes, Column, Data, Holdout, Image, KFold, Model, Recipe, Regression, Train
from keras_med.errors import RecipeError


def index(root: Path) -> Any:
    return None


def network(image: "keras.KerasTensor", *, frozen: bool = True, width: int = 3) -> Any:  # type: ignore[name-defined]  # noqa: F821
    return image


def make(**changes: Any) -> Recipe:
    plain: dict[str, Any] = {
        "target": Binary(),
        "data": Data(index),
        "image": Image(size=(8, 8)),
        "split": Holdout(),
        "model": Model(network),
    }
    return Recipe(**{**plain, **changes})


def test_a_misspelt_name_is_refused_with_the_near_one() -> None:
    with pytest.raises(RecipeError, match=re.escape("Train has no setting 'epoch'\nDid you mean epochs?")):
        Train(epoch=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: Train(epochs=0), "Train(epochs=...) is 0; expected a whole number at least 1"),
        (lambda: Train(learning_rate="fast"), "Train(learning_rate=...) is 'fast'; expected a number above 0"),
        (lambda: Holdout(test=1), "Holdout(test=...) is 1; expected a number above 0 and below 1"),
        (lambda: KFold(folds=1), "KFold(folds=...) is 1; expected a whole number at least 2 and at most 100"),
        (lambda: make(target=3), "Recipe(target=...) is 3; expected Binary or Classes or Regression"),
        (lambda: Data(), "missing 1 required positional argument: 'index'"),
        (lambda: Model(3), "Model(network) is 3; expected a function"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(call: Any, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        call()
    assert told in str(caught.value)


def test_words_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Train().epochs = 3  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Model(network).head = False  # type: ignore[misc]


def test_lists_become_tuples_and_whole_numbers_numbers() -> None:
    assert Image(size=[8, 9], values=[(40, 80), (80, 200)]).values == ((40.0, 80.0), (80.0, 200.0))  # type: ignore[arg-type]
    assert Train(learning_rate=1).learning_rate == 1.0


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        (Image(size=(8, 9)), (8, 9, 1)),
        (Image(size=(8, 9), channels=3), (8, 9, 3)),
        (Image(size=(8, 9), values=((40, 80), (80, 200), (600, 2800))), (8, 9, 3)),
        (Image(size=(8, 9), values=(0, 4095)), (8, 9, 1)),
        (Image(size=(8, 9, 4)), (8, 9, 4, 1)),
    ],
)
def test_the_shape_follows_from_size_windows_and_channels(image: Image, shape: tuple[int, ...]) -> None:
    assert image.shape == shape


def test_a_network_is_given_its_defaults_and_what_the_model_says() -> None:
    assert dict(Model(network, width=5).settings) == {"frozen": True, "width": 5}


def test_a_setting_that_the_network_does_not_have_is_refused_with_the_near_one() -> None:
    with pytest.raises(RecipeError, match=re.escape("Did you mean width?")):
        Model(network, widht=5)


def test_a_network_parameter_needs_annotation_and_default() -> None:
    def bare(image: Any, *, width) -> Any:  # type: ignore[no-untyped-def]
        return image

    with pytest.raises(RecipeError, match="'width' needs an annotation and a default"):
        Model(bare)


def test_each_target_says_its_kind() -> None:
    assert [Binary().kind, Classes(names=("a", "b")).kind, Regression().kind] == ["binary", "classes", "regression"]
    assert Column("part").name == "part"


def test_the_words_are_imported_without_keras_or_pandas() -> None:
    code = (
        "import sys, keras_med, keras_med.models; print(sorted({'keras', 'tensorflow', 'pandas'} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"
