"""Calibration of networks whose fault is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from keras_med.errors import DataError
from keras_med.evaluation import metrics
from keras_med.evaluation.calibration import (
    calibrated,
    fit_slope_intercept,
    fit_temperature,
    fitting_arrays,
    natural_probability,
    reliability,
)

PREVALENCE = 0.08
NATURAL, BALANCED = (1 - PREVALENCE, PREVALENCE), (0.5, 0.5)


def two_columns(p):
    return np.stack([1 - p, p], axis=1)


def natural(generator, rows):
    """Draw examples at natural prevalence: 20 weak features and as many that say nothing."""
    truth = (generator.random(rows) < PREVALENCE).astype(int)
    features = generator.normal(size=(rows, 40))
    features[:, :20] += 0.35 * truth[:, None]
    return features, truth


@pytest.fixture(scope="module")
def undersampled():
    """A model that overfits 150 + 150 examples, and what it says of 80,000 for calibration and 80,000 for test."""
    generator = np.random.default_rng(12)
    features, truth = natural(generator, 6000)
    positive, negative = np.flatnonzero(truth == 1)[:150], np.flatnonzero(truth == 0)[:150]
    rows = np.concatenate([positive, negative])
    model = LogisticRegression(C=1e6, max_iter=1000).fit(features[rows], truth[rows])
    said = []
    for _ in range(2):
        features, truth = natural(generator, 80_000)
        said.append((model.predict_proba(features)[:, 1], truth))
    return said


@pytest.fixture(scope="module")
def over_confident():
    """A network that learned the truth at one to one and says it 2.5 times too sharply, on 200,000 examples twice."""
    generator, said = np.random.default_rng(11), []
    for _ in range(2):
        truth = (generator.random(200_000) < PREVALENCE).astype(int)
        evidence = 2 * truth - 1 + generator.normal(size=len(truth))  # its log-odds at one to one are twice itself
        said.append((special.expit(2.5 * 2 * evidence), truth))
    return said


def test_an_over_confident_network_of_undersampled_data_becomes_honest(over_confident):
    (seen, truth), (p, test_truth) = over_confident
    before = metrics.binary(test_truth, p)
    assert before["calibration_slope"] < 0.5
    assert before["calibration_intercept"] < -2
    found = fit_temperature(two_columns(seen), truth, prior=NATURAL, training_prior=BALANCED)
    after = found.apply(two_columns(p))[:, 1]
    line = metrics.binary(test_truth, after)
    assert found.temperature == pytest.approx(2.5, rel=0.03)
    assert line["calibration_slope"] == pytest.approx(1, abs=0.05)
    assert line["calibration_intercept"] == pytest.approx(0, abs=0.05)
    assert after.mean() == pytest.approx(test_truth.mean(), abs=0.002)
    assert line["auroc"] == pytest.approx(before["auroc"])


def test_prior_first_and_temperature_after_would_not(over_confident):
    (seen, truth), (p, test_truth) = over_confident
    shift = np.log(PREVALENCE / (1 - PREVALENCE))
    corrected = [special.expit(metrics.logits(each) + shift) for each in (seen, p)]
    found = fit_temperature(two_columns(corrected[0]), truth)
    line = metrics.binary(test_truth, found.apply(two_columns(corrected[1]))[:, 1])
    assert abs(line["calibration_slope"] - 1) > 0.05
    assert abs(line["calibration_intercept"]) > 0.05


def test_a_model_that_overfitted_undersampled_data_becomes_honest_too(undersampled):
    (seen, truth), (p, test_truth) = undersampled
    before = metrics.binary(test_truth, p)
    assert before["calibration_slope"] < 0.8
    tempered = fit_temperature(two_columns(seen), truth, prior=NATURAL, training_prior=BALANCED)
    line = metrics.binary(test_truth, tempered.apply(two_columns(p))[:, 1])
    assert line["calibration_slope"] == pytest.approx(1, abs=0.05)
    # From 300 training examples its own intercept is off as well, which slope and intercept mend and T cannot.
    refitted = fit_slope_intercept(two_columns(seen), truth).apply(two_columns(p))[:, 1]
    line = metrics.binary(test_truth, refitted)
    assert line["calibration_slope"] == pytest.approx(1, abs=0.05)
    assert line["calibration_intercept"] == pytest.approx(0, abs=0.05)
    assert refitted.mean() == pytest.approx(PREVALENCE, abs=0.004)


def several(generator, rows, sharpness):
    logit = generator.normal(size=(rows, 3)) * 1.5
    honest = special.softmax(logit, axis=1)
    truth = (honest.cumsum(axis=1) > generator.random((rows, 1))).argmax(axis=1)
    return special.softmax(sharpness * logit, axis=1), truth, honest


def test_the_temperature_of_several_classes_is_found():
    generator = np.random.default_rng(13)
    p, truth, honest = several(generator, 60_000, sharpness=2.5)
    found = fit_temperature(p, truth)
    assert found.temperature == pytest.approx(2.5, rel=0.03)
    assert np.abs(found.apply(p) - honest).mean() < 0.005


def test_slope_and_intercept_undo_a_bent_network():
    generator = np.random.default_rng(14)
    logit = generator.normal(-1, 1.5, 100_000)
    truth = (generator.random(100_000) < special.expit(logit)).astype(int)
    bent = special.expit(0.4 * logit + 0.7)  # flat, as after focal loss, and shifted
    found = fit_slope_intercept(two_columns(bent), truth)
    line = metrics.binary(truth, found.apply(two_columns(bent))[:, 1])
    assert found.temperature == pytest.approx(0.4, rel=0.03)
    assert line["calibration_slope"] == pytest.approx(1, abs=1e-3)
    assert line["calibration_intercept"] == pytest.approx(0, abs=1e-3)


def test_slope_and_intercepts_of_several_classes_give_the_right_shares():
    generator = np.random.default_rng(15)
    p, truth, _ = several(generator, 30_000, sharpness=0.5)
    bent = p * [3, 1, 1] / (p * [3, 1, 1]).sum(axis=1, keepdims=True)
    found = fit_slope_intercept(bent, truth).apply(bent)
    assert found.mean(axis=0) == pytest.approx(np.bincount(truth) / len(truth), abs=1e-4)


def test_undersampling_alone_is_undone_by_its_formula():
    # One negative in ten kept: odds of 1 become odds of 1 to 10.
    assert natural_probability([0.5, 0.0, 1.0], 0.1) == pytest.approx([1 / 11, 0, 1])


def test_prior_shift_by_hand():
    p, truth = two_columns(np.array([0.2, 0.2, 0.2, 0.2, 0.8, 0.8, 0.8, 0.8])), [1, 0, 0, 0, 0, 1, 1, 1]
    found = fit_temperature(p, truth)  # a quarter and three quarters where log 4 was said: log 3
    assert found.temperature == pytest.approx(np.log(4) / np.log(3), rel=1e-5)
    assert found.apply(p)[[0, 4], 1] == pytest.approx([0.25, 0.75], rel=1e-5)
    moved = fit_temperature(p, truth, prior=(0.5, 0.5), training_prior=(0.25, 0.75))
    assert moved.offsets == pytest.approx((np.log(2), np.log(2 / 3)))


def test_tables_are_calibrated_without_a_look_at_labels():
    predictions = pd.DataFrame({"id": ["a", "b"], "label": ["?", None], "p_sick": [0.2, 0.8]})
    found = fit_temperature(two_columns(np.array([0.2, 0.8, 0.8, 0.2])), [0, 1, 0, 1])
    table = calibrated(predictions, found, kind="binary", classes=("well", "sick"))
    assert list(table["p_sick"]) == pytest.approx(list(found.apply(two_columns(np.array([0.2, 0.8])))[:, 1]))
    assert list(predictions["p_sick"]) == [0.2, 0.8]
    rows = predictions.assign(label=["well", "sick"])
    p, truth = fitting_arrays(rows, kind="binary", classes=("well", "sick"))
    assert (p.tolist(), truth.tolist()) == ([[0.8, 0.2], [pytest.approx(0.2), 0.8]], [0, 1])


def test_certain_predictions_stay_finite():
    p = two_columns(np.array([0.0, 1.0, 1.0, 0.0, 0.5]))
    for fit in (fit_temperature, fit_slope_intercept):
        assert np.isfinite(fit(p, [0, 1, 0, 1, 1]).apply(p)).all()


def test_separated_classes_stop_at_the_limit_and_say_so():
    found = fit_temperature(two_columns(np.array([0.4, 0.45, 0.55, 0.6])), [0, 0, 1, 1])
    assert found.temperature == pytest.approx(0.05, rel=0.01)
    assert "stopped at its limit" in found.note


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(DataError, match="1 of 2 classes have no example"):
        fit_temperature(two_columns(np.array([0.2, 0.3])), [0, 0])
    with pytest.raises(DataError, match="Every prediction is the same"):
        fit_temperature(two_columns(np.array([0.3, 0.3])), [0, 1])
    with pytest.raises(DataError, match="no finite number"):
        fit_slope_intercept(two_columns(np.array([np.nan, 0.3])), [0, 1])
    with pytest.raises(DataError, match="sum to 1"):
        fit_temperature(two_columns(np.array([0.2, 0.3])), [0, 1], prior=(0.5, 0.6), training_prior=(0.5, 0.5))
    with pytest.raises(DataError, match="both the natural shares and those of training"):
        fit_temperature(two_columns(np.array([0.2, 0.3])), [0, 1], prior=(0.5, 0.5))


def test_reliability_by_hand():
    rows = reliability([0, 0, 0, 1, 0, 1, 1, 1], [0.1, 0.1, 0.2, 0.2, 0.6, 0.8, 0.9, 0.9], bins=2)
    assert rows["n"].tolist() == [4, 4]
    assert rows["mean_p"].tolist() == pytest.approx([0.15, 0.8])
    assert rows["share"].tolist() == [0.25, 0.75]
    assert (rows["low"] < rows["share"]).all()
    assert (rows["share"] < rows["high"]).all()


def test_reliability_of_constant_and_of_no_predictions():
    assert reliability([0, 1], [0.5, 0.5])["n"].tolist() == [2]
    assert reliability([], []).empty
