"""Metrics against tables worked by hand and against scikit-learn."""

import warnings
from math import log, sqrt

import numpy as np
import pytest
from sklearn import metrics as sk

from keras_med.errors import DataError
from keras_med.evaluation import metrics


def same(found, expected):
    return (np.isnan(found) and np.isnan(expected)) or found == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_regression_by_hand():
    found = metrics.regression([20, 30, 40, 50], [22, 28, 44, 50])  # errors 2, -2, 4, 0
    deviation = sqrt(20 / 3)
    assert found == pytest.approx(
        {
            "mae": 2,
            "rmse": sqrt(6),
            "r2": 1 - 24 / 500,
            "bias": 1,
            "limit_low": 1 - 1.96 * deviation,
            "limit_high": 1 + 1.96 * deviation,
            "mae_20_to_30": 2,
            "mae_30_to_40": 2,
            "mae_40_to_50": 4,
            "mae_50_to_60": 0,
        }
    )


def test_decades_hold_their_lower_end_and_not_their_upper_one():
    found = metrics.regression([29.9, 30.0, -0.5], [30.9, 32.0, -4.5])
    assert {name: round(value, 9) for name, value in found.items() if "_to_" in name} == {
        "mae_-10_to_0": 4,
        "mae_20_to_30": 1,
        "mae_30_to_40": 2,
    }


def test_one_decade_and_very_many_give_no_table_of_decades():
    assert not metrics.decades(np.array([1.0, 2.0, 9.0]))
    assert not metrics.decades(np.arange(0.0, 2000.0, 10.0))


def test_binary_by_hand():
    found = metrics.binary([1, 1, 0, 1, 1, 0, 0, 0], [0.9, 0.8, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1], 0.65)
    expected = {
        "sensitivity": 2 / 4,
        "specificity": 3 / 4,
        "precision": 2 / 3,
        "npv": 3 / 5,
        "accuracy": 5 / 8,
        "balanced_accuracy": 5 / 8,
        "f1": 4 / 7,
        "auroc": 14 / 16,
        "average_precision": (1 + 1 + 3 / 4 + 4 / 5) / 4,
        "brier": 1.2 / 8,
        "log_loss": -(2 * log(0.9) + 2 * log(0.8) + log(0.3) + log(0.6) + log(0.4) + log(0.7)) / 8,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_p_equal_to_the_threshold_is_called_positive():
    assert metrics.binary([1, 0], [0.5, 0.4], 0.5)["sensitivity"] == 1


def test_calibration_slope_by_hand():
    # A quarter of the positives at 0.2, three quarters at 0.8: logits +-log 3 where +-log 4 was said.
    found = metrics.binary([1, 0, 0, 0, 1, 1, 1, 0], [0.2] * 4 + [0.8] * 4)
    assert found["calibration_slope"] == pytest.approx(log(3) / log(4))
    assert found["calibration_intercept"] == pytest.approx(0, abs=1e-9)


def test_calibration_intercept_by_hand():
    # Every odds doubled: 1/3 becomes 1/2 (one of two is positive), 1/2 becomes 2/3 (two of three).
    found = metrics.binary([1, 0, 1, 1, 0], [1 / 3, 1 / 3, 1 / 2, 1 / 2, 1 / 2])
    assert found["calibration_slope"] == pytest.approx(1)
    assert found["calibration_intercept"] == pytest.approx(log(2))


def test_several_classes_by_hand():
    # True a a a b b c, called a a b b b b.
    p = [[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.3, 0.5, 0.2], [0.1, 0.7, 0.2], [0.2, 0.6, 0.2], [0.2, 0.5, 0.3]]
    found = metrics.several(list("aaabbc"), p, list("abc"))
    expected = {
        "accuracy": 4 / 6,
        "precision_a": 1,
        "recall_a": 2 / 3,
        "f1_a": 4 / 5,
        "support_a": 3,
        "precision_b": 2 / 4,
        "recall_b": 1,
        "f1_b": 4 / 6,
        "support_b": 2,
        "recall_c": 0,
        "f1_c": 0,
        "support_c": 1,
        "macro_recall": (2 / 3 + 1 + 0) / 3,
        "weighted_recall": 4 / 6,
        "macro_f1": (4 / 5 + 4 / 6 + 0) / 3,
        "weighted_f1": (3 * 4 / 5 + 2 * 4 / 6) / 6,
        "auroc_a": 1,
        "auroc_b": 1,
        "auroc_c": 1,
        "macro_auroc": 1,
        "log_loss": -(log(0.8) + log(0.6) + log(0.3) + log(0.7) + log(0.6) + log(0.3)) / 6,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    undefined = {name for name, value in found.items() if np.isnan(value)}
    assert undefined == {"precision_c", "macro_precision", "weighted_precision"}  # c was never called


def test_one_against_the_rest_by_hand():
    p = [[0.6, 0.4], [0.3, 0.7], [0.5, 0.5], [0.2, 0.8]]
    assert metrics.several(list("aabb"), p, list("ab"))["auroc_a"] == 3 / 4  # 0.6 beats 0.5 and 0.2, 0.3 beats 0.2


def test_a_tie_between_classes_goes_to_the_one_named_first():
    assert metrics.several(["a"], [[0.5, 0.5]], ["a", "b"])["accuracy"] == 1


def random_cases(count):  # 1,000 in the three tests below together
    generator = np.random.default_rng(20)
    for number in range(count):
        rows = int(generator.integers(2, 40))
        yield generator, rows, number % 3 == 0  # every third case has many ties


def test_regression_equals_scikit_learn_on_random_cases():
    for generator, rows, ties in random_cases(300):
        labels = generator.integers(18, 30, rows) if ties else generator.uniform(18, 90, rows)
        predicted = labels + generator.normal(0, 5, rows)
        found = metrics.regression(labels, predicted)
        assert same(found["mae"], sk.mean_absolute_error(labels, predicted))
        assert same(found["rmse"], sk.root_mean_squared_error(labels, predicted))
        assert np.isnan(found["r2"]) if np.ptp(labels) == 0 else same(found["r2"], sk.r2_score(labels, predicted))


@pytest.mark.filterwarnings("ignore:Only one class:sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.filterwarnings("ignore:No positive class:UserWarning")
def test_binary_equals_scikit_learn_on_random_cases():
    single = 0
    for generator, rows, ties in random_cases(400):
        share = generator.choice([0.0, 0.1, 0.5, 1.0], p=[0.1, 0.4, 0.4, 0.1])
        labels = (generator.random(rows) < share).astype(int)
        p = generator.integers(0, 5, rows) / 4 if ties else generator.random(rows)
        threshold = float(generator.choice([0.0, 0.25, 0.5, 0.9]))
        found, called = metrics.binary(labels, p, threshold), (p >= threshold).astype(int)
        both = len(set(labels)) == 2
        single += not both
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            labels, called, labels=[0, 1], zero_division=np.nan
        )
        expected = {
            "sensitivity": recall[1],
            "specificity": recall[0],
            "precision": precision[1],
            "npv": precision[0],
            "accuracy": sk.accuracy_score(labels, called),
            "f1": f1[1],
            "auroc": sk.roc_auc_score(labels, p) if both else np.nan,
            "average_precision": sk.average_precision_score(labels, p) if labels.any() else np.nan,
            "brier": sk.brier_score_loss(labels, p),
            "log_loss": sk.log_loss(labels, np.clip(p, 1e-15, 1 - 1e-15), labels=[0, 1]),
        }
        expected["balanced_accuracy"] = (expected["sensitivity"] + expected["specificity"]) / 2
        for name, value in expected.items():
            if name != "log_loss" or 0 < p.min() <= p.max() < 1:  # at 0 and 1 the floors differ by a digit
                assert same(found[name], value), name
    assert single > 30


def test_several_equals_scikit_learn_on_random_cases():
    empty = 0
    for generator, rows, ties in random_cases(300):
        size = int(generator.integers(2, 5))
        classes = list("abcd")[:size]
        labels = generator.choice(classes, rows)
        raw = generator.integers(1, 4, (rows, size)) if ties else generator.random((rows, size))
        p = raw / raw.sum(axis=1, keepdims=True)
        found = metrics.several(list(labels), p, classes)
        called = np.array(classes)[p.argmax(axis=1)]
        table = sk.precision_recall_fscore_support(labels, called, labels=classes, zero_division=np.nan)
        for number, name in enumerate(classes):
            figures = ("precision", "recall", "f1", "support")
            assert all(same(found[f"{figure}_{name}"], table[place][number]) for place, figure in enumerate(figures))
            own = labels == name
            area = sk.roc_auc_score(own, p[:, number]) if 0 < own.sum() < rows else np.nan
            assert same(found[f"auroc_{name}"], area)
        empty += bool((table[3] == 0).any())
        for average in ("macro", "weighted") if not ties else ():
            averages = sk.precision_recall_fscore_support(
                labels, called, labels=classes, average=average, zero_division=0
            )
            for place, figure in enumerate(("precision", "recall", "f1")):
                value = found[f"{average}_{figure}"]
                if np.isfinite(table[place]).all():
                    assert same(value, averages[place])
                elif average == "macro":
                    assert np.isnan(value)
        assert same(found["accuracy"], sk.accuracy_score(labels, called))
        assert same(found["log_loss"], sk.log_loss(labels, p, labels=classes))
    assert empty > 3


def test_what_is_undefined_is_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(list(metrics.regression([], []).values())).all()
        assert np.isnan(metrics.regression([5], [6])["r2"])
        assert np.isnan(metrics.regression([5, 5], [6, 4])["r2"])
        none = metrics.binary([0, 0], [0.1, 0.2])
        assert np.isnan([none["sensitivity"], none["auroc"], none["average_precision"], none["precision"]]).all()
        assert np.isnan(list(metrics.binary([], []).values())).all()
        flat = metrics.binary([0, 1, 1], [0.3, 0.3, 0.3])
        assert flat["auroc"] == 0.5
        assert np.isnan(flat["calibration_slope"])
        assert np.isnan(metrics.binary([0, 1], [0.3, 0.6])["calibration_slope"])  # separated: the slope is infinite


def test_what_is_no_number_is_refused_by_row():
    with pytest.raises(DataError, match=r"2 of 3 predictions are no finite number\.\nrows 0, 2"):
        metrics.regression([1, 2, 3], [np.nan, 2, np.inf])


def test_what_is_no_probability_is_refused():
    with pytest.raises(DataError, match=r"between 0 and 1; these go from -1 to 3"):
        metrics.binary([0, 1], [-1, 3])
    with pytest.raises(DataError, match="2 rows do not sum to 1"):
        metrics.several(["a", "b"], [[0.9, 0.9], [0.2, 0.3]], ["a", "b"])


def test_strange_labels_and_lengths_are_refused():
    with pytest.raises(DataError, match="no class of the target: c"):
        metrics.several(["a", "c"], [[0.5, 0.5]] * 2, ["a", "b"])
    with pytest.raises(DataError, match="2 labels but 1 predictions"):
        metrics.regression([1, 2], [1])
    with pytest.raises(DataError, match="must be 0 or 1"):
        metrics.binary([1, 2], [0.5, 0.6])
