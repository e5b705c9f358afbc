"""What an export says of threshold and calibration, applied to one row of outputs; worked out by hand."""

import numpy as np
import pytest

from keras_med.inference.columns import columns_of

PIXELS = np.zeros((4, 4, 1), np.float32)
BINARY = {"target": {"kind": "binary"}, "classes": ["no", "bleed"], "threshold": 0.4}


def test_the_decision_is_at_the_networks_own_probability_and_not_at_the_calibrated_one() -> None:
    calibration = {"method": "temperature", "temperature": 2.0, "offsets": [0.0, -2.0]}
    columns = columns_of({**BINARY, "calibration": calibration})
    assert columns.names == ["p_bleed", "calibrated_bleed", "decision"]
    own, calibrated, decision = columns.values(np.array([0.5], np.float32), PIXELS, "")
    assert own == 0.5
    assert calibrated == pytest.approx(1 / (1 + np.exp(2.0)))  # a logit of 0, halved, and 2 less
    assert decision == "bleed"  # 0.12 would be below the threshold


def test_several_classes_are_calibrated_together() -> None:
    calibration = {"method": "temperature", "temperature": 0.5, "offsets": [0.0, 0.0, 0.0]}
    columns = columns_of({"target": {"kind": "classes"}, "classes": ["a", "b", "c"], "calibration": calibration})
    assert columns.names == ["p_a", "p_b", "p_c", "calibrated_a", "calibrated_b", "calibrated_c"]
    squared = np.array([0.6, 0.3, 0.1]) ** 2  # half the temperature squares the odds
    assert columns.values(np.array([0.6, 0.3, 0.1]), PIXELS, "")[3:] == pytest.approx(list(squared / squared.sum()))


def test_what_was_chosen_on_whole_patients_is_applied_to_no_single_picture() -> None:
    patients = {**BINARY, "decides_on": {"unit": "patient", "combine": "max"}}
    columns = columns_of(patients)
    assert columns.names == ["p_bleed"]
    assert columns.undecided == "Threshold left out: it is of a patient's pictures together (their max)."
    calibration = {"method": "slope_intercept", "temperature": 2.0, "offsets": [0.0, -2.0]}
    columns = columns_of({**patients, "calibration": calibration})
    assert columns.names == ["p_bleed"]
    assert columns.undecided.startswith("Threshold and calibration left out: they are of a patient's pictures together")


def test_an_ensemble_says_the_mean_of_its_members_and_how_far_they_are_apart() -> None:
    columns = columns_of({**BINARY, "members": 3})
    assert columns.names == ["p_bleed", "decision", "spread"]
    own, decision, spread = columns.values(np.array([0.2, 0.3, 0.7], np.float32), PIXELS, "")
    assert (own, decision) == (pytest.approx(0.4), "bleed")
    assert spread == pytest.approx(np.sqrt((0.2**2 + 0.1**2 + 0.3**2) / 2))
    numbers = columns_of({"target": {"kind": "regression"}, "members": 2})
    assert numbers.values(np.array([50.0, 56.0]), PIXELS, "") == [53.0, pytest.approx(np.sqrt(18))]


def test_the_spread_of_several_classes_is_that_of_the_likeliest() -> None:
    columns = columns_of({"target": {"kind": "classes"}, "classes": ["a", "b", "c"], "members": 2})
    assert columns.names == ["p_a", "p_b", "p_c", "spread"]
    said = np.array([0.5, 0.3, 0.2, 0.1, 0.7, 0.2])  # one member after the other
    assert columns.values(said, PIXELS, "") == pytest.approx([0.3, 0.5, 0.2, np.sqrt(2 * 0.2**2)])
    assert columns.output(said) == pytest.approx([0.3, 0.5, 0.2])


def test_a_number_has_one_column() -> None:
    columns = columns_of({"target": {"kind": "regression"}, "classes": None, "threshold": None})
    assert (columns.names, columns.values(np.array([61.5]), PIXELS, "")) == (["predicted"], [61.5])
