"""What 8-bit weights change in a network's answers, for keras_med.json: on golden images and on pictures of the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_med.export import golden
from keras_med.export.golden import Answer

# Of the span of the golden outputs: what 8-bit weights may change in the mean. Seen were 0.003 to 0.04, and one image
# by 0.87, where a hundred layers of random weights amplify what rounding does in the first.
LOSS = 0.05
_BATCH = 16


def change(exact: Answer, rounded: Answer, made: Mapping[str, Any], held_out: Path | None) -> dict[str, Any]:
    """Return how far the answers of 8-bit weights are from those of float32.

    No measure of accuracy can fall by more than the share of decisions that change, nor a mean absolute error rise by
    more than the mean change; both are measured on pictures that the network did not train on.

    Args:
        made: how the golden images are made, as keras_med.json says it.
        held_out: an `.npz` file with prepared `pictures` and the `threshold` of a decision, NaN where there is none.
    """
    images = golden.images(made["seed"], made["indices"], tuple(made["shape"])).astype(np.float32)
    wanted, found = _answers(exact, images), _answers(rounded, images)
    span = golden.span(wanted)
    far, mean = float(np.abs(wanted - found).max()), golden.mean_change(wanted, found)
    told: dict[str, Any] = {"golden": {"largest": far, "mean": mean, "of_span": mean / span if span else None}}
    if held_out is not None:
        with np.load(held_out, allow_pickle=False) as file:
            told["held_out"] = _held_out(exact, rounded, file["pictures"], float(file["threshold"]))
    return told


def share(recorded: np.ndarray, found: np.ndarray) -> float:
    """Return the mean change as a share of what 8-bit weights may change; above 1 the answers are not the network's."""
    return golden.mean_change(recorded, found) / max(LOSS * golden.span(recorded), golden.TOLERANCE)


def lines(told: Mapping[str, Any] | None) -> list[str]:
    """Say what `change` found to a reader."""
    if not told or "held_out" not in told:
        return []
    found = told["held_out"]
    decided = f"; decisions changed: {found['decisions_changed']}" if "decisions_changed" in found else ""
    mean = f"{found['mean']:.2g} in the mean, {found['largest']:.2g} at most"
    return [f"  8-bit weights, on {found['pictures']} pictures not trained on: answers change by {mean}{decided}"]


def _held_out(exact: Answer, rounded: Answer, pictures: np.ndarray, threshold: float) -> dict[str, Any]:
    wanted, found = _answers(exact, pictures), _answers(rounded, pictures)
    apart = np.abs(wanted - found)
    told: dict[str, Any] = {"pictures": len(pictures), "largest": float(apart.max()), "mean": float(apart.mean())}
    if not np.isnan(threshold):
        told["decisions_changed"] = int((_decided(wanted, threshold) != _decided(found, threshold)).sum())
    return told


def _decided(answers: np.ndarray, threshold: float) -> np.ndarray:
    """Return each picture's class: the largest of several, or whether the one output reaches the threshold."""
    return answers.argmax(axis=1) if answers.shape[1] > 1 else answers[:, 0] >= threshold


def _answers(answer: Answer, pictures: np.ndarray) -> np.ndarray:
    parts = [answer(pictures[start : start + _BATCH]) for start in range(0, len(pictures), _BATCH)]
    return np.concatenate(parts).reshape(len(pictures), -1)
