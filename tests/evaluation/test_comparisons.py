"""Paired differences: by hand, against the textbook, and refused where tables do not belong together."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from keras_med.errors import DataError
from keras_med.evaluation.comparisons import differences, improvement, log_loss_improvement


def ages(rows=120, error=4.0):
    generator = np.random.default_rng(1)
    label = generator.uniform(20, 90, rows)
    predicted = label + error * generator.normal(size=rows)
    return pd.DataFrame({"id": [f"e{row}" for row in range(rows)], "label": label, "predicted": predicted})


def test_improvement_by_hand():
    table = pd.DataFrame({"label": [20.0, 40.0, 60.0], "predicted": [25.0, 40.0, 55.0]})
    found = improvement(table, 40.0, seed=1)  # MAE 10/3 against 40/3
    assert found["value"] == pytest.approx(0.75)
    assert found["low"] is None
    assert "fewer than 20" in found["reason"]


def test_improvement_has_an_interval_around_it():
    found = improvement(ages(), 55.0, seed=1)
    assert 0.6 < found["low"] < found["value"] < found["high"] < 0.9


def test_labels_that_all_equal_the_constant_leave_nothing_to_improve():
    found = improvement(ages().assign(label=50.0), 50.0, seed=1)
    assert found["value"] is None
    assert found["reason"] == "every label equals the constant"


def test_log_loss_improvement_by_hand():
    table = pd.DataFrame({"label": ["yes", "no"], "p_yes": [0.5, 0.0]})
    found = log_loss_improvement(table, (0.75, 0.25), kind="binary", classes=("no", "yes"), seed=1)
    assert found["value"] == pytest.approx(1 - np.log(2) / (np.log(4) - np.log(0.75)))


def test_a_class_never_trained_on_has_no_constant_to_beat():
    table = pd.DataFrame({"label": ["a"], "p_a": [1.0], "p_b": [0.0], "p_c": [0.0]})
    found = log_loss_improvement(table, (0.5, 0.5, 0.0), kind="classes", classes="abc", seed=1)
    assert found["value"] is None
    assert "no training example" in found["reason"]


def test_a_paired_difference_is_close_to_the_paired_t_interval():
    one, two = ages(), ages(error=5.0)
    gap = (one["predicted"] - one["label"]).abs() - (two["predicted"] - two["label"]).abs()
    half = stats.t.ppf(0.975, len(gap) - 1) * gap.std() / np.sqrt(len(gap))
    found = differences(one, two, kind="regression", unit="years", seed=1)["mae"]
    assert found["value"] == pytest.approx(gap.mean())
    assert (found["low"], found["high"]) == pytest.approx((gap.mean() - half, gap.mean() + half), abs=0.15 * half)


def test_rows_are_paired_by_id_whatever_their_order():
    one, two = ages(), ages(error=5.0)
    shuffled = two.sample(frac=1, random_state=3)
    assert differences(one, shuffled, kind="regression", seed=1) == differences(one, two, kind="regression", seed=1)


def test_a_table_against_itself_differs_in_nothing_and_says_so():
    found = differences(ages(), ages(), kind="regression", seed=1)["mae"]
    assert found["value"] == 0
    assert found["low"] is None
    assert "never changes" in found["reason"]


def test_predictions_of_other_examples_or_labels_are_refused():
    with pytest.raises(DataError, match="different examples: 2 stand in one"):
        differences(ages(), ages().assign(id=lambda t: t["id"].replace("e5", "x")), kind="regression", seed=1)
    with pytest.raises(DataError, match="different labels"):
        differences(ages(), ages().assign(label=lambda t: t["label"] + 1), kind="regression", seed=1)
    with pytest.raises(DataError, match="second table predicts 120 examples more than once"):
        differences(ages(), pd.concat([ages(), ages()]), kind="regression", seed=1)


def test_two_equal_classifiers_are_not_told_apart():
    generator = np.random.default_rng(5)
    truth = np.arange(200) % 2
    tables = []
    for _ in range(2):
        p = 1 / (1 + np.exp(-(2 * truth - 1 + generator.normal(size=200))))
        tables.append(pd.DataFrame({"id": range(200), "label": truth, "p_1": p, "patient": np.arange(200) // 2}))
    found = differences(tables[0], tables[1], kind="binary", classes=(0, 1), seed=1)
    assert found["auroc"]["low"] < 0 < found["auroc"]["high"]
    assert found["auroc"]["patients"] == 100
