"""Heavy tails are told, normal ones are not."""

import numpy as np
import pandas as pd

from keras_med.evaluation.summary import Scoring
from keras_med.evaluation.tails import tail_checks

YEARS = Scoring("regression", "years", (), 1)


def table(errors: np.ndarray) -> pd.DataFrame:
    label = np.linspace(20, 90, len(errors))
    return pd.DataFrame({"id": range(len(errors)), "role": "test", "label": label, "predicted": label + errors})


def test_a_few_large_errors_are_told_and_normal_ones_are_not() -> None:
    draw = np.random.default_rng(1)
    assert tail_checks(table(draw.normal(size=200)), YEARS) == []
    (check,) = tail_checks(table(draw.standard_t(3, size=200)), YEARS)
    assert check["severity"] == "info"
    assert "heavy tails" in check["sentence"]


def test_tails_are_those_of_patients_and_too_few_have_none() -> None:
    errors = np.zeros(60)
    errors[:3] = 30, -30, 0  # one patient's errors, which cancel
    rows = table(errors + np.tile([1.0, 0.0, -1.0], 20) + np.repeat(np.linspace(-1, 1, 20), 3))
    assert tail_checks(rows, YEARS)
    assert tail_checks(rows.assign(patient=[f"{number // 3}" for number in range(60)]), YEARS) == []
    assert tail_checks(table(np.array([0.0] * 18 + [50.0])), YEARS) == []


def test_constant_errors_and_classifiers_have_none() -> None:
    assert tail_checks(table(np.full(40, 3.0)), YEARS) == []
    assert tail_checks(pd.DataFrame({"role": ["test"]}), Scoring("binary", "", ("0", "1"), 1)) == []
