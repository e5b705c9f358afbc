"""Predictions tables to figures: metrics, intervals, thresholds, calibration, verdicts; no Keras."""
