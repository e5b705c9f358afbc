from typing import Any

import keras
import pytest

from keras_med.errors import RecipeError
from keras_med.training import tuning


def network(*, frozen: bool = True) -> keras.Model:
    image = keras.Input((8, 8, 1))
    x: Any = image
    for number in (1, 2):
        x = keras.layers.Conv2D(2, 3, name=f"block{number}_conv", trainable=not frozen)(x)
        x = keras.layers.BatchNormalization(name=f"block{number}_norm", trainable=not frozen)(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.BatchNormalization(name="own_norm")(x)
    return keras.Model(image, keras.layers.Dense(1, name="own")(x))


@pytest.mark.parametrize(
    ("layer", "trained"),
    [
        ("block2_conv", {"block2_conv", "own"}),
        ("block1_norm", {"block2_conv", "own"}),
        ("all", {"block1_conv", "block2_conv", "own"}),
    ],
)
def test_layers_from_the_named_one_on_are_trained_and_every_batch_normalisation_is_held(
    layer: str, trained: set[str]
) -> None:
    model = network()
    tuning.free(model, layer)
    assert {each.name for each in model.layers if each.trainable_variables} == trained


@pytest.mark.parametrize(
    ("layer", "what", "remedy"),
    [
        ("block2_cnv", "no such layer", "Did you mean block2_conv?"),
        ("zzz", "no such layer", "One of all, block1_conv"),
        ("own", "no such layer", ""),
        ("block2_norm", "holds no weights to train", "block2_conv"),
    ],
)
def test_a_layer_that_cannot_be_trained_from_is_refused_by_name(layer: str, what: str, remedy: str) -> None:
    with pytest.raises(RecipeError, match=what) as refused:
        tuning.check(network(), layer)
    assert f"train.fine_tune_from={layer!r}" in refused.value.where
    assert remedy in refused.value.remedy


def test_a_network_without_frozen_layers_has_no_second_stage() -> None:
    with pytest.raises(RecipeError, match="does not begin with any"):
        tuning.check(network(frozen=False), "all")
