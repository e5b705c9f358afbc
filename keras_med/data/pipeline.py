"""Prepared rows to tf.data: known length, one order for each epoch, and no row lost outside training."""

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

Read = Callable[[np.ndarray], np.ndarray]  # positions of rows -> their inputs, (rows, ...)


class Rows:
    """Inputs and labels of some examples.

    Args:
        read: returns the float32 inputs at the given positions.
        shape: of one input.
        labels: one a position, as the loss takes them; zeros where there are none.
    """

    def __init__(self, read: Read, shape: tuple[int, ...], labels: np.ndarray) -> None:
        self.read = read
        self.shape = shape
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)


def training(rows: Rows, batch_size: int, epochs: range, seed: int) -> tf.data.Dataset:
    """Return all steps of the given epochs, one after the other: `len(rows) // batch_size` whole batches each.

    The order of an epoch depends on the seed and the epoch's number alone, so that a fit which resumes at any epoch
    sees what it would have seen. A ragged batch would weigh its rows more and can starve a replica, so the rows that
    fill no batch are skipped: other ones in each epoch.
    """
    steps = len(rows) // batch_size

    @functools.lru_cache(maxsize=2)  # while one epoch ends, the next is read already
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch]).permutation(len(rows))

    def positions(step: int) -> np.ndarray:
        epoch, batch = divmod(step, steps)
        return order(epoch)[batch * batch_size : (batch + 1) * batch_size]

    return _read_batches(rows, positions, range(epochs.start * steps, epochs.stop * steps))


def in_order(rows: Rows, batch_size: int) -> tf.data.Dataset:
    """Return every row once, in the table's order; the last batch may be smaller."""

    def positions(step: int) -> np.ndarray:
        return np.arange(step * batch_size, min((step + 1) * batch_size, len(rows)))

    return _read_batches(rows, positions, range(-(-len(rows) // batch_size)))


def _read_batches(rows: Rows, positions: Callable[[int], np.ndarray], steps: range) -> tf.data.Dataset:
    def read(step: np.int64) -> tuple[np.ndarray, np.ndarray]:
        wanted = positions(int(step))
        return rows.read(wanted).astype(np.float32, copy=False), rows.labels[wanted]

    def read_batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        inputs, labels = tf.numpy_function(read, [step], (tf.float32, rows.labels.dtype))
        inputs.set_shape((None, *rows.shape))  # numpy_function forgets shapes, and Keras needs them
        labels.set_shape((None, *rows.labels.shape[1:]))
        return inputs, labels

    # Numbers, not images: they cost nothing to hold, and a range has a known length (an unknown one costs a step).
    dataset = tf.data.Dataset.range(steps.start, steps.stop)
    # Deterministic: batches come in the order of their numbers however many are read at once.
    dataset = dataset.map(read_batch, num_parallel_calls=2, deterministic=True)
    options = tf.data.Options()
    options.autotune.enabled = False  # its buffers may take half of the memory
    # Replicas share each batch; files are not there to be divided among them.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.prefetch(2).with_options(options)  # last, so that reading overlaps the step
