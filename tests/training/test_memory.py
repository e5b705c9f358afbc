"""What a process holds, and running out of memory told with the batch to try; any other error stays what it is."""

import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_med.errors import RunFailed
from keras_med.training import memory
from keras_med.training.memory import advised


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[64,1024,1024,64]"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 68719476736 bytes."),
    ],
    ids=["numpy", "tensorflow", "jax"],
)
@pytest.mark.parametrize(
    ("batch", "replicas", "told"),
    [(32, 1, "train.batch_size=16"), (6, 2, "train.batch_size=2"), (1, 1, "image.size"), (2, 2, "image.size")],
)
def test_the_smaller_batch_is_named(error: Exception, batch: int, replicas: int, told: str) -> None:
    expected = f"A batch of {batch} does not fit into memory.\n.*{told}"
    with pytest.raises(RunFailed, match=expected), advised(batch, replicas):
        raise error


def test_a_real_request_that_no_machine_meets_is_recognised() -> None:
    with pytest.raises(RunFailed, match=r"train\.batch_size=4"), advised(8, 1):
        tf.zeros((2**20, 2**20, 2**10)) + 1  # 4 PiB


def test_other_errors_are_left_alone() -> None:
    with pytest.raises(ValueError, match="another"), advised(8, 1):
        raise ValueError("another")


def test_the_peak_of_memory_is_seen_also_where_it_was_short() -> None:
    with memory.watched() as peak:
        before = memory.own()
        held = np.ones(100 * 2**20, np.uint8)
        time.sleep(0.1)
        del held
    assert 100 * 2**20 <= peak() - before < 150 * 2**20


def test_a_container_s_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").write_text("max\n")
    (tmp_path / "two").write_text("1048576\n")
    files = [str(tmp_path / name) for name in ("one", "two", "absent")]
    monkeypatch.setattr(memory, "_CONTAINER", files[:1])
    assert memory.limit() > 2**30
    monkeypatch.setattr(memory, "_CONTAINER", files)
    assert memory.limit() == 2**20
