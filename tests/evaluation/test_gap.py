"""Validation against test: told where chance does not explain the gap, and only there."""

import numpy as np
import pandas as pd
import pytest

from keras_med.evaluation.gap import difference, gap_checks
from keras_med.evaluation.summary import Scoring, summarise

YEARS = Scoring("regression", "years", (), 1)


def part(role: str, fit: str, error: float, rows: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(len(role))
    label = draw.uniform(20, 90, rows)
    names = [f"{role}{number}" for number in range(rows)]
    predicted = label + error * draw.normal(size=rows)
    return pd.DataFrame({"id": names, "fit": fit, "role": role, "label": label, "predicted": predicted})


def told(*parts: pd.DataFrame) -> list[str]:
    rows = pd.concat(parts, ignore_index=True)
    labels = {str(fit): pd.Series([20.0, 90.0]) for fit in rows["fit"].unique()}
    return [check["sentence"] for check in gap_checks(summarise(rows, labels, YEARS), rows, YEARS)]


def test_the_interval_of_a_difference_is_made_of_the_halves_that_face_each_other() -> None:
    seen = {"value": 0.9, "low": 0.86, "high": 0.93}
    tested = {"value": 0.8, "low": 0.75, "high": 0.83}
    assert difference(seen, tested, smaller_is_better=False) == pytest.approx((0.1, 0.1 - 0.05, 0.1 + 0.0583095))
    # Of errors the smaller one is better: 3 (2 to 5) against 10 (7 to 14) is 7, less hypot(5 - 3, 10 - 7).
    errors = {"value": 3.0, "low": 2.0, "high": 5.0}, {"value": 10.0, "low": 7.0, "high": 14.0}
    assert difference(*errors, smaller_is_better=True) == pytest.approx((7, 7 - 13**0.5, 7 + 17**0.5))


def test_a_gap_that_chance_does_not_explain_is_told_with_both_figures() -> None:
    (sentence,) = told(part("validation", "f", 2), part("test", "f", 8))
    assert sentence.startswith("The mean absolute error is better in the validation part (")
    assert "years, 95 % interval " in sentence
    assert not told(part("validation", "f", 8), part("test", "f", 8))
    assert not told(part("validation", "f", 8), part("test", "f", 2))


def test_the_network_is_compared_with_itself_and_else_with_the_folds() -> None:
    good = part("validation", "fold0", 1)
    tested = [part("validation", "final", 8), part("test", "final", 8)]
    assert not told(good, *tested)  # another network's validation
    (sentence,) = told(part("out_of_fold", "fold0", 1), tested[0].head(10), tested[1])
    assert "better in the folds" in sentence
    assert not told(good)
