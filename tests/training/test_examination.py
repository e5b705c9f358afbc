"""The look at a network before training: every planted fault is told by its own check, and by no other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from keras_med import Binary, Classes, Data, Holdout, Image, Model, Recipe, Regression
from keras_med.errors import RecipeError
from keras_med.training import examination, losses, network
from keras_med.training.examination import Found, Sample
from keras_med.training.network import LabelScale


def index(root: Path) -> Any:
    return None


def plain(image: Any) -> Any:
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 128, -1)(image))
    return keras.layers.Dense(16, activation="relu", name="hidden")(x)


def exploding(image: Any) -> Any:
    return plain(image) * 200.0


def blocked(image: Any) -> Any:
    return plain(image) * 0.0


def cut_off(image: Any) -> Any:
    """Let images pass, and no gradient back to the first layer."""
    return keras.layers.Dense(16, activation="relu")(Stopped()(plain(image)))


@keras.saving.register_keras_serializable(package="tests")
class Stopped(keras.layers.Layer):
    def call(self, inputs: Any) -> Any:
        return keras.ops.stop_gradient(inputs)


def hindered(image: Any) -> Any:
    """Answer between 0.45 and 0.55 whatever was learned."""
    answer = keras.layers.Dense(1, activation="tanh", name="answer")(plain(image))
    return keras.layers.Rescaling(0.05, 0.5)(answer)


RECIPE = Recipe(
    target=Binary(),
    data=Data(index),
    image=Image(size=(6, 6)),
    split=Holdout(),
    model=Model(plain),
)
NUMBER = replace(RECIPE, target=Regression(unit="years"))


def sample(recipe: Recipe, scale: float = 1.0) -> Sample:
    images = (np.random.default_rng(4).uniform(0, 255, (32, 6, 6, 1)) * scale).astype(np.float32)
    labels = (np.arange(32) % 2).astype(np.float32)[:, None]
    if isinstance(recipe.target, Regression):
        labels = np.linspace(20, 90, 32, dtype=np.float32)[:, None]
    return Sample(images, images, labels)


def examined(recipe: Recipe, scale: float = 1.0, backbones: tuple[str, ...] = ()) -> Found:
    keras.utils.set_random_seed(2)
    given = sample(recipe, scale)
    labels = LabelScale(float(given.labels.mean()), float(given.labels.std())) if recipe is NUMBER else LabelScale()
    trained = network.trained_on(network.build(recipe, labels))
    before = trained.get_weights()
    trained.compile(keras.optimizers.Adam(1e-3), loss=losses.loss_for(recipe), jit_compile=False)
    found = Found()
    examination.examine(found, trained, given, recipe, labels, list(backbones))
    for old, new in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new, "what was looked at is left as it was")
    return found


def names(found: Found) -> list[str]:
    return [check.name for check in found.checks]


@pytest.mark.parametrize("recipe", [RECIPE, NUMBER], ids=["binary", "number"])
def test_a_sound_network_raises_no_check(recipe: Recipe) -> None:
    assert names(examined(recipe, backbones=("resnet50",))) == []


@pytest.mark.parametrize(
    ("recipe", "fault"),
    [
        (replace(RECIPE, model=Model(exploding)), "first_loss"),
        (replace(RECIPE, model=Model(blocked)), "constant"),
        (replace(RECIPE, model=Model(cut_off)), "gradients"),
        (replace(RECIPE, model=Model(hindered, head=False)), "overfit"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_planted_fault_is_told_by_its_own_check_alone(recipe: Recipe, fault: str) -> None:
    found = examined(recipe, backbones=("resnet50",))
    assert names(found) == [fault]


def test_a_network_whose_answers_are_no_numbers_is_refused() -> None:
    def roots(image: Any) -> Any:
        return keras.ops.sqrt(keras.layers.Dense(1, kernel_initializer="ones")(plain(image)) - 1e6)

    with pytest.raises(RecipeError, match="NaN or infinite for 32 of 32 training images"):
        examined(replace(RECIPE, model=Model(roots)))


def test_an_unreached_layer_is_named() -> None:
    (check,) = examined(replace(RECIPE, model=Model(cut_off))).checks
    assert "The gradient does not reach hidden: training will leave it as" in check.sentence


def test_pixels_of_another_range_than_the_backbones_are_told() -> None:
    def small(image: Any) -> Any:  # sound for pixels of 0 to 1
        return keras.layers.Dense(16, activation="relu")(keras.layers.Flatten()(image * 2.0 - 1.0))

    recipe = replace(RECIPE, model=Model(small))
    assert names(examined(recipe, scale=1 / 255, backbones=("resnet50",))) == ["range"]
    assert names(examined(recipe, scale=1 / 255)) == [], "a network of the user's own has no range that is known"


def test_the_first_loss_is_told_beside_that_of_a_guess() -> None:
    assert examined(RECIPE).lines[0].endswith("of a guess 0.693")  # the logarithm of 2
    variance = np.var(np.linspace(20, 90, 32))
    assert examined(NUMBER).lines[0].endswith(f"of a guess {variance:.3g}")


class Labelled:
    def __init__(self, labels: list[str]) -> None:
        self._labels = labels

    def table(self, place: str) -> pd.DataFrame:
        assert place == "train"
        return pd.DataFrame({"id": range(len(self._labels)), "label": self._labels})


@pytest.mark.parametrize(
    ("target", "labels", "line", "absent"),
    [
        (Binary(positive="bleed"), ["bleed", "none", "none"], "positive is bleed (1), negative none (2)", None),
        (Binary(positive="Bleed"), ["bleed", "none"], "positive is Bleed (0), negative bleed (1), none (1)", "Bleed"),
        (Binary(positive=1), ["1", "1"], "positive is 1 (2), negative nothing", "any other"),
        (Classes(names=("b", "a")), ["a", "b", "a"], "outputs are 0 b (1), 1 a (2)", None),
        (Classes(names=("b", "a", "c")), ["a", "b"], "outputs are 0 b (1), 1 a (1), 2 c (0)", "c"),
    ],
)
def test_the_order_of_classes_is_said_and_an_absent_one_told(
    target: Any, labels: list[str], line: str, absent: str | None
) -> None:
    found = Found()
    check = examination._classes(found, replace(RECIPE, target=target), Labelled(labels))  # type: ignore[arg-type]
    assert found.lines == [line]
    assert (check is None) == (absent is None)
    if check is not None:
        assert check.sentence == f"No training example has the label {absent}: the network cannot learn it."


def test_waiting_for_images_is_told_when_it_is_most_of_a_step() -> None:
    assert examination._waiting(0.2, 0.1) is not None
    assert examination._waiting(0.05, 0.1) is None
    assert examination._waiting(0.002, 0.0001) is None, "two milliseconds a step are no matter"
