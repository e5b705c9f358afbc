"""Means over networks of several seeds."""

import numpy as np
import pandas as pd
import pytest

from keras_med.evaluation.repeats import repeated
from keras_med.evaluation.summary import Scoring, summarise
from keras_med.report.folds import repeat_sentences

LABELS = np.array([10.0, 20, 30, 40] * 10)
FIRST = [f"i{number:02}" for number in range(40)]


def table(role: str, error: "float | np.ndarray", ids: list[str] = FIRST) -> pd.DataFrame:
    return pd.DataFrame(
        {"id": ids, "fit": role, "role": role, "label": LABELS.astype(str), "predicted": LABELS + error}
    )


def test_the_mean_and_the_deviation_are_those_of_the_networks_figures() -> None:
    rows = pd.concat([table("test", 1), table("test, seed 2", -3), table("test, seed 10", 5), table("validation", 9)])
    found = summarise(rows, {"test": pd.Series([20.0, 30.0])}, Scoring("regression", "years", (), 1))
    assert found["splits"]["test"]["mae"]["value"] == pytest.approx(1)  # the first one's, as without repeats
    assert list(found["repeats"]) == ["test"]  # one network alone predicted the validation part
    repeats = found["repeats"]["test"]
    assert repeats["count"] == 3
    assert repeats["figures"]["mae"]["value"] == pytest.approx(3)
    assert repeats["figures"]["mae"]["deviation"] == pytest.approx(2)
    assert repeats["figures"]["bias"]["value"] == pytest.approx(1)
    assert set(found["splits"]) == {"test", "validation"}


def test_the_interval_is_over_the_same_patients_in_every_network_whatever_the_order_of_rows() -> None:
    errors = np.random.default_rng(0).uniform(1, 9, 40)
    rows = pd.concat([table("test", errors), table("test, seed 2", -errors).sample(frac=1, random_state=1)])
    figure = repeated(rows, "test", kind="regression", seed=1)["figures"]["mae"]
    reach = 2.0227 * errors.std(ddof=1) / np.sqrt(40)  # Student's t with 39 degrees of freedom, 97.5 %
    assert figure["value"] == pytest.approx(errors.mean())
    assert figure["high"] - figure["low"] == pytest.approx(2 * reach, rel=0.12)
    opposite = pd.concat([table("test", errors), table("test, seed 2", 10 - errors)])
    steady = repeated(opposite, "test", kind="regression", seed=1)["figures"]["mae"]
    assert steady["value"] == pytest.approx(5)  # each picture's two errors add up to 10
    assert steady["low"] is None or steady["high"] - steady["low"] < 1e-9


def test_one_network_has_no_mean() -> None:
    assert repeated(table("test", 1), "test", kind="regression", seed=1) is None


def test_the_mean_over_the_folds_stands_beside_that_over_the_final_networks() -> None:
    roles = [("out_of_fold", 2), ("out_of_fold, seed 2", -4), ("test", 1), ("test, seed 2", 3)]
    rows = pd.concat([table(role, error) for role, error in roles])
    constants = {"out_of_fold": pd.Series([20.0, 30.0]), "test": pd.Series([20.0, 30.0])}
    found = summarise(rows, constants, Scoring("regression", "years", (), 1))
    assert {place: told["figures"]["mae"]["value"] for place, told in found["repeats"].items()} == {
        "test": pytest.approx(2),
        "out_of_fold": pytest.approx(3),
    }
    told = repeat_sentences(found)
    assert [sentence.partition(" (")[0] for sentence in told] == [
        "Test, mean of 2 seeds: Mean absolute error 2.00 years",
        "Out of fold, mean of 2 seeds: Mean absolute error 3.00 years",
    ]
    assert "± 1.41 between them" in told[0]  # the deviation of 1 and 3
