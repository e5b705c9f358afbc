"""What happens during the epochs of a fit: what is watched, and when a fit that diverges stops."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_med.data.pipeline import Rows
from keras_med.errors import RunFailed
from keras_med.recipe.train import Train
from keras_med.runfolder import FitFolder
from keras_med.training import checkpoint, keeper
from keras_med.training.checkpoint import State
from keras_med.training.folds import FitPlan
from keras_med.training.keeper import Keeper, Pace, Watched

PLAN = FitPlan(fold="0", validation="validation", predict=(), epochs=2, patience=None, keep="best", seed=0)


def model(rate: float = 0.1, **averaging: object) -> keras.Model:
    made = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)])
    made.compile(keras.optimizers.SGD(rate, **averaging), loss="mean_squared_error", jit_compile=False)
    made.optimizer.build(made.trainable_variables)
    made.loss = keras.losses.MeanSquaredError()  # as fits have it: called on all predictions at once
    return made


def rows(labels: list[float]) -> Rows:
    return Rows(lambda at: np.ones((len(at), 1), np.float32), (1,), np.array(labels, np.float32)[:, None])


def test_a_fit_that_diverges_stops_within_its_epoch(tmp_path: Path) -> None:
    steps: list[int] = []
    count = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda step, logs: steps.append(step))
    keeper = Keeper(FitFolder(tmp_path), PLAN, State(), "a", Watched(rows([0.0]), 1), Train())
    with pytest.raises(RunFailed, match="at step 26 of epoch 1: training diverged"):
        # Each step multiplies the weight by about -2e10: after the third its square is no number of 32 bits.
        model(1e10).fit(np.ones((500, 1)), np.zeros((500, 1)), batch_size=1, callbacks=[keeper, count], verbose=0)
    assert steps[-1] == 25
    assert not (tmp_path / "checkpoint").exists()


def test_the_average_is_what_is_watched() -> None:
    made = model(use_ema=True, ema_momentum=0.5)
    made.optimizer.apply([keras.ops.zeros((1, 1))])  # the first step sets the average to the weight: 1
    made.optimizer.apply([keras.ops.full((1, 1), -20.0)])  # 1 + 0.1 * 20 = 3; the average of 1 and 3 is 2
    assert Watched(rows([0.0, 1.0]), 2).look(made) == {"validation_loss": pytest.approx((4 + 1) / 2)}
    assert float(made.get_weights()[0][0, 0]) == pytest.approx(3)


def test_class_weights_count_in_what_is_watched() -> None:
    watched = Watched(rows([0.0, 1.0, 3.0]), 2, {0: 2.0, 1: 5.0, 3: 0.5})
    assert watched.look(model()) == {"validation_loss": pytest.approx((2 * 1 + 5 * 0 + 0.5 * 4) / 3)}


def test_tensorboard_reads_each_epoch_once_also_after_a_resume(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit, train, made = FitFolder(tmp_path), Train(tensorboard=True), model(0.5)
    # one row with target 0: a step of 0.5 * 2 * w leaves the weight, and so the loss that is watched, at 0
    for epochs in ((0, 2), (1, 3)):  # the second process knows of the first epoch only
        remembered = [{"epoch": 1, "loss": 1.0, "validation_loss": 0.0, "learning_rate": 0.5, "seconds": 9.0}]
        state = State(epoch=epochs[0], history=remembered[: epochs[0]])
        keeper = Keeper(fit, PLAN, state, "a", Watched(rows([0.0]), 1), train)
        given = np.ones((1, 1)), np.zeros((1, 1))
        made.fit(*given, initial_epoch=epochs[0], epochs=epochs[1], callbacks=[keeper], verbose=0)
    read = EventAccumulator(str(fit.tensorboard)).Reload()
    assert set(read.Tags()["scalars"]) == {"curves/loss", "curves/validation_loss", "curves/learning_rate"}
    assert [(one.step, one.value) for one in read.Scalars("curves/loss")] == [(1, 1.0), (2, 0.0), (3, 0.0)]
    assert [(one.step, one.value) for one in read.Scalars("curves/learning_rate")] == [(1, 0.5), (2, 0.5), (3, 0.5)]


def test_a_checkpoint_is_due_once_its_own_time_is_a_tenth_of_the_fits() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])

    def taking(seconds: float) -> None:
        pace.timed(lambda: now.__setitem__(0, now[0] + seconds))

    assert pace.due()  # the first epoch's always
    taking(0.15)
    assert pace.due()
    taking(10)  # until 10.15, so that training has 90 seconds for itself
    now[0] = 100.1
    assert not pace.due()
    now[0] = 100.2
    assert pace.due()


def test_a_fit_whose_checkpoints_are_spared_goes_on_bit_for_bit_and_keeps_its_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The weight is 1, then 0.5, 0.25 and so on; at 0.25 what is watched is 0, and an epoch later no better.
    plan, given = replace(PLAN, epochs=5), (np.ones((1, 1)), np.zeros((1, 1)))

    def trained(name: str, epochs: int) -> tuple[keras.Model, State]:
        fit, made = FitFolder(tmp_path / name), model(0.25)
        state = checkpoint.restore(fit.checkpoint, made, "a")
        watching = Keeper(fit, plan, state, "a", Watched(rows([0.25]), 1), Train())
        made.fit(*given, initial_epoch=state.epoch, epochs=epochs, callbacks=[watching], verbose=0)
        return made, state

    whole, remembered = trained("whole", 5)
    monkeypatch.setattr(keeper, "_QUICK", -1.0)
    monkeypatch.setattr(keeper, "_SPARED", 1e9)
    trained("stopped", 4)  # as if killed within the fifth epoch: only the first one's checkpoint was written
    assert checkpoint.restore(FitFolder(tmp_path / "stopped").checkpoint, model(), "a").epoch == 1
    again, state = trained("stopped", 5)
    assert state.epoch == 5
    assert state.best_epoch == remembered.best_epoch == 1
    np.testing.assert_array_equal(again.get_weights()[0], whole.get_weights()[0])
    assert float(again.get_weights()[0][0, 0]) == 1 / 32
    checkpoint.restore_best(FitFolder(tmp_path / "stopped").checkpoint, again, state)
    assert float(again.get_weights()[0][0, 0]) == 0.25  # of the second epoch, which was never saved by itself
