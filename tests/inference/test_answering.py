"""Pictures are answered in full batches by an engine that gives the recorded answers, and else by the SavedModel."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_med.export import golden
from keras_med.inference import answering
from keras_med.inference.answering import BATCH, Answering
from keras_med.inference.load import LoadedModel

MANY = 5000


class Doubling(tf.Module):
    """A network that answers twice the mean of its pixels."""

    signatures = ("serve",)

    @tf.function(input_signature=[tf.TensorSpec((None, 2, 2, 1), tf.float32)])
    def serve(self, pixels: tf.Tensor) -> tf.Tensor:
        return 2 * tf.reduce_mean(pixels, axis=(1, 2))


def doubled(pixels: np.ndarray) -> np.ndarray:
    assert len(pixels) == BATCH, "an engine was converted for batches of one size"
    return 2 * pixels.mean(axis=(1, 2))


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    served = 2 * golden.images(20, [3, 1, 4], (2, 2, 1)).mean(axis=(1, 2))
    recorded = {"seed": 20, "indices": [3, 1, 4], "shape": [2, 2, 1], "served": served.tolist()}
    return LoadedModel(Path("export"), {"golden": recorded}, (), Doubling())


def answers_by(
    run: Callable[[np.ndarray], np.ndarray], model: LoadedModel, monkeypatch: pytest.MonkeyPatch, rows: int = MANY
) -> Answering:
    """Answer on a machine that has OpenVINO, whatever that does."""
    monkeypatch.setattr(answering, "installed", lambda: ["tensorflow", "openvino"])
    monkeypatch.setattr(answering.Compiler, "run", lambda self, engine: run)
    return Answering(model, rows)


def pictures(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 2, 1), np.float32)


def test_a_short_batch_is_answered_row_by_row(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = answers_by(doubled, model, monkeypatch)
    assert answers(pictures(5))[:, 0].tolist() == [0, 2, 4, 6, 8]
    assert answers(pictures(BATCH))[:, 0].tolist() == [2.0 * one for one in range(BATCH)]
    assert (answers.engine, answers.told) == ("openvino", "")


def test_a_few_pictures_convert_nothing(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = answers_by(doubled, model, monkeypatch, rows=255)
    answers.go_on("openvino")
    assert answers(pictures(3))[:, 0].tolist() == [0, 2, 4]
    assert answers.engine == "SavedModel"


def test_an_engine_with_other_numbers_is_not_used(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = answers_by(lambda pixels: doubled(pixels) * 1.001, model, monkeypatch)
    assert answers(pictures(3))[:, 0].tolist() == [0, 2, 4]
    assert answers.engine == "SavedModel"
    assert "openvino differs from the recorded answers by 0.001" in answers.told


def test_an_engine_that_fails_is_no_failed_prediction(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(pixels: np.ndarray) -> np.ndarray:
        raise RuntimeError("no such operation\nand much more")

    answers = answers_by(fails, model, monkeypatch)
    assert answers(pictures(3))[:, 0].tolist() == [0, 2, 4]
    assert answers.told == "openvino cannot run this network (no such operation); tensorflow does."


def test_a_call_that_goes_on_keeps_its_engine_if_it_is_still_there(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for before, now in (("SavedModel", "SavedModel"), ("openvino", "openvino"), ("one of long ago", "openvino")):
        answers = answers_by(doubled, model, monkeypatch)
        answers.go_on(before)
        assert answers(pictures(2))[:, 0].tolist() == [0, 2]
        assert answers.engine == now
