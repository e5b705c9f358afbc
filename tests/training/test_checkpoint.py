"""A fit's checkpoint: training goes on bit for bit, and what is broken, foreign or not finite is refused."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_med.data import pipeline
from keras_med.data.pipeline import Rows
from keras_med.errors import RunFailed
from keras_med.training import checkpoint
from keras_med.training.checkpoint import State

STATE = "state.npz"


def made(seed: int = 0, *, optimizer: str = "adam", rate: object = 0.01, ema: bool = False) -> keras.Model:
    """Return a compiled network with everything that has a state: Dropout, BatchNormalization, Adam's moments."""
    keras.utils.set_random_seed(seed)
    image = keras.Input((6,))
    x = keras.layers.Dense(8)(image)
    x = keras.layers.BatchNormalization(synchronized=True)(x)
    x = keras.layers.Dropout(0.4)(keras.layers.Activation("relu")(x))
    model = keras.Model(image, keras.layers.Dense(1)(x))
    kinds = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}
    model.compile(kinds[optimizer](rate, use_ema=ema, ema_momentum=0.5), loss="mean_squared_error", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def rows() -> Rows:
    draw = np.random.default_rng(0)
    inputs = draw.normal(size=(37, 6)).astype(np.float32)
    labels = inputs[:, :1] * 2 + draw.normal(size=(37, 1)).astype(np.float32)
    return Rows(lambda positions: inputs[positions], (6,), labels)


def trained(model: keras.Model, epochs: range) -> keras.Model:
    data = pipeline.training(rows(), 8, epochs, seed=3)
    model.fit(data, initial_epoch=epochs.start, epochs=epochs.stop, steps_per_epoch=4, verbose=0, shuffle=False)
    return model


def everything(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(one) for one in [*model.variables, *model.optimizer.variables]]


def assert_equal(one: keras.Model, other: keras.Model) -> None:
    for left, right in zip(everything(one), everything(other), strict=True):
        np.testing.assert_array_equal(left, right)


def state_of(epoch: int, best: int | None = None, **others: object) -> State:
    plain = State(epoch=epoch, best_epoch=epoch - 1 if best is None else best, best_loss=0.5)
    return replace(plain, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize("schedule", [False, True])
def test_training_goes_on_bit_for_bit_after_a_restore(tmp_path: Path, schedule: bool) -> None:
    def rate() -> object:
        return keras.optimizers.schedules.CosineDecay(0.01, 16) if schedule else 0.01

    whole = trained(made(rate=rate()), range(4))
    first = trained(made(rate=rate()), range(2))
    checkpoint.save(tmp_path, first, state_of(2), "a")
    second = made(seed=99, rate=rate())
    assert checkpoint.restore(tmp_path, second, "a") == state_of(2)
    assert_equal(second, first)
    assert_equal(trained(second, range(2, 4)), whole)
    assert not np.array_equal(everything(whole)[0], everything(first)[0])


def test_a_fit_that_takes_over_anothers_checkpoint_goes_on_as_if_it_had_been_one(tmp_path: Path) -> None:
    whole = trained(made(), range(4))
    first = trained(made(), range(2))
    checkpoint.save(tmp_path / "one", first, state_of(2), "a")
    checkpoint.take_over(tmp_path / "two", tmp_path / "one", "b")
    second = made(seed=99)
    assert checkpoint.restore(tmp_path / "two", second, "b") == state_of(2)
    checkpoint.restore_best(tmp_path / "two", made(seed=98), state_of(2))
    assert_equal(trained(second, range(2, 4)), whole)
    with pytest.raises(RunFailed, match="other settings"):
        checkpoint.restore(tmp_path / "two", second, "a")


def test_averaged_weights_go_on_bit_for_bit_and_are_what_is_kept(tmp_path: Path) -> None:
    whole = trained(made(ema=True), range(4))
    first = Stopped(made(ema=True), tmp_path)
    second = made(seed=99, ema=True)
    checkpoint.restore(tmp_path, second, "a")
    raw, average = first.raw, first.average
    np.testing.assert_array_equal(everything(second)[0], raw)  # training goes on from the weights themselves
    assert np.abs(raw - average).max() > 1e-4
    assert_equal(trained(second, range(2, 4)), whole)
    checkpoint.restore_best(tmp_path, second, state_of(2))
    np.testing.assert_array_equal(everything(second)[0], average)


class Stopped(keras.callbacks.Callback):
    """Two epochs with a checkpoint after the last, inside fit as a run has it: Keras takes the averages at its end."""

    def __init__(self, model: keras.Model, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        data = pipeline.training(rows(), 8, range(2), seed=3)
        model.fit(data, epochs=2, steps_per_epoch=4, verbose=0, shuffle=False, callbacks=[self])

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        kernel = self.model.trainable_variables[0]
        (own,) = [one for one in self.model.optimizer.variables if "average" in one.path and one.shape == kernel.shape]
        self.raw, self.average = keras.ops.convert_to_numpy(kernel).copy(), keras.ops.convert_to_numpy(own).copy()
        checkpoint.save(self._folder, self.model, state_of(epoch + 1), "a")
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernel), self.raw)


def test_the_test_above_would_see_a_forgotten_dropout_seed(tmp_path: Path) -> None:
    whole = trained(made(), range(4))
    first = trained(made(), range(2))
    second = made()
    for own, other in zip(second.variables, first.variables, strict=True):
        if "seed_generator" not in own.path:
            own.assign(other)
    for own, other in zip(second.optimizer.variables, first.optimizer.variables, strict=True):
        own.assign(other)
    trained(second, range(2, 4))
    assert np.abs(everything(second)[0] - everything(whole)[0]).max() > 1e-3


def test_what_the_fit_remembers_comes_back(tmp_path: Path) -> None:
    history = [{"epoch": 1, "loss": 0.1 + 0.2, "seconds": 1e-9}, {"epoch": 2, "loss": 1 / 3, "seconds": 2.0}]
    state = State(epoch=2, history=history, best_epoch=0, best_loss=1 / 7)
    model = made()
    checkpoint.save(tmp_path, model, replace(state, epoch=1, best_epoch=0), "a")
    checkpoint.save(tmp_path, model, state, "a")
    assert checkpoint.restore(tmp_path, made(), "a") == state


def test_without_a_checkpoint_the_state_is_new_and_the_model_as_it_was(tmp_path: Path) -> None:
    model = made()
    before = everything(model)
    assert checkpoint.restore(tmp_path / "nothing", model, "a") == State()
    for left, right in zip(everything(model), before, strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_best_weights_come_back(tmp_path: Path) -> None:
    model = made()
    checkpoint.save(tmp_path, model, state_of(1), "a")
    best = [keras.ops.convert_to_numpy(one) for one in model.variables]
    trained(model, range(1))
    checkpoint.save(tmp_path, model, state_of(2, best=0), "a")
    checkpoint.restore_best(tmp_path, model, state_of(2, best=0))
    for left, right in zip(model.variables, best, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(left), right)


def test_only_the_best_weights_that_the_state_names_are_kept(tmp_path: Path) -> None:
    model = made()
    for epoch, best in [(1, 0), (2, 0), (3, 2), (4, 2)]:
        checkpoint.save(tmp_path, model, state_of(epoch, best), "a")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best-00002.npz", STATE]


def test_a_stop_between_the_two_writes_harms_nothing(tmp_path: Path) -> None:
    model = made()
    checkpoint.save(tmp_path, model, state_of(1), "a")
    first = everything(model)
    standing = (tmp_path / STATE).read_bytes(), (tmp_path / "best-00000.npz").read_bytes()
    trained(model, range(1, 2))
    checkpoint.save(tmp_path, model, state_of(2), "a")  # a new best: its weights are written, then the state
    (tmp_path / STATE).write_bytes(standing[0])  # as if the power had gone before the second write
    (tmp_path / "best-00000.npz").write_bytes(standing[1])
    again = made(seed=5)
    state = checkpoint.restore(tmp_path, again, "a")
    assert state == state_of(1)
    for left, right in zip(everything(again), first, strict=True):
        np.testing.assert_array_equal(left, right)
    checkpoint.restore_best(tmp_path, again, state)
    for left, right in zip(again.variables, first[: len(again.variables)], strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(left), right)
    trained(again, range(1, 2))
    checkpoint.save(tmp_path, again, state_of(2), "a")
    assert_equal(again, model)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best-00001.npz", STATE]


def test_a_half_written_file_is_never_read(tmp_path: Path) -> None:
    model = made()
    checkpoint.save(tmp_path, model, state_of(1), "a")
    whole = (tmp_path / STATE).read_bytes()
    (tmp_path / f"{STATE}.tmp").write_bytes(whole[:100])
    (tmp_path / f".{STATE}.1234").write_bytes(whole[:100])
    assert checkpoint.restore(tmp_path, made(seed=5), "a") == state_of(1)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", [STATE, "best-00000.npz"])
def test_a_cut_checkpoint_is_refused_in_words(tmp_path: Path, name: str, share: float) -> None:
    model = made()
    checkpoint.save(tmp_path, model, state_of(1), "a")
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunFailed, match="checkpoint"):
        checkpoint.restore_best(tmp_path, model, checkpoint.restore(tmp_path, model, "a"))


def test_a_damaged_byte_is_refused_or_one_that_does_not_matter(tmp_path: Path) -> None:
    model = made()
    checkpoint.save(tmp_path, model, state_of(1), "a")
    content = (tmp_path / STATE).read_bytes()
    other, refused = made(seed=5), 0
    for place in range(0, len(content), 61):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        (tmp_path / STATE).write_bytes(damaged)
        try:
            assert checkpoint.restore(tmp_path, other, "a") == state_of(1)
        except RunFailed:
            refused += 1
        else:
            assert_equal(other, model)
    assert refused > len(content) / 61 / 4  # much of a small archive is padding and dates


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, made(), state_of(1), "seed 1, data a")
    with pytest.raises(RunFailed, match="other settings or data"):
        checkpoint.restore(tmp_path, made(), "seed 1, data b")


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, made(optimizer="sgd"), state_of(1), "a")
    with pytest.raises(RunFailed, match="checkpoint"):
        checkpoint.restore(tmp_path, made(), "a")  # Adam has more variables
    (tmp_path / "other").mkdir()
    checkpoint.save(tmp_path / "other", made(), state_of(1), "a")
    with pytest.raises(RunFailed, match="checkpoint"):
        checkpoint.restore(tmp_path / "other", made(optimizer="sgd"), "a")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("of", ["weights", "optimizer"])
def test_weights_that_are_no_numbers_are_never_written(tmp_path: Path, bad: float, of: str) -> None:
    model = made()
    checkpoint.save(tmp_path, model, state_of(1), "a")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    variable = model.variables[0] if of == "weights" else model.optimizer.variables[-1]
    values = keras.ops.convert_to_numpy(variable).copy()
    values.flat[-1] = bad
    variable.assign(values)
    with pytest.raises(RunFailed, match="no longer finite"):
        checkpoint.save(tmp_path, model, state_of(2), "a")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_checkpoint_holds_no_pickle(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, made(), state_of(1), "a")
    with np.load(tmp_path / STATE, allow_pickle=False) as saved:
        assert all(saved[name].dtype.kind in "fiu" for name in saved.files)
        assert json.loads(saved["told"].tobytes())["epoch"] == 1
