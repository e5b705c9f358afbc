"""Intervals against published figures, other software's formulas and simulations with known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from keras_med.evaluation import intervals, metrics, weighted
from keras_med.evaluation.intervals import Counts, interval, resample, resampled_weights, wilson
from keras_med.evaluation.scores import score
from keras_med.evaluation.weighted import Patients, exact


def own_patients(rows):
    return Patients(np.arange(rows), rows, known=True)


def test_wilson_equals_scipy():
    for events, chances in [(0, 20), (3, 20), (20, 20), (481, 500)]:
        found = wilson(events / chances, chances)
        expected = stats.binomtest(events, chances).proportion_ci(method="wilson")
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_bca_equals_scipy_once_its_tails_are_those_of_the_normal():
    generator = np.random.default_rng(4)
    data = generator.exponential(size=4000)  # so many that t and normal agree
    expected = stats.bootstrap(
        (data,), np.mean, method="BCa", n_resamples=4000, rng=np.random.default_rng(1), batch=500
    )
    drawn = resample(lambda w: {"mean": w @ data / w.sum(axis=1)}, len(data), seed=2, resamples=4000)
    found = intervals.bca(data.mean(), drawn.replicates["mean"], drawn.jackknife["mean"], len(data))
    width = expected.confidence_interval.high - expected.confidence_interval.low
    assert found.low == pytest.approx(expected.confidence_interval.low, abs=0.06 * width)
    assert found.high == pytest.approx(expected.confidence_interval.high, abs=0.06 * width)


def test_resampled_weights_draw_every_patient_equally_and_as_many_as_there_are():
    weights = np.concatenate(list(resampled_weights(50, seed=1, resamples=4000)))
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.08)
    assert weights.var() == pytest.approx(49 / 50, rel=0.02)


def test_resampling_does_not_depend_on_the_size_of_blocks(monkeypatch):
    whole = np.concatenate(list(resampled_weights(31, seed=5, resamples=100)))
    monkeypatch.setattr(intervals, "BLOCK", 31 * 7)
    assert (np.concatenate(list(resampled_weights(31, seed=5, resamples=100))) == whole).all()


def test_sums_over_patients_have_the_same_bits_in_any_order():
    generator = np.random.default_rng(6)
    sums = exact(np.stack([generator.normal(1e3, 1e-3, 5000), generator.lognormal(0, 8, 5000)], axis=1))
    weights = generator.integers(0, 6, (40, 5000)).astype(float)
    order = generator.permutation(5000)
    assert (weights @ sums == weights[:, order] @ sums[order]).all()
    assert (weights @ sums == np.add.reduce(weights[:, :, None] * sums, axis=1)).all()


def test_exact_sums_lose_no_digit_that_matters():
    values = np.random.default_rng(7).normal(size=(20_000, 1))
    assert exact(values).sum() == pytest.approx(values.sum(), rel=1e-9)


def repeated(weights, *columns):
    return [np.repeat(column, weights.astype(int)) for column in columns]


def test_weighted_regression_is_that_of_the_repeated_table():
    generator = np.random.default_rng(8)
    labels = generator.uniform(20, 60, 30)
    predicted = labels + generator.normal(3, 5, 30)
    statistic = weighted.regression(labels, predicted, own_patients(30))
    for weights in resampled_weights(30, seed=1, resamples=20):
        found = statistic(weights)
        for row, each in enumerate(weights):
            expected = metrics.regression(*repeated(each, labels, predicted))
            for name, value in expected.items():
                assert found[name][row] == pytest.approx(value, rel=1e-9), name


def test_weighted_binary_is_that_of_the_repeated_table():
    generator = np.random.default_rng(9)
    labels = generator.integers(0, 2, 40).astype(float)
    p = generator.integers(1, 9, 40) / 10  # many ties
    statistic = weighted.binary(labels, p, 0.5, own_patients(40))
    for weights in resampled_weights(40, seed=1, resamples=30):
        found = statistic(weights)
        for row, each in enumerate(weights):
            expected = metrics.binary(*repeated(each, labels, p))
            for name in expected.keys() - {"calibration_slope", "calibration_intercept"}:
                assert found[name][row] == pytest.approx(expected[name], rel=1e-9), name


def test_weighted_calibration_follows_the_refitted_one():
    generator = np.random.default_rng(10)
    score_of = generator.normal(size=800)
    labels = (generator.random(800) < 1 / (1 + np.exp(-score_of))).astype(float)
    p = 1 / (1 + np.exp(-2 * score_of - 0.5))
    weights = np.concatenate(list(resampled_weights(800, seed=1, resamples=60)))
    found = weighted.binary(labels, p, 0.5, own_patients(800))(weights)
    refitted = [metrics.binary(*repeated(each, labels, p)) for each in weights]
    for name in ("calibration_slope", "calibration_intercept"):
        again = np.array([each[name] for each in refitted])
        assert np.sqrt(((found[name] - again) ** 2).mean()) < 0.1 * again.std()


def test_weighted_classes_are_those_of_the_repeated_table():
    generator = np.random.default_rng(11)
    truth = np.concatenate([generator.integers(0, 3, 60), [0, 1, 2] * 4])
    p = generator.dirichlet([1, 1, 1], len(truth))
    statistic = weighted.several(truth, p, ["a", "b", "c"], own_patients(len(truth)))
    for weights in resampled_weights(len(truth), seed=1, resamples=20):
        found = statistic(weights)
        for row, each in enumerate(weights):
            labels, chance = repeated(each, truth, np.arange(len(truth)))
            expected = metrics.several(["abc"[label] for label in labels], p[chance], ["a", "b", "c"])
            for name, value in expected.items():
                assert found[name][row] == pytest.approx(value, rel=1e-9, nan_ok=True), name


def test_rows_of_one_patient_are_drawn_together():
    labels, predicted = np.array([1.0, 1.0, 2.0]), np.array([2.0, 4.0, 2.0])
    statistic = weighted.regression(labels, predicted, Patients(np.array([0, 0, 1]), 2, known=True))
    assert statistic(np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]))["mae"] == pytest.approx([2, 0, 4 / 3])


def test_under_twenty_patients_there_is_no_interval():
    found = interval(0.5, np.array([0.4, 0.6]), np.array([0.5, 0.5]), patients=19)
    assert np.isnan(found.low)
    assert "fewer than 20 patients" in found.reason


def test_an_interval_of_no_width_is_not_given():
    found = interval(3.0, np.full(100, 3.0), np.full(30, 3.0), patients=30)
    assert np.isnan(found.high)
    assert "never changes" in found.reason


def test_a_share_of_all_or_none_has_wilsons_width():
    every = interval(1.0, np.ones(9), np.ones(30), patients=30, scale="share", counts=Counts(30, 30, 30.0))
    assert (every.low, every.high) == pytest.approx((1 / (1 + stats.norm.ppf(0.975) ** 2 / 30), 1))
    area = interval(1.0, np.ones(9), np.ones(30), patients=30, smaller=12, scale="share")
    assert area.low == pytest.approx(1 / (1 + stats.norm.ppf(0.975) ** 2 / 12))
    nearly = interval(1 - 1e-16, np.ones(9), np.ones(30), patients=30, smaller=12, scale="share")
    assert (nearly.low, nearly.high) == (area.low, area.high)


def test_slices_do_not_count_as_patients_where_counts_are_tiny():
    found = interval(1.0, np.ones(9), np.ones(30), patients=30, scale="share", counts=Counts(3000, 3000, 30.0))
    assert found.low < 0.9


def correlated(generator, patients):
    codes = np.repeat(np.arange(patients), 5)
    label = np.repeat(generator.uniform(20, 90, patients), 5)
    sick = (generator.random(patients) < 0.4).astype(int)[codes]
    shared = generator.normal(size=patients)[codes]
    logit = 1.5 * sick - 0.7 + shared + 0.7 * generator.normal(size=len(codes))
    predicted = label + 5 * shared + 3 * generator.normal(size=len(codes))
    return pd.DataFrame(
        {"label": label, "predicted": predicted, "sick": sick, "p_1": 1 / (1 + np.exp(-logit)), "patient": codes}
    )


def scored(table, seed):
    found = score(table, kind="regression", seed=seed, resamples=300)
    return found | score(table.assign(label=table["sick"]), kind="binary", classes=(0, 1), seed=seed, resamples=300)


def test_intervals_over_patients_hold_the_truth_and_naive_ones_do_not():
    # The full simulation, every metric at 20 to 300 patients, is benchmarks/interval_coverage.py.
    whole = correlated(np.random.default_rng(1), 40_000)
    truth = metrics.regression(whole["label"], whole["predicted"]) | metrics.binary(whole["sick"], whole["p_1"])
    names = ("mae", "rmse", "bias", "accuracy", "auroc", "brier")
    held, naive = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    generator, runs = np.random.default_rng(2), 80
    for run in range(runs):
        table = correlated(generator, 100)
        for found, count in ((scored(table, run), held), (scored(table.drop(columns="patient"), run), naive)):
            for name in names:
                count[name] += found[name]["low"] <= truth[name] <= found[name]["high"]
    assert min(held.values()) >= 70  # of 80 at 95 % expect 76, and hardly ever fewer than 70
    assert max(naive.values()) <= 66
