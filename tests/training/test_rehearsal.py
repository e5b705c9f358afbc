"""What a plan measures before a run: the time and the memory of a few steps."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_med import Binary, Data, Holdout, Image, Model, Recipe, Train
from keras_med.training import rehearsal
from keras_med.training.runtime import Runtime


def index(root: Path) -> Any:
    return None


def network(image: Any) -> Any:
    return image


@pytest.fixture
def stage_with() -> Any:
    model = keras.Sequential([keras.layers.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    recipe = Recipe(
        target=Binary(),
        data=Data(index),
        image=Image(size=(4, 4)),
        split=Holdout(),
        model=Model(network),
        train=Train(batch_size=64),
    )
    images = np.zeros((3, 4, 4, 1), np.float32)
    return lambda limit: rehearsal._stage(model, images, recipe, Runtime(), limit)


def test_a_batch_that_fits_is_timed(stage_with: Any) -> None:
    stage = stage_with(2**50)
    assert (stage.sizes, stage.batch) == ((32, 64), 64)
    assert min(*stage.steps, stage.forward) > 0
    assert stage.memory > 2**20


def test_a_batch_that_would_not_fit_is_not_tried(stage_with: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of 1,000 bytes and 10 for each example: 64 need 1,640, and of 1,200 bytes 16 examples take 1,160."""
    monkeypatch.setattr(rehearsal, "_step", lambda trained, inputs, recipe, size: (0.5, 1000 + 10 * size))
    assert stage_with(1639) == rehearsal.Stage((8, 32), (0.5, 0.5), 0.0, 1640, 32)
    assert stage_with(1200).batch == 16
    assert stage_with(1005).batch == 0
    assert stage_with(1640).batch == 64
