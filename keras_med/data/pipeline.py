"""Prepared rows to tf.data: known length, one order for each epoch, and no row lost outside training."""

import functools
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from keras_med.data.augmentation import augment, view_of
from keras_med.recipe.words import Augment

Read = Callable[[np.ndarray], np.ndarray]  # positions of rows -> their inputs, (rows, ...)
Batch = tuple[np.ndarray, np.ndarray]

_AT_ONCE = min(8, max(2, os.cpu_count() or 2))  # batches that are read and changed in parallel; each is held


class Rows:
    """Inputs and labels of some examples.

    Args:
        read: returns the float32 inputs at the given positions.
        shape: of one input.
        labels: one a position, as the loss takes them; zeros where there are none.
        names: the examples' ids, which augmentation needs.
        views: each reads the inputs as they were changed once and kept; training shows one of them in each epoch.
    """

    def __init__(
        self,
        read: Read,
        shape: tuple[int, ...],
        labels: np.ndarray,
        names: Sequence[str] | None = None,
        views: Sequence[Read] = (),
    ) -> None:
        if names is not None and len(names) != len(labels):
            raise ValueError(f"{len(names)} names and {len(labels)} labels; expected one of each a row")
        self.read = read
        self.shape = shape
        self.labels = labels
        self.names = names
        self.views = views

    def __len__(self) -> int:
        return len(self.labels)


def training(
    rows: Rows, batch_size: int, epochs: range, seed: int, *, changes: Augment | None = None
) -> tf.data.Dataset:
    """Return all steps of the given epochs, one after the other: `len(rows) // batch_size` whole batches each.

    The order of an epoch and how its images are changed depend on the seed, the epoch's number and the ids alone, so
    that a fit which resumes at any epoch sees what it would have seen. A ragged batch would weigh its rows more and can
    starve a replica, so the rows that fill no batch are skipped: other ones in each epoch.

    Args:
        changes: of the images; none for inputs that are no images. Rows that have views were changed already.
    """
    steps = len(rows) // batch_size

    @functools.lru_cache(maxsize=2)  # while one epoch ends, the next is read already
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch]).permutation(len(rows))

    def read(step: int) -> Batch:
        epoch, batch = divmod(step, steps)
        wanted = order(epoch)[batch * batch_size : (batch + 1) * batch_size]
        if rows.views:
            return _shown(rows.views, wanted, [names[position] for position in wanted], (seed, epoch)), rows.labels[
                wanted
            ]
        inputs = rows.read(wanted)
        if changes is not None:
            inputs = _changed(inputs, [names[position] for position in wanted], changes, (seed, epoch))
        return inputs, rows.labels[wanted]

    names = rows.names or ()
    if (changes is not None or rows.views) and not names:
        raise ValueError("rows without names cannot be augmented; expected Rows(..., names=ids)")
    return _read_batches(rows, read, range(epochs.start * steps, epochs.stop * steps))


def in_order(rows: Rows, batch_size: int, *, shared_by: int = 1) -> tf.data.Dataset:
    """Return every row once, in the table's order and unchanged; the last batch may be smaller.

    Args:
        shared_by: devices of which each must get as many rows: the last row is repeated until that is so.
    """

    def read(step: int) -> Batch:
        wanted = np.arange(step * batch_size, min((step + 1) * batch_size, len(rows)))
        wanted = np.append(wanted, np.repeat(wanted[-1:], -len(wanted) % shared_by))
        return rows.read(wanted), rows.labels[wanted]

    return _read_batches(rows, read, range(-(-len(rows) // batch_size)))


def _changed(images: np.ndarray, names: Sequence[str], changes: Augment, drawn_from: tuple[int, int]) -> np.ndarray:
    return np.stack([augment(image, changes, *drawn_from, name) for image, name in zip(images, names, strict=True)])


def _shown(views: Sequence[Read], wanted: np.ndarray, names: Sequence[str], drawn_from: tuple[int, int]) -> np.ndarray:
    """Read each row from the view that it shows."""
    chosen = np.array([view_of(*drawn_from, name, len(views)) for name in names])
    parts = {view: views[view](wanted[chosen == view]) for view in np.unique(chosen)}
    first = next(iter(parts.values()))
    inputs = np.empty((len(wanted), *first.shape[1:]), first.dtype)
    for view, part in parts.items():
        inputs[chosen == view] = part
    return inputs


def _read_batches(rows: Rows, read: Callable[[int], Batch], steps: range) -> tf.data.Dataset:
    def read_typed(step: np.int64) -> Batch:
        inputs, labels = read(int(step))
        return inputs.astype(np.float32, copy=False), labels

    def read_batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # Not stateful: a batch is its number's alone, and stateful reads wait for each other in a deterministic run.
        inputs, labels = tf.numpy_function(read_typed, [step], (tf.float32, rows.labels.dtype), stateful=False)
        inputs.set_shape((None, *rows.shape))  # numpy_function forgets shapes, and Keras needs them
        labels.set_shape((None, *rows.labels.shape[1:]))
        return inputs, labels

    # Numbers, not images: they cost nothing to hold, and a range has a known length (an unknown one costs a step).
    dataset = tf.data.Dataset.range(steps.start, steps.stop)
    # Deterministic: batches come in the order of their numbers however many are read at once.
    dataset = dataset.map(read_batch, num_parallel_calls=_AT_ONCE, deterministic=True)
    options = tf.data.Options()
    options.autotune.enabled = False  # its buffers may take half of the memory
    # Replicas share each batch; files are not there to be divided among them.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.prefetch(2).with_options(options)  # last, so that reading overlaps the step
