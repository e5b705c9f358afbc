"""A network's own threshold and calibration, and binary predictions to the table behind the threshold slider."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from keras_med.evaluation.calibration import Calibration
from keras_med.report.scored import Floats, Scored
from keras_med.report.wording import finite

STEPS = 100


def threshold_of(metrics: Mapping[str, Any], rows: pd.DataFrame) -> float:
    """Return the threshold that the metrics of these predictions were computed at: the network's own, or 0.5."""
    said = metrics.get("threshold") or {}
    own = "fit" in rows and set(rows["fit"]) == {said.get("fit")}
    return float(said["value"]) if own and finite(said.get("value")) else 0.5


def calibration_of(metrics: Mapping[str, Any], rows: pd.DataFrame) -> Calibration | None:
    """Return the calibration that goes with the network of these predictions."""
    said = metrics.get("calibration") or {}
    if not said.get("method") or "fit" not in rows or set(rows["fit"]) != {said.get("fit")}:
        return None
    return Calibration(said["method"], said["temperature"], tuple(said["offsets"]), said["examples"])


def calibrated(found: Scored, calibration: Calibration) -> Scored:
    """Return the same predictions with calibrated probabilities."""
    if found.p.ndim == 1:
        return replace(found, p=calibration.apply(np.stack([1 - found.p, found.p], axis=1))[:, 1])
    return replace(found, p=calibration.apply(found.p))


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
