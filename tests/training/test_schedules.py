import math

import pytest

from keras_med.recipe.train import Train
from keras_med.training.schedules import rate_after, rate_of_steps, waited


def history(*losses: float) -> list[dict[str, float]]:
    return [{"validation_loss": loss} for loss in losses]


def test_a_plateau_lowers_the_rate_each_time_its_patience_is_used_up() -> None:
    train = Train(schedule="plateau", learning_rate=0.8, plateau_patience=2, plateau_factor=0.5)
    assert rate_after(train, []) == 0.8
    assert rate_after(train, history(3.0, 2.0, 2.1)) == 0.8  # one epoch without a better loss
    assert rate_after(train, history(3.0, 2.0, 2.1, 2.0)) == 0.4  # an equal loss is no better one
    assert rate_after(train, history(3.0, 2.0, 2.1, 2.0, 1.9, 1.95)) == 0.4
    assert rate_after(train, history(3.0, 2.0, 2.1, 2.2, 2.3, 2.4)) == 0.2


def test_an_epoch_counts_as_better_only_by_more_than_the_least_gain() -> None:
    falling = history(3.0, 2.0, 1.75, 1.25, 1.0)
    assert waited(Train(), []) == 0
    assert waited(Train(), falling) == 0
    assert waited(Train(least_gain=0.5), falling) == 1  # 1.25 is 0.75 below 2.0, and 1.0 only 0.25 below 1.25
    assert waited(Train(least_gain=0.5), falling[:3]) == 1
    assert waited(Train(least_gain=0.75), falling) == 0  # 1.0 is a whole below 2.0, the last better one
    assert waited(Train(), history(1.0, 1.0, 2.0)) == 2
    train = Train(schedule="plateau", learning_rate=0.8, plateau_patience=2, plateau_factor=0.5, least_gain=0.75)
    assert rate_after(train, falling[:4]) == 0.4  # neither 1.75 nor 1.25 is more than 0.75 below 2.0


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
