"""A regression's errors to the note that stands where a few patients hold much of the squared error."""

import numpy as np
import pandas as pd
from scipy import stats

from keras_med.evaluation.intervals import FEWEST_PATIENTS
from keras_med.evaluation.protocol import Check
from keras_med.evaluation.reading import patients_of, regression_arrays
from keras_med.evaluation.summary import Scoring, cases, headline_role

# Excess kurtosis: of normal errors 5 % of tables of 40 patients lie above it, 3 % of 100, 0.2 % of 300; where half of
# the patients' spread is Student's t with 4 degrees of freedom, 34, 51 and 74 %.
HEAVY = 1.0


def tail_checks(predictions: pd.DataFrame, scoring: Scoring) -> list[Check]:
    """Say whose intervals promise less than 95 % on such errors: figures made of squares.

    benchmarks/interval_coverage.py measured it. Bootstrap-t intervals came no nearer before they were many times as
    wide: the rare patient who decides the figure is not among those that were seen.
    """
    place = headline_role(predictions)
    if scoring.kind != "regression" or place is None:
        return []
    rows = cases(predictions[predictions["role"] == place], scoring)
    labels, predicted = regression_arrays(rows)
    errors, patients = predicted - labels, patients_of(rows)
    means = patients.sums(errors)[:, 0] / np.bincount(patients.codes, minlength=patients.count)
    if patients.count < FEWEST_PATIENTS or np.ptp(means) == 0 or stats.kurtosis(means) <= HEAVY:
        return []
    sentence = (
        "A few patients' errors are much larger than the rest (heavy tails): 95 % intervals of the root mean squared "
        "error and the limits of agreement hold the truth in about 90 % of cases, those of the mean absolute "
        "error in 95 %."
    )
    return [
        {"severity": "info", "sentence": sentence, "remedy": "Quote the mean absolute error; look at Worst misses."}
    ]
