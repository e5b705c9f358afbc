"""Reading processes: one that dies or hangs costs its file alone."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from keras_med.data.memory import MemoryFile
from keras_med.jobs.local import warm_up
from keras_med.recipe.words import Image
from keras_med.serving.readers import Readers
from keras_med.serving.sent import Unit


@pytest.fixture
def readers() -> Iterator[Readers]:
    warm_up(["keras_med.serving.reader"], {})
    made = Readers(Image(size=(4, 4), values=(0, 80)), count=1)
    yield made
    made.close()


def test_a_reader_that_dies_or_hangs_is_replaced(
    readers: Readers, samples: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = Unit((MemoryFile("a.dcm", samples.ct(40)),), (0,))
    ((read,), _) = readers.read(good)
    assert read.pixels is not None
    assert read.pixels == pytest.approx(np.full((4, 4, 1), 127.5), abs=0.01)
    assert read.modality == "CT"
    (process,) = readers._all
    os.kill(process._process.pid or 0, 9)
    ((read,), _) = readers.read(good)
    assert "The decoder crashed on it" in read.reason
    (process,) = readers._all
    os.kill(process._process.pid or 0, 19)  # stopped: it answers nothing, and lives
    with monkeypatch.context() as impatient:
        impatient.setattr(readers, "_seconds", 1.0)
        ((read,), _) = readers.read(good)
    assert "takes more than 1 s" in read.reason
    ((read,), _) = readers.read(good)
    assert read.reason == ""
