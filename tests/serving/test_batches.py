"""The queue before the network."""

import threading

import numpy as np
import pytest

from keras_med.serving import batches
from keras_med.serving.batches import Batches


def test_what_waits_is_answered_in_few_calls_and_each_gets_its_own() -> None:
    sizes, gate = [], threading.Event()

    def doubled(pixels: np.ndarray) -> np.ndarray:
        gate.wait(10)
        sizes.append(len(pixels))
        return 2 * pixels

    queue = Batches(doubled)
    asked = [queue.ask(np.array([number])) for number in range(100)]
    gate.set()
    assert [int(one.result(10)[0]) for one in asked] == [2 * number for number in range(100)]
    queue.close()
    assert sum(sizes) == 100
    assert max(sizes) == batches.MOST
    assert len(sizes) <= 5  # the first may go with few; 32 at a time after it


def test_large_pictures_go_in_smaller_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_VALUES", 20)
    sizes, gate = [], threading.Event()

    def same(pixels: np.ndarray) -> np.ndarray:
        gate.wait(10)
        sizes.append(len(pixels))
        return pixels

    queue = Batches(same)
    asked = [queue.ask(np.zeros(10)) for _ in range(6)]
    gate.set()
    for one in asked:
        one.result(10)
    queue.close()
    assert max(sizes) <= 2


def test_an_error_reaches_who_asked_and_the_next_is_answered() -> None:
    def fails_once(pixels: np.ndarray) -> np.ndarray:
        if pixels.sum() < 0:
            raise ValueError("broken")
        return pixels

    queue = Batches(fails_once)
    with pytest.raises(ValueError, match="broken"):
        queue.ask(np.array([-1])).result(10)
    assert queue.ask(np.array([1])).result(10) == 1
    queue.close()
