"""Pictures are answered in full batches by an engine that is chosen once, and by the same one when a call goes on."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_med.engines import Choice, Engine
from keras_med.inference import answering
from keras_med.inference.answering import BATCH, Answering
from keras_med.inference.load import LoadedModel


class Doubling(tf.Module):
    """A network that answers twice the mean of its pixels."""

    signatures = ("serve",)

    @tf.function(input_signature=[tf.TensorSpec((None, 2, 2, 1), tf.float32)])
    def serve(self, pixels: tf.Tensor) -> tf.Tensor:
        return 2 * tf.reduce_mean(pixels, axis=(1, 2))


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return LoadedModel(Path("export"), {"golden": {"shape": [2, 2, 1]}}, (), Doubling())


def pictures(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 2, 1), np.float32)


def test_a_short_batch_is_answered_row_by_row(model: LoadedModel) -> None:
    answers = Answering(model, 1000)
    assert answers(pictures(5))[:, 0].tolist() == [0, 2, 4, 6, 8]
    assert answers.engine == "tensorflow"  # nothing so small is worth a conversion
    assert answers(pictures(BATCH))[:, 0].tolist() == [2.0 * one for one in range(BATCH)]


def test_a_few_pictures_choose_nothing(model: LoadedModel) -> None:
    answers = Answering(model, 3)
    answers.go_on("openvino")
    assert answers(pictures(3))[:, 0].tolist() == [0, 2, 4]
    assert answers.engine == "SavedModel"


def test_a_call_that_goes_on_keeps_its_engine_if_it_is_still_there(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(*_: object) -> Choice:
        return Choice(engine=Engine(name="tensorflow"), rates={}, told="chosen anew")

    monkeypatch.setattr(answering, "choose", choose)
    going_on, removed = Answering(model, 1000), Answering(model, 1000)
    going_on.go_on("tensorflow")
    removed.go_on("an engine of long ago")
    assert (going_on(pictures(2))[1, 0], going_on.told) == (2, "")
    assert (removed(pictures(2))[1, 0], removed.told) == (2, "chosen anew")
