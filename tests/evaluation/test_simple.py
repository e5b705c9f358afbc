"""The linear model on thumbnails: what it finds, what it cannot, and when the network is told to be no better."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_med import Image
from keras_med.evaluation.simple import against_linear, checks, thumbnails
from keras_med.evaluation.summary import Scoring

SCORING = Scoring("binary", "", ("0", "1"), 1)
IMAGE = Image(size=(64, 64))


def pictures(folder: Path, label: np.ndarray, *, shortcut: bool) -> pd.DataFrame:
    """Write pictures of noise; with a shortcut the positive ones are brighter on their left half."""
    draw = np.random.default_rng(0)
    stored = draw.integers(90, 160, (len(label), 64, 64, 1)).astype(np.uint8)
    if shortcut:
        stored[label == 1, :, :32] += 40
    np.save(folder / "shard.npy", stored)
    names = [f"i{number}" for number in range(len(label))]
    return pd.DataFrame(
        {"id": names, "label": label.astype(str), "array": str(folder / "shard.npy"), "array_row": range(len(label))}
    )


def compare(folder: Path, p: np.ndarray, label: np.ndarray, *, shortcut: bool) -> dict[str, Any]:
    """Judge a network that says p of the last 100 pictures, trained on all before them."""
    index = pictures(folder, label, shortcut=shortcut)
    places = ["train"] * (len(label) - 100) + ["test"] * 100
    splits = pd.DataFrame({"id": index["id"], "fold": "0", "split": places})
    rows = index[["id", "label"]].tail(100).assign(fit="f", role="test", p_1=p[-100:])
    found = against_linear(rows, index, splits, {"f": "0"}, IMAGE, SCORING)
    assert found is not None
    return found


def test_a_network_that_sees_no_more_than_a_shortcut_is_told_so(tmp_path: Path) -> None:
    label = np.arange(220) % 2
    network = np.where(label == 1, 0.8, 0.2)
    network[-100:-80] = 0.5
    found = compare(tmp_path, network, label, shortcut=True)
    assert found["linear"]["value"] == 1
    assert found["network"]["value"] == pytest.approx(0.98)  # a fifth of each class is tied: half of 0.2 x 0.2 is lost
    assert found["gain"]["value"] == pytest.approx(-0.02)
    (check,) = checks(found)
    assert check["severity"] == "amber"
    assert "is not better than a linear model" in check["sentence"]


def test_a_network_that_sees_what_thumbnails_do_not_show_is_better(tmp_path: Path) -> None:
    label = np.arange(220) % 2
    found = compare(tmp_path, np.where(label == 1, 0.8, 0.2), label, shortcut=False)
    assert found["linear"]["value"] < 0.65
    assert found["gain"]["low"] > 0
    assert checks(found) == []


def test_a_smaller_error_is_a_gain(tmp_path: Path) -> None:
    index = pictures(tmp_path, np.arange(220) % 2, shortcut=False)
    index["label"] = [str(number % 7) for number in range(220)]
    splits = pd.DataFrame({"id": index["id"], "fold": "0", "split": ["train"] * 120 + ["test"] * 100})
    rows = index[["id", "label"]].tail(100).assign(fit="f", role="test")
    rows = rows.assign(predicted=rows["label"].astype(float) + 0.25)
    found = against_linear(rows, index, splits, {"f": "0"}, IMAGE, Scoring("regression", "years", (), 1))
    assert found is not None
    assert found["network"]["value"] == pytest.approx(0.25)
    assert found["gain"]["value"] == pytest.approx(found["linear"]["value"] - 0.25)
    assert 0 < found["gain"]["low"] < found["gain"]["value"] < found["gain"]["high"]


def test_a_gain_that_chance_explains_is_told() -> None:
    assert checks({"role": "test", "gain": {"value": 2.0, "low": None, "high": None}}) == []
    (check,) = checks({"role": "test", "gain": {"value": 2.0, "low": -0.5, "high": 4.5}})
    assert "cannot be told from" in check["sentence"]


def test_a_thumbnail_is_the_mean_of_the_areas_and_of_a_volume_s_slices(tmp_path: Path) -> None:
    stored = np.zeros((1, 64, 64, 4, 1), np.uint8)
    stored[0, :2, :2, :, 0] = [[[10, 20, 30, 40], [10, 20, 30, 40]]] * 2
    np.save(tmp_path / "volume.npy", stored)
    table = pd.DataFrame({"array": [str(tmp_path / "volume.npy")], "array_row": [0]})
    (small,) = thumbnails(table, Image(size=(64, 64, 4)))
    assert small.shape == (32, 32, 1)
    assert small[0, 0, 0] == pytest.approx(25)
    assert small[1:].max() == 0
