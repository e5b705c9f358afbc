import numpy as np
import pandas as pd
import pytest

from keras_med.evaluation.summary import Scoring, summarise


def table(role: str, fit: str, labels: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    ids = [f"{fit}{role}{number}" for number in range(len(labels))]
    return pd.DataFrame({"id": ids, "fit": fit, "role": role, "label": labels.astype(str), "predicted": predicted})


def test_the_headline_is_the_test_split_s_and_the_gain_is_over_the_training_mean() -> None:
    labels = np.array([10.0, 20, 30, 40] * 10)
    rows = pd.concat([table("test", "final", labels, labels + 2), table("out_of_fold", "fold0", labels, labels - 5)])
    found = summarise(rows, {"final": pd.Series([20.0, 30.0])}, Scoring("regression", "years", (), 1))
    assert found["headline"] == {"split": "test", "metric": "mae"}
    assert found["splits"]["test"]["mae"]["value"] == pytest.approx(2)
    assert found["splits"]["out_of_fold"]["mae"]["value"] == pytest.approx(5)
    assert found["constant"] == 25
    assert found["improvement"]["value"] == pytest.approx(1 - 2 / 10)  # |10-25|, |20-25|, |30-25|, |40-25|: mean 10
    assert found["verdict"]["name"] == "LEARNED"
    assert found["folds"] == {"metric": "mae", "values": {"fold0": pytest.approx(5)}, "mean": 5, "deviation": None}


def test_without_a_test_split_the_folds_are_the_headline() -> None:
    labels = np.array([10.0, 20, 30, 40] * 10)
    rows = table("out_of_fold", "fold0", labels, labels)
    found = summarise(rows, {"fold0": pd.Series([20.0])}, Scoring("regression", "", (), 1))
    assert found["headline"]["split"] == "out_of_fold"


def test_an_ensemble_that_fails_on_the_test_is_compared_with_its_members_in_the_folds() -> None:
    labels, order = np.array([10.0, 20, 30, 40] * 10), np.tile([3, 2, 1, 0], 10)
    failed = table("test", "ensemble", labels, labels[order])
    rows = pd.concat([failed, table("out_of_fold", "fold0", labels, labels + 2)])
    scoring, known = Scoring("regression", "", (), 1), {"ensemble": pd.Series([20.0, 30.0])}
    assert summarise(rows, known, scoring)["verdict"]["name"] == "DID NOT GENERALISE"
    assert summarise(failed, known, scoring)["verdict"]["name"] == "FAILED TO LEARN"


def test_cases_can_be_patients_whose_examples_are_combined() -> None:
    rows = pd.DataFrame(
        {
            "id": list("abcd"),
            "fit": "f",
            "role": "test",
            "label": ["1", "1", "0", "0"],
            "p_1": [0.9, 0.1, 0.2, 0.0],
            "patient": ["x", "x", "y", "y"],
        }
    )
    scoring = Scoring("binary", "", ("0", "1"), 1, case="patient", combine="mean")
    found = summarise(rows, {"f": pd.Series(["1", "0"])}, scoring)["splits"]["test"]
    assert found["accuracy"]["value"] == 1.0  # x: 0.5, called positive; y: 0.1
    assert found["accuracy"]["n"] == 2
    assert found["brier"]["value"] == pytest.approx((0.5**2 + 0.1**2) / 2)


def test_nothing_to_score_is_said_without_numbers() -> None:
    found = summarise(pd.DataFrame(columns=["id", "fit", "role", "label"]), {}, Scoring("regression", "", (), 1))
    assert found["headline"] is None
