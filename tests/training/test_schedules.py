import math

import pytest

from keras_med.recipe.train import Train
from keras_med.training.schedules import rate_after, rate_of_steps


def history(*losses: float) -> list[dict[str, float]]:
    return [{"validation_loss": loss} for loss in losses]


def test_a_plateau_lowers_the_rate_each_time_its_patience_is_used_up() -> None:
    train = Train(schedule="plateau", learning_rate=0.8, plateau_patience=2, plateau_factor=0.5)
    assert rate_after(train, []) == 0.8
    assert rate_after(train, history(3.0, 2.0, 2.1)) == 0.8  # one epoch without a better loss
    assert rate_after(train, history(3.0, 2.0, 2.1, 2.0)) == 0.4  # an equal loss is no better one
    assert rate_after(train, history(3.0, 2.0, 2.1, 2.0, 1.9, 1.95)) == 0.4
    assert rate_after(train, history(3.0, 2.0, 2.1, 2.2, 2.3, 2.4)) == 0.2


def test_a_warm_up_grows_to_the_rate_and_cosine_falls_from_there() -> None:
    rate = rate_of_steps(Train(schedule="cosine", learning_rate=0.4, epochs=5, warmup=1), 10)
    assert [float(rate(step)) for step in (0, 5, 10)] == pytest.approx([0.0, 0.2, 0.4])
    assert float(rate(30)) == pytest.approx(0.4 * (1 + math.cos(math.pi / 2)) / 2)
    assert float(rate(50)) == pytest.approx(0.0, abs=1e-7)


def test_a_warm_up_before_a_constant_rate() -> None:
    rate = rate_of_steps(Train(learning_rate=0.4, epochs=5, warmup=2), 10)
    assert [float(rate(step)) for step in (0, 5, 20, 45)] == pytest.approx([0.0, 0.1, 0.4, 0.4])


def test_cosine_annealing_starts_again_in_equal_periods() -> None:
    rate = rate_of_steps(Train(schedule="cosine", learning_rate=0.4, epochs=4, restarts=1), 10)
    assert [float(rate(step)) for step in (0, 10, 20, 30)] == pytest.approx([0.4, 0.2, 0.4, 0.2], abs=1e-6)
