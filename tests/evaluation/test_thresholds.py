"""Thresholds: by hand, by the exact binomial bound, and in simulation with known sensitivity."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from keras_med.errors import DataError, RecipeError
from keras_med.evaluation.thresholds import fewest_positive_patients, threshold_for_sensitivity


def table(positives, negatives=()):
    p = np.array([*positives, *negatives], dtype=float)
    label = [1] * len(positives) + [0] * len(negatives)
    return pd.DataFrame({"label": label, "p_1": p, "patient": range(len(p))})


def chosen(predictions, target=0.95, **settings):
    return threshold_for_sensitivity(predictions, target, classes=(0, 1), **settings)


def test_the_plug_in_threshold_by_hand():
    found = chosen(table([0.9, 0.8, 0.7, 0.2], [0.6, 0.1]), target=0.75, assurance=None)
    assert (found.value, found.sensitivity, found.specificity) == (0.7, 0.75, 1.0)
    assert found.lower_bound is None
    assert "promises nothing" in found.sentence


def test_the_threshold_with_assurance_is_the_exact_binomial_one():
    positives = np.linspace(0.01, 0.99, 93)
    bounds = [stats.binomtest(93 - missed, 93, alternative="greater").proportion_ci(0.95).low for missed in range(4)]
    assert bounds[1] > 0.94 > bounds[2] > bounds[3]  # one may be missed for 0.94, not two
    found = chosen(table(positives), target=0.94)
    assert found.value == positives[1]
    assert found.lower_bound == pytest.approx(bounds[1])
    assert found.sensitivity == pytest.approx(92 / 93)


def test_59_positive_patients_are_needed_for_95_percent_and_the_number_is_said():
    assert fewest_positive_patients(0.95) == 59
    assert fewest_positive_patients(0.9) == 29
    assert chosen(table(np.linspace(0.1, 0.9, 59))).value == pytest.approx(0.1)
    with pytest.raises(DataError, match=r"needs at least 59 positive patients; here are 58\."):
        chosen(table(np.linspace(0.1, 0.9, 58)))


def test_slices_are_no_patients():
    slices = table(np.linspace(0.1, 0.9, 400)).assign(patient=lambda rows: rows["patient"] % 40)
    with pytest.raises(DataError, match="here are 40"):
        chosen(slices)


def test_many_slices_of_a_few_patients_cannot_promise():
    heavy = table(np.linspace(0.1, 0.9, 1000)).assign(patient=lambda rows: np.minimum(rows["patient"], 60))
    with pytest.raises(DataError, match="too many of the examples are of a few of them"):
        chosen(heavy)


def test_ties_are_called_together():
    found = chosen(table([0.2] * 3 + [0.5] * 197), target=0.95)
    assert found.value == 0.5  # three missed of 200: bound 0.962


def test_constant_predictions_call_everyone_and_say_so():
    found = chosen(table([0.3] * 60, [0.3] * 40))
    assert (found.value, found.sensitivity, found.specificity) == (0.3, 1.0, 0.0)
    assert "calls every one of these examples positive" in found.sentence


def test_no_positives_and_impossible_targets_are_refused():
    with pytest.raises(DataError, match="No positive example"):
        chosen(table([], [0.1, 0.2]))
    for target in (0.0, 1.0, 1.5):
        with pytest.raises(RecipeError, match="between 0 and 1"):
            chosen(table([0.5] * 100), target=target)
    with pytest.raises(RecipeError, match="assurance"):
        chosen(table([0.5] * 100), assurance=1.0)


def share_met(patients, slices, alike, assurance, runs=400):
    """Give how often the chosen threshold's true sensitivity reaches 0.95; scores are normal, alike within patients."""
    generator, met = np.random.default_rng(8), 0
    codes = np.repeat(np.arange(patients), slices)
    for _ in range(runs):
        shared = np.sqrt(alike) * generator.normal(size=patients)[codes]
        logit = shared + np.sqrt(1 - alike) * generator.normal(size=len(codes))
        rows = pd.DataFrame({"label": 1, "p_1": 1 / (1 + np.exp(-logit)), "patient": codes})
        value = chosen(rows, assurance=assurance).value
        met += stats.norm.sf(np.log(value / (1 - value))) >= 0.95
    return met / runs


def test_the_promise_is_kept_in_new_patients():
    assert share_met(100, 1, 0.0, 0.95) > 0.95 - 2 * np.sqrt(0.95 * 0.05 / 400)
    assert share_met(80, 5, 0.6, 0.95, runs=150) > 0.94


def test_the_plug_in_threshold_would_not_keep_it():
    assert share_met(100, 1, 0.0, None) < 0.5
