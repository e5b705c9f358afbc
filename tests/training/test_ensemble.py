"""Folds' networks as one: a frozen part that is the same in all is there once, and the mean is of their answers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_med import Binary, Classes, Data, Final, Image, KFold, Model, Recipe, Regression
from keras_med.models.ensemble import members
from keras_med.recipe.words import Target
from keras_med.training import network
from keras_med.training.ensemble import mean_of
from keras_med.training.network import LabelScale


def index(root: Path) -> Any: ...


def features(image: Any, *, width: int = 3) -> Any:
    maps = keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.RandomNormal(0, 2, seed=1), trainable=False)
    shown = keras.layers.Rescaling(1 / 255)(image)
    pooled = keras.layers.GlobalAveragePooling2D()(maps(shown - keras.ops.mean(shown)))
    return keras.layers.Dropout(0.5)(keras.layers.Dense(width, activation="tanh")(pooled))


def trained(image: Any) -> Any:
    return keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 3)(image))


RECIPE = Recipe(
    target=Regression(),
    data=Data(index),
    image=Image(size=(8, 8)),
    split=KFold(folds=3),
    model=Model(features),
    final=Final(ensemble=True),
)
IMAGES = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 1)).astype(np.float32)


def folds(recipe: Recipe, folder: Path) -> dict[str, keras.Model]:
    """Return networks of other weights and label scales, as their fits leave them."""
    made = {}
    for number in range(3):
        keras.utils.set_random_seed(number)
        built = network.build(recipe, LabelScale(10.0 * number, 1.0 + number))
        built.save(folder / f"{number}.keras")
        made[f"fold{number}"] = keras.models.load_model(folder / f"{number}.keras", compile=False)
    return made


@pytest.mark.parametrize("target", [Regression(), Binary(), Classes(names=("a", "b", "c"))], ids=lambda one: one.kind)
def test_the_mean_of_networks_on_one_frozen_part(target: Target, tmp_path: Path) -> None:
    recipe = replace(RECIPE, target=target)
    single = folds(recipe, tmp_path)
    said = np.stack([one.predict_on_batch(IMAGES) for one in single.values()])
    whole, counts = mean_of(single, recipe)
    whole.save(tmp_path / "whole.keras")
    whole = keras.models.load_model(tmp_path / "whole.keras", compile=False)
    np.testing.assert_allclose(whole.predict_on_batch(IMAGES), said.mean(axis=0), rtol=1e-5)
    for member, own in zip(members(whole), said, strict=True):
        np.testing.assert_allclose(member.predict_on_batch(IMAGES), own, rtol=1e-5)
    assert np.ptp(said, axis=0).max() > 0.01, "the members differ"
    width = 3 if target.kind == "classes" else 1
    assert counts == {"one": (4 * 3 + 3) + (3 * width + width), "shared": 3 * 3 * 4 + 4}
    assert whole.count_params() == counts["shared"] + 3 * counts["one"]


def test_trained_backbones_are_all_there(tmp_path: Path) -> None:
    recipe = replace(RECIPE, model=Model(trained))
    single = folds(recipe, tmp_path)
    said = np.stack([one.predict_on_batch(IMAGES) for one in single.values()])
    whole, counts = mean_of(single, recipe)
    np.testing.assert_allclose(whole.predict_on_batch(IMAGES), said.mean(axis=0), rtol=1e-5)
    assert counts == {"one": (9 * 5 + 5) + 6, "shared": 0}
    assert whole.count_params() == 3 * counts["one"]


def test_frozen_parts_that_are_not_the_same_are_not_taken_for_one(tmp_path: Path) -> None:
    single = folds(RECIPE, tmp_path)
    frozen = next(layer for layer in single["fold2"].layers if isinstance(layer, keras.layers.Conv2D))
    frozen.bias.assign(frozen.bias + 1)
    said = np.stack([one.predict_on_batch(IMAGES) for one in single.values()])
    whole, counts = mean_of(single, RECIPE)
    assert counts["shared"] == 0
    np.testing.assert_allclose(whole.predict_on_batch(IMAGES), said.mean(axis=0), rtol=1e-5)
