"""Running out of memory is told with the batch to try; any other error stays what it is."""

import pytest
import tensorflow as tf

from keras_med.errors import RunFailed
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
