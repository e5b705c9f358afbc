"""Batches of prepared rows: which rows, in which order, how many, and whether a resumed fit sees the same."""

import subprocess
import sys
import threading
from collections import Counter
from itertools import chain

import keras
import numpy as np
import pytest

from keras_med import Augment
from keras_med.data import pipeline
from keras_med.data.augmentation import augment
from keras_med.data.pipeline import Rows

CHANGES = Augment(flip=("horizontal", "vertical"), rotate=15, noise=0.05)


def numbered(count: int) -> Rows:
    """Return rows whose input and label are both their position."""
    values = np.arange(count, dtype=np.float32)[:, None]
    return Rows(lambda positions: values[positions], (1,), values)


def images(count: int, shape: tuple[int, ...] = (6, 7, 2)) -> tuple[Rows, np.ndarray]:
    pixels = np.random.default_rng(5).uniform(0, 255, (count, *shape)).astype(np.float32)
    labels = np.arange(count, dtype=np.int32)
    return Rows(lambda positions: pixels[positions], shape, labels, [f"id{n}" for n in range(count)]), pixels


def positions_of(dataset: object, steps: int = 0) -> list[list[int]]:
    """Return the rows of each batch."""
    batches = [labels.numpy().ravel().astype(int).tolist() for _, labels in dataset]  # type: ignore[attr-defined]
    return batches if not steps else [list(chain(*batches[at : at + steps])) for at in range(0, len(batches), steps)]


def test_an_epoch_holds_whole_batches_and_every_row_at_most_once() -> None:
    batches = positions_of(pipeline.training(numbered(33), 8, range(20), 7))
    assert {len(batch) for batch in batches} == {8}
    assert len(batches) == 4 * 20
    for epoch in positions_of(pipeline.training(numbered(33), 8, range(20), 7), steps=4):
        assert len(set(epoch)) == 32


def test_other_rows_are_skipped_in_other_epochs() -> None:
    epochs = positions_of(pipeline.training(numbered(33), 8, range(60), 7), steps=4)
    skipped = [(set(range(33)) - set(epoch)).pop() for epoch in epochs]
    assert len(set(skipped)) > 20  # 60 draws of 33 rows: 27.8 different ones are expected
    assert max(Counter(skipped).values()) < 9


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def epoch(number: int, seed: int) -> list[list[int]]:
        return positions_of(pipeline.training(numbered(40), 8, range(number, number + 1), seed))

    whole = positions_of(pipeline.training(numbered(40), 8, range(4), 1))
    assert [epoch(number, 1) for number in range(4)] == [whole[at : at + 5] for at in range(0, 20, 5)]
    assert epoch(0, 1) != epoch(1, 1)
    assert epoch(0, 1) != epoch(0, 2)
    assert epoch(1, 0) != epoch(0, 1)


def test_the_order_is_numpys_permutation_of_seed_and_epoch() -> None:
    (epoch,) = positions_of(pipeline.training(numbered(16), 8, range(3, 4), 9), steps=2)
    assert epoch == np.random.default_rng([9, 3]).permutation(16).tolist()


def test_a_resumed_fit_sees_what_it_would_have_seen() -> None:
    rows, _ = images(21)
    whole = [(x.numpy(), y.numpy()) for x, y in pipeline.training(rows, 4, range(6), 3, changes=CHANGES)]
    for start in (1, 4, 5):
        resumed = [(x.numpy(), y.numpy()) for x, y in pipeline.training(rows, 4, range(start, 6), 3, changes=CHANGES)]
        assert len(resumed) == 5 * (6 - start)
        for (x, y), (again_x, again_y) in zip(whole[5 * start :], resumed, strict=True):
            np.testing.assert_array_equal(again_x, x)
            np.testing.assert_array_equal(again_y, y)


def test_another_process_reads_the_same_bytes() -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from keras_med import Augment\n"
        "from keras_med.data import pipeline\n"
        "pixels = np.random.default_rng(5).uniform(0, 255, (9, 6, 7, 3, 1)).astype(np.float32)\n"
        "rows = pipeline.Rows(lambda at: pixels[at], (6, 7, 3, 1), np.arange(9), [f'id{n}' for n in range(9)])\n"
        f"batches = pipeline.training(rows, 4, range(3), 3, changes={CHANGES!r})\n"
        "digest = hashlib.sha256()\n"
        "for x, y in batches:\n"
        "    digest.update(x.numpy().tobytes() + y.numpy().tobytes())\n"
        "found = digest.hexdigest()\n"
    )
    typed = [sys.executable, "-c", code + "print(found)"]
    other = subprocess.run(typed, capture_output=True, text=True, check=True).stdout
    own: dict[str, str] = {}
    exec(code, own)
    assert other.strip() == own["found"]


def test_each_image_is_changed_by_its_own_id_and_epoch() -> None:
    rows, pixels = images(10)
    batches = list(pipeline.training(rows, 5, range(2, 4), 11, changes=CHANGES))
    for number, (inputs, labels) in enumerate(batches):
        epoch = 2 + number // 2
        for changed, position in zip(inputs.numpy(), labels.numpy(), strict=True):
            expected = augment(pixels[position], CHANGES, 11, epoch, f"id{position}")
            np.testing.assert_array_equal(changed, expected)


def test_images_are_never_changed_outside_training() -> None:
    rows, pixels = images(11)
    before = pixels.copy()
    list(pipeline.training(rows, 4, range(3), 0, changes=CHANGES))
    seen = np.concatenate([inputs.numpy() for inputs, _ in pipeline.in_order(rows, 4)])
    np.testing.assert_array_equal(seen, before)
    for inputs, labels in pipeline.training(rows, 4, range(2), 0):
        np.testing.assert_array_equal(inputs.numpy(), before[labels.numpy()])


def test_rows_without_names_cannot_be_augmented() -> None:
    with pytest.raises(ValueError, match="rows without names"):
        pipeline.training(numbered(8), 4, range(1), 0, changes=CHANGES)
    with pytest.raises(ValueError, match="3 names and 8 labels"):
        Rows(lambda positions: positions, (1,), np.zeros(8), ["a", "b", "c"])


@pytest.mark.parametrize("count", [1, 3, 7, 8, 9, 33])
def test_in_order_loses_no_row(count: int) -> None:
    dataset = pipeline.in_order(numbered(count), 8)
    batches = positions_of(dataset)
    assert list(chain(*batches)) == list(range(count))
    assert len(batches) == int(dataset.cardinality()) == -(-count // 8)
    assert all(len(batch) == 8 for batch in batches[:-1])


@pytest.mark.parametrize(("count", "batch", "steps"), [(33, 8, 4), (32, 8, 4), (8, 8, 1), (7, 8, 0)])
def test_the_number_of_steps_is_known(count: int, batch: int, steps: int) -> None:
    assert int(pipeline.training(numbered(count), batch, range(2, 5), 0).cardinality()) == 3 * steps


def test_shapes_and_types_are_known_before_anything_is_read() -> None:
    rows, _ = images(5, (4, 6, 3, 1))
    inputs, labels = pipeline.training(rows, 2, range(1), 0).element_spec
    assert inputs.shape.as_list() == [None, 4, 6, 3, 1]
    assert inputs.dtype.name == "float32"
    assert labels.shape.as_list() == [None]
    assert labels.dtype.name == "int32"


def test_batches_are_read_in_parallel_and_still_come_in_order() -> None:
    both = threading.Barrier(2, timeout=20)  # no read ends before another has begun
    values = np.arange(64, dtype=np.float32)[:, None]

    def read(positions: np.ndarray) -> np.ndarray:
        if positions[0] < 32:
            both.wait()
        return values[positions]

    batches = positions_of(pipeline.in_order(Rows(read, (1,), values), 8))
    assert list(chain(*batches)) == list(range(64))


def test_starting_again_reads_a_few_batches_and_not_the_epoch() -> None:
    asked: list[int] = []

    def read(positions: np.ndarray) -> np.ndarray:
        asked.append(len(positions))
        return np.zeros((len(positions), 1), np.float32)

    dataset = pipeline.training(Rows(read, (1,), np.zeros((80_000, 1), np.float32)), 8, range(100), 0)
    for _ in range(3):
        next(iter(dataset))
    assert len(asked) < 3 * 20  # of a million steps


class CountBatches(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.trained: list[int] = []
        self.tested = 0

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.trained.append(0)

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.trained[-1] += 1

    def on_test_batch_end(self, batch: int, logs: object = None) -> None:
        self.tested += 1


def linear() -> keras.Model:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), loss="mean_squared_error", metrics=["mean_absolute_error"])
    return model


@pytest.mark.parametrize("start", [0, 2])
def test_fit_takes_exactly_the_steps_of_each_epoch(start: int) -> None:
    rows, model, counted = numbered(33), linear(), CountBatches()
    history = model.fit(
        pipeline.training(rows, 8, range(start, 5), 0),
        validation_data=pipeline.in_order(rows, 8),
        initial_epoch=start,
        epochs=5,
        steps_per_epoch=4,
        callbacks=[counted],
        shuffle=False,
        verbose=0,
    )
    assert counted.trained == [4] * (5 - start)
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 4 * (5 - start)
    assert counted.tested == 5 * (5 - start)
    assert len(history.history["loss"]) == 5 - start


@pytest.mark.parametrize("count", [1, 3, 33])
def test_evaluate_equals_numpy_and_predict_keeps_the_order(count: int) -> None:
    draw = np.random.default_rng(count)
    inputs, labels = draw.normal(size=(2, count, 1)).astype(np.float32)
    rows = Rows(lambda positions: inputs[positions], (1,), labels)
    model = linear()
    found = model.evaluate(pipeline.in_order(rows, 8), verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(np.mean((inputs - labels) ** 2), rel=1e-5)
    assert found["mean_absolute_error"] == pytest.approx(np.mean(np.abs(inputs - labels)), rel=1e-5)
    np.testing.assert_allclose(model.predict(pipeline.in_order(rows, 8), verbose=0), inputs, rtol=1e-6)


def test_each_example_shows_one_of_its_views_in_each_epoch() -> None:
    """Views 0 to 3 of row r hold r + 1000 * view; the plain inputs must not appear in training."""
    count, views, epochs = 40, 4, 60
    values = np.arange(count, dtype=np.float32)[:, None]

    def reader(offset: float) -> pipeline.Read:
        return lambda wanted: values[wanted] + np.float32(offset)

    readers = [reader(1000.0 * (view + 1)) for view in range(views)]
    names = [f"id{row}" for row in range(count)]
    rows = Rows(reader(0), (1,), values, names, readers)
    seen = np.zeros((count, views, epochs), int)
    for step, (inputs, labels) in enumerate(pipeline.training(rows, 8, range(epochs), seed=3)):
        for value, label in zip(np.asarray(inputs)[:, 0], np.asarray(labels)[:, 0], strict=True):
            view = int((value - label) // 1000) - 1
            assert value == label + 1000 * (view + 1), "an example is read from its own row of a view"
            seen[int(label), view, step // 5] += 1
    assert (seen.sum(axis=1) == 1).all(), "each row once an epoch"
    share = seen.sum(axis=(0, 2)) / (count * epochs)
    np.testing.assert_allclose(share, 0.25, atol=0.04)  # three deviations of 2,400 draws are 0.027
    assert (seen.sum(axis=2) > 0).all(), "60 epochs show every view of a row, but once in 10^7 times"
    later = next(iter(pipeline.training(rows, 8, range(30, 31), seed=3)))
    again = next(iter(pipeline.training(rows, 8, range(30, 60), seed=3)))
    np.testing.assert_array_equal(np.asarray(later[0]), np.asarray(again[0]))
