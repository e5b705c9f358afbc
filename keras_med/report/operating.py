"""Binary predictions to the table behind the threshold slider: counts at each of a few hundred thresholds."""

import numpy as np
import pandas as pd

from keras_med.report.contents import Contents
from keras_med.report.scored import Floats, Scored
from keras_med.report.wording import finite

STEPS = 100


def threshold_of(contents: Contents) -> float:
    """Return the threshold that the metrics were computed at."""
    said = contents.metrics.get("threshold")
    if isinstance(said, dict):
        said = said.get("value")
    return float(said) if finite(said) else 0.5


def operating_points(found: Scored, threshold: float) -> pd.DataFrame:
    """Count the four outcomes at hundredths, at quantiles of p, and at the run's own threshold.

    Quantiles, because a rare disease's probabilities all lie below the first hundredth.
    """
    quantiles = np.quantile(found.p, np.linspace(0, 1, STEPS + 1))
    grid = np.unique(np.round(np.concatenate([np.linspace(0, 1, STEPS + 1), quantiles]), 4))
    thresholds = np.unique(np.append(grid, threshold))
    positive = np.sort(found.p[found.truth == 1])
    negative = np.sort(found.p[found.truth == 0])
    hits, alarms = _at_least(positive, thresholds), _at_least(negative, thresholds)
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "true_positive": hits,
            "false_negative": len(positive) - hits,
            "false_positive": alarms,
            "true_negative": len(negative) - alarms,
        }
    )


def _at_least(values: Floats, thresholds: Floats) -> np.ndarray:
    return len(values) - np.searchsorted(values, thresholds, side="left")
