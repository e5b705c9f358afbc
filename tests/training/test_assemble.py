"""How closely the whole model must give the fit's predictions again."""

import numpy as np
import pytest

from keras_med.training.assemble import largest_difference

BEFORE = np.array([0.5, -60.0, 25.0])


def off(*errors: float) -> np.ndarray:
    return BEFORE + np.array(errors)


def test_published_weights_are_held_to_the_prediction_itself() -> None:
    assert largest_difference(BEFORE, off(0.0034, 0, 0), span=0) == pytest.approx(0.0034)
    assert largest_difference(BEFORE, off(0, 0.006, 0), span=0) == pytest.approx(0.006 / 60)


def test_random_weights_are_held_to_the_span_of_their_predictions() -> None:
    assert largest_difference(BEFORE, off(0.0034, 0, 0), span=85) == pytest.approx(0.0034 / 85)
    assert largest_difference(BEFORE, off(0, 0, -0.017), span=85) == pytest.approx(2e-4)  # above the bound all the same


def test_a_narrow_span_loosens_nothing() -> None:
    assert largest_difference(BEFORE, off(0.0034, 0, 0), span=0.2) == pytest.approx(0.0034)


def test_a_prediction_that_is_no_number_is_never_near() -> None:
    assert not largest_difference(BEFORE, np.array([np.nan, -60.0, 25.0]), span=85) <= 1e-4
