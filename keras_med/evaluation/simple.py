"""Prepared pictures to what a linear model on their 32x32 thumbnails says of the examples that a run is judged by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_med.data.pixels import read_input
from keras_med.data.resizing import resize
from keras_med.evaluation.baselines import MOST_ROWS, linear_predictions
from keras_med.evaluation.comparisons import differences
from keras_med.evaluation.intervals import Floats
from keras_med.evaluation.scores import Entry, score
from keras_med.evaluation.summary import HEADLINE, Scoring, cases, headline_role
from keras_med.recipe.words import Image

Check = dict[str, str]

SIDE = 32


def against_linear(
    predictions: pd.DataFrame,
    index: pd.DataFrame,
    splits: pd.DataFrame,
    folds: Mapping[str, str],
    image: Image,
    scoring: Scoring,
) -> dict[str, Any] | None:
    """Return the headline metric of a linear model and by how much the network is better; None without scored rows.

    The model is fitted for each fit on that fit's training side, of at most 5,000 examples, and both are scored on the
    same examples, at most 5,000.

    Args:
        predictions: as `summarise` takes them.
        index: index.csv, which says where the prepared pictures are.
        folds: of splits.csv, by fit.
    """
    role = headline_role(predictions)
    if role is None:
        return None
    rows = _drawn(predictions[predictions["role"] == role], scoring.seed)
    pictures = index.set_index("id")
    parts = []
    for fit, part in rows.groupby("fit", sort=False):
        trained = splits[(splits["fold"] == folds[str(fit)]) & (splits["split"] == "train")]
        known = pictures.loc[_drawn(trained, scoring.seed)["id"]]
        parts.append(
            linear_predictions(
                part,
                thumbnails(pictures.loc[part["id"]], image),
                training=(thumbnails(known, image), known["label"].tolist()),
                kind=scoring.kind,
                classes=scoring.classes,
                seed=scoring.seed,
            )
        )
    return _compared(rows, pd.concat(parts).loc[rows.index], role, scoring)


def checks(found: Mapping[str, Any] | None) -> list[Check]:
    """Return the check that stands where the network does no better than the linear model."""
    if found is None or found["gain"]["value"] is None:
        return []
    gain, low = found["gain"]["value"], found["gain"]["low"]
    if gain > 0 and (low is None or low > 0):
        return []
    told = "is not better than" if gain <= 0 else "cannot be told from"
    sentence = f"The network {told} a linear model on {SIDE}x{SIDE} thumbnails of the same pictures."
    remedy = "Compare both in Result; look for a shortcut in the data, a longer training or another network."
    return [{"severity": "amber", "sentence": sentence, "remedy": remedy}]


def thumbnails(table: pd.DataFrame, image: Image) -> Floats:
    """Return each row's prepared picture in 32x32, of a volume the mean of its slices."""
    mirrored = table["mirrored"].astype(str) == "True" if "mirrored" in table else pd.Series(False, table.index)
    stacks = table["stack"].astype(str) == "True" if "stack" in table else pd.Series(False, table.index)
    places = zip(table["array"], table["array_row"], stacks, mirrored, strict=True)
    made = [_small(read_input(file, int(row), stack, image, mirrored=flip)) for file, row, stack, flip in places]
    return np.stack(made).astype(np.float64)


def _small(picture: np.ndarray) -> np.ndarray:
    flat = picture.mean(axis=2) if picture.ndim == 4 else picture
    return resize(flat, (SIDE, SIDE))


def _drawn(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    return rows if len(rows) <= MOST_ROWS else rows.sample(MOST_ROWS, random_state=seed).sort_index()


def _compared(rows: pd.DataFrame, linear: pd.DataFrame, role: str, scoring: Scoring) -> dict[str, Any]:
    name, better = HEADLINE[scoring.kind], -1 if scoring.kind == "regression" else 1
    settings: dict[str, Any] = {"kind": scoring.kind, "seed": scoring.seed, "unit": scoring.unit}
    settings["classes"] = scoring.classes
    mine, other = cases(rows, scoring), cases(linear, scoring)
    gap = differences(mine, other, **settings)[name]
    return {
        "model": f"linear model on {SIDE}x{SIDE} thumbnails",
        "role": role,
        "metric": name,
        "linear": score(other, **settings)[name],
        "network": score(mine, **settings)[name],
        "gain": gap if better > 0 else _turned(gap),
    }


def _turned(gap: Entry) -> Entry:
    """Give the difference the other way round."""

    def minus(value: Any) -> float | None:
        return None if value is None else -float(value)

    return gap | {"value": minus(gap["value"]), "low": minus(gap["high"]), "high": minus(gap["low"])}
