"""Threshold and calibration of one network: chosen on the part it never saw, refused with the number that is needed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from keras_med import Binary, Data, Evaluate, Final, Holdout, Image, KFold, Model, Recipe, Train
from keras_med.evaluation.decision import changed_priors, decide, effect, too_few, unseen_part
from keras_med.evaluation.summary import Scoring, summarise
from keras_med.recipe.words import Split

SCORING = Scoring("binary", "", ("no", "yes"), 1)


def recipe(evaluate: Evaluate, split: Split | None = None, final: Final | None = None, **data: Any) -> Recipe:
    def index(root: Path) -> Any: ...

    def network(image: Any) -> Any: ...

    return Recipe(
        target=Binary(positive="yes"),
        data=Data(index, **data),
        image=Image(size=(8, 8)),
        split=split or Holdout(),
        model=Model(network),
        final=final,
        evaluate=evaluate,
    )


def table(score: np.ndarray, positive: np.ndarray, role: str = "validation", fit: str = "t000-fold0") -> pd.DataFrame:
    names = [f"{role}{number}" for number in range(len(score))]
    label = np.where(positive, "yes", "no")
    return pd.DataFrame({"id": names, "fit": fit, "role": role, "label": label, "p_yes": expit(score)})


def over_confident(rows: int, seed: int, role: str = "validation") -> pd.DataFrame:
    """Say twice the true log odds, moved as by training at equal shares where one in ten is positive."""
    draw = np.random.default_rng(seed)
    true = draw.normal(-3.2, 1.6, rows)  # about a tenth positive
    positive = draw.random(rows) < expit(true)
    return table(2 * (true - np.log(0.1 / 0.9)), positive, role)


def test_temperature_and_prior_of_an_over_confident_undersampled_network_are_found_together() -> None:
    unseen = over_confident(6000, seed=1)
    priors = ((0.9, 0.1), (0.5, 0.5))
    made = decide(unseen, SCORING, recipe(Evaluate()), priors)
    assert made is not None
    assert made.calibration is not None
    assert made.calibration.temperature == pytest.approx(2, rel=0.1)
    assert np.diff(made.calibration.offsets)[0] == pytest.approx(np.log(0.1 / 0.9))
    test = over_confident(6000, seed=2, role="test")
    told = effect(test, made, SCORING)
    assert told["before"]["calibration_slope"]["value"] == pytest.approx(0.5, abs=0.05)
    assert told["after"]["calibration_slope"]["value"] == pytest.approx(1, abs=0.08)
    assert told["after"]["calibration_intercept"]["value"] == pytest.approx(0, abs=0.15)
    assert told["after"]["log_loss"]["value"] < told["before"]["log_loss"]["value"]


def test_the_priors_are_those_of_the_data_and_of_the_undersampled_training_side() -> None:
    places = ["train"] * 4 + ["unused"] * 12 + ["validation"] * 4 + ["test"] * 5
    labels = ["yes", "yes", "no", "no"] + ["no"] * 12 + ["no"] * 3 + ["yes"] + ["yes"] * 5
    ids = [f"{number}" for number in range(25)]
    splits = pd.DataFrame({"id": ids, "fold": "0", "split": places})
    index = pd.DataFrame({"id": ids, "label": labels})
    asked = recipe(Evaluate(), balance="undersample")
    natural, seen = changed_priors(index, splits, "0", asked, SCORING)
    assert natural == pytest.approx((17 / 20, 3 / 20))  # the test split is not looked at
    assert seen == (0.5, 0.5)
    assert changed_priors(index, splits, "0", recipe(Evaluate()), SCORING) is None


def test_balanced_weights_train_as_if_at_equal_shares() -> None:
    index = pd.DataFrame({"id": list("abcde"), "label": ["no"] * 4 + ["yes"]})
    splits = pd.DataFrame({"id": list("abcde"), "fold": "0", "split": "train"})
    asked = replace(recipe(Evaluate()), train=Train(class_weight="balanced"))
    assert changed_priors(index, splits, "0", asked, SCORING) == (pytest.approx((0.8, 0.2)), (0.5, 0.5))


def test_after_a_loss_that_bends_probabilities_slope_and_intercept_are_fitted() -> None:
    draw = np.random.default_rng(4)
    true = draw.normal(-1, 1.5, 8000)
    unseen = table(0.5 * true + 0.7, draw.random(8000) < expit(true))
    asked = replace(recipe(Evaluate()), train=Train(label_smoothing=0.1))
    made = decide(unseen, SCORING, asked, ((0.9, 0.1), (0.5, 0.5)))
    assert made is not None
    assert made.calibration is not None
    assert made.calibration.method == "slope_intercept"
    assert 1 / made.calibration.temperature == pytest.approx(2, rel=0.08)
    assert np.diff(made.calibration.offsets)[0] == pytest.approx(-1.4, abs=0.1)  # 2 x (0.5 t + 0.7) - 1.4 = t
    assert made.priors is None


def test_the_threshold_is_chosen_without_the_test_and_applied_to_it() -> None:
    score = np.linspace(-3, 3, 20)
    unseen = table(score, np.array([False] * 10 + [True] * 10))
    made = decide(unseen, SCORING, recipe(Evaluate(sensitivity=0.9, assurance=None)), None)
    assert made is not None
    assert made.threshold is not None
    assert made.threshold.value == pytest.approx(expit(score[11]))  # nine of the ten positive ones
    test = table(score, np.arange(20) >= 8, role="test")
    others = table(score, np.arange(20) >= 8, role="blocks", fit="t000-blocks")
    rows = pd.concat([unseen, test, others])
    labels = {"t000-fold0": unseen["label"], "t000-blocks": unseen["label"]}
    found = summarise(rows, labels, made.scoring(SCORING))["splits"]
    assert found["test"]["sensitivity"]["value"] == pytest.approx(9 / 12)
    assert found["blocks"]["sensitivity"]["value"] == pytest.approx(10 / 12)  # another network: from 0.5 on


def test_an_ensemble_s_threshold_is_chosen_on_its_members_folds_and_says_so() -> None:
    score = np.linspace(-3, 3, 20)
    asked = recipe(Evaluate(sensitivity=0.9, assurance=None), KFold(folds=2), Final(ensemble=True))
    part = unseen_part(asked)
    folds = [table(score[at::2], np.arange(20)[at::2] >= 10, part, f"t000-fold{at}") for at in (0, 1)]
    made = decide(pd.concat(folds), SCORING, asked, None, fit="t000-ensemble")
    assert made is not None
    assert made.threshold is not None
    assert made.threshold.value == pytest.approx(expit(score[11]))  # nine of the ten positive ones
    assert made.threshold.sentence.endswith("what their mean reaches, the test alone can say.")
    test = table(score, np.arange(20) >= 8, role="test", fit="t000-ensemble")
    found = summarise(pd.concat([*folds, test]), {"t000-ensemble": test["label"]}, made.scoring(SCORING))["splits"]
    assert found["test"]["sensitivity"]["value"] == pytest.approx(9 / 12)
    assert found["out_of_fold"]["sensitivity"]["value"] == 1.0  # single members are called from 0.5 on


def test_too_few_positives_leave_a_sentence_with_the_number_that_is_needed() -> None:
    unseen = table(np.linspace(-3, 3, 80), np.arange(80) >= 40)
    made = decide(unseen, SCORING, recipe(Evaluate(sensitivity=0.95)), None)
    assert made is not None
    assert made.threshold is None
    (check,) = made.checks()
    assert check["severity"] == "amber"
    assert "needs at least 59 positive patients; here are 40" in check["sentence"]
    assert made.scoring(SCORING).threshold == 0.5
    assert made.to_json({})["threshold"]["value"] is None


def test_it_is_said_before_training_that_the_threshold_cannot_be_promised() -> None:
    ids = [f"{number}" for number in range(100)]
    splits = pd.DataFrame({"id": ids, "fold": "final", "split": ["calibration"] * 80 + ["train"] * 20})
    index = pd.DataFrame({"id": ids, "label": ["yes"] * 70 + ["no"] * 30, "patient": [f"{n // 2}" for n in range(100)]})
    asked = recipe(Evaluate(sensitivity=0.95), KFold(), Final(calibration=0.15))
    (told,) = too_few(splits, index, "final", asked)
    assert "at least 59 positive patients in the calibration part, which has 35" in told
    assert not too_few(splits, index.drop(columns="patient"), "final", asked)
    folds = [splits.assign(fold="0", split="out_of_fold"), splits.assign(fold="search0", split="out_of_fold")]
    (told,) = too_few(pd.concat(folds), index, "final", recipe(asked.evaluate, KFold(), Final(ensemble=True)))
    assert "at least 59 positive patients in the out_of_fold part, which has 35" in told


def test_what_cannot_be_calibrated_says_why() -> None:
    few = decide(table(np.linspace(-3, 3, 20), np.arange(20) >= 17), SCORING, recipe(Evaluate()), None)
    assert few is not None
    assert few.calibration is None
    assert "a class has 3 patients" in few.uncalibrated
    apart = decide(table(np.linspace(-3, 3, 40), np.arange(40) >= 20), SCORING, recipe(Evaluate()), None)
    assert apart is not None
    assert apart.calibration is None
    assert "stopped at its limit" in apart.uncalibrated


def test_calibration_is_of_the_cases_that_are_scored() -> None:
    draw = np.random.default_rng(5)
    true = np.repeat(draw.normal(-1, 1.5, 3000), 3)
    positive = np.repeat(draw.random(3000) < expit(true[::3]), 3)
    unseen = table(3 * true, positive).assign(patient=[f"{number // 3}" for number in range(len(true))])
    asked = recipe(Evaluate(unit="patient", sensitivity=0.9))
    made = decide(unseen, replace(SCORING, case="patient"), asked, ((0.9, 0.1), (0.5, 0.5)))
    assert made is not None
    assert made.calibration is not None
    assert (made.calibration.method, made.calibration.examples) == ("slope_intercept", 3000)
    assert made.calibration.temperature == pytest.approx(3, rel=0.08)
    assert made.priors is None  # a patient's combined probabilities know nothing of the examples' shares
    told = effect(unseen.assign(role="test"), made, replace(SCORING, case="patient"))
    assert (told["after"]["brier"]["n"], told["after"]["brier"]["patients"]) == (3000, 3000)
    assert told["after"]["calibration_slope"]["value"] == pytest.approx(1, abs=1e-3)


def test_a_regression_has_none() -> None:
    assert decide(pd.DataFrame(), Scoring("regression", "", (), 1), recipe(Evaluate()), None) is None


def test_a_network_that_says_the_same_of_everything_is_not_calibrated_and_stops_no_run() -> None:
    made = decide(table(np.zeros(60), np.arange(60) % 3 == 0), SCORING, recipe(Evaluate()), None)
    assert made is not None
    assert made.calibration is None
    told = made.to_json({})["calibration"]
    assert told["method"] is None
    assert told["sentence"] == "Not calibrated. Every prediction is the same: there is nothing to calibrate."
