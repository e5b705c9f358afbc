"""The part behind a frozen prefix, made from its settings: the very weights that building the whole network gives."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_med import Data, Holdout, Image, Model, Recipe, Regression
from keras_med.training import network, rest
from keras_med.training.frozen import split_frozen
from keras_med.training.network import LabelScale


def index(root: Path) -> Any:
    return None


def frozen_then_trained(image: Any, *, units: int = 5, published: bool = False) -> Any:
    x = keras.layers.Dense(4, kernel_initializer="ones", trainable=False)(keras.layers.Flatten()(image))
    layer = keras.layers.Dense(units, activation="relu")
    x = keras.layers.Dropout(0.5)(layer(x))
    if published:  # weights of a file, which no seed gives
        layer.set_weights([np.full((4, units), 0.25, np.float32), np.zeros(units, np.float32)])
    return x


RECIPE = Recipe(
    target=Regression(),
    data=Data(index),
    image=Image(size=(4, 4)),
    split=Holdout(),
    model=Model(frozen_then_trained),
)


def whole(recipe: Recipe, seed: int, scale: LabelScale) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return network.build(recipe, scale)


def written(recipe: Recipe, job: Path) -> bool:
    parts = split_frozen(whole(recipe, 1, LabelScale()))
    assert parts is not None
    return rest.write(parts[1], recipe, 1, job)


def test_a_seed_gives_the_same_weights_as_in_the_whole_network(tmp_path: Path) -> None:
    assert written(RECIPE, tmp_path)
    scale = LabelScale(50, 12)
    parts = split_frozen(whole(RECIPE, 7, scale))
    assert parts is not None
    keras.utils.set_random_seed(7)
    alone = rest.build(RECIPE, scale, tmp_path)
    assert alone is not None
    assert len(alone.variables) == len(parts[1].variables) == 5, "two kernels, two biases and the dropout's seed"
    for left, right in zip(alone.variables, parts[1].variables, strict=True):
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right))
    given = np.arange(8, dtype=np.float32).reshape(2, 4)
    np.testing.assert_array_equal(alone.predict(given, verbose=0), parts[1].predict(given, verbose=0))


def test_weights_that_no_seed_gives_are_not_replaced_by_random_ones(tmp_path: Path) -> None:
    recipe = replace(RECIPE, model=Model(frozen_then_trained, published=True))
    assert not written(recipe, tmp_path)
    assert rest.build(recipe, LabelScale(), tmp_path) is None


@pytest.mark.parametrize("change", [{"model": Model(frozen_then_trained, units=6)}, {"image": Image(size=(2, 8))}])
def test_another_network_is_not_made_from_these_settings(tmp_path: Path, change: dict[str, Any]) -> None:
    assert written(RECIPE, tmp_path)
    assert rest.build(replace(RECIPE, **change), LabelScale(), tmp_path) is None
