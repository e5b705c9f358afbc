"""Odd tables of every kind get an answer or a sentence, never another exception, a warning or an empty interval."""

import json

import numpy as np
import pandas as pd
import pytest

from keras_med.errors import UserError
from keras_med.evaluation.calibration import fit_slope_intercept, fit_temperature, fitting_arrays
from keras_med.evaluation.comparisons import differences, improvement
from keras_med.evaluation.scores import score
from keras_med.evaluation.thresholds import threshold_for_sensitivity
from keras_med.evaluation.verdicts import verdict

BINARY = {"kind": "binary", "classes": (0, 1)}
CLASSES = {"kind": "classes", "classes": "abc"}
QUICK = {"seed": 1, "resamples": 60}


def tables(count=25):
    generator = np.random.default_rng(30)
    for _ in range(count):
        rows, patients = int(generator.choice([0, 1, 2, 19, 20, 60])), int(generator.choice([1, 2, 19, 25, 1000]))
        label = generator.integers(0, generator.choice([1, 2, 3]), rows)
        p = [
            generator.random(rows),
            np.full(rows, 0.3),
            np.zeros(rows),
            np.ones(rows),
            generator.integers(0, 3, rows) / 2,
            label.clip(0, 1) * 0.8 + 0.1,
        ][generator.integers(6)]
        yield pd.DataFrame(
            {
                "id": range(rows),
                "label": label.clip(0, 1),
                "text": np.array(list("abc"))[label],
                "p_1": p,
                "p_a": p / 2,
                "p_b": p / 2,
                "p_c": 1 - p,
                "predicted": 50 * p,
                "patient": generator.integers(0, patients, rows),
            }
        )


def answers(table):
    text = table.assign(label=table["text"])
    yield lambda: score(table, kind="regression", **QUICK)
    yield lambda: score(table, **BINARY, **QUICK)
    yield lambda: score(text, **CLASSES, **QUICK)
    yield lambda: {"gain": improvement(table, 0.5, **QUICK)}
    yield lambda: differences(table, table.assign(p_1=1 - table["p_1"]), **BINARY, **QUICK)
    yield lambda: verdict(table, 0.3, **BINARY, seed=1, validation=table).figures
    yield lambda: verdict(text, [0.3, 0.3, 0.4], **CLASSES, seed=1, validation=text).figures
    yield lambda: vars(threshold_for_sensitivity(table, 0.8, classes=(0, 1)))
    yield lambda: vars(fit_temperature(*fitting_arrays(table, **BINARY)))
    yield lambda: vars(fit_slope_intercept(*fitting_arrays(text, **CLASSES)))


def test_every_odd_table_gets_an_answer_or_a_sentence():
    given = 0
    for table in tables():
        for answer in answers(table):
            try:
                found = answer()
            except UserError:
                continue
            given += 1
            json.dumps(found, allow_nan=False)
            for entry in (each for each in found.values() if isinstance(each, dict)):
                if entry["low"] is None:
                    assert entry["reason"]
                else:
                    assert entry["low"] <= entry["value"] <= entry["high"]
                    assert entry["low"] < entry["high"]
    assert given > 100


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_no_number_are_always_refused(value):
    table = next(each for each in tables() if len(each) == 60).assign(p_1=value, p_a=value, predicted=value)
    table = table.assign(patient=table["id"])
    for answer in list(answers(table))[:7]:
        with pytest.raises(UserError):
            answer()
