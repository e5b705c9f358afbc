"""A binary run through the real command: its threshold and calibration reach figures, export, report and screen."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_med.runfolder import RunFolder

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_the_threshold_comes_from_the_validation_part_and_the_test_is_called_by_it(
    wide: tuple[RunFolder, str],
) -> None:
    run, printed = wide
    metrics, rows = json.loads(run.metrics.read_text()), pd.read_csv(run.predictions)
    watched = rows[(rows["role"] == "validation") & (rows["label"].astype(str).isin(["1", "True"]))]["p_1"].sort_values(
        ascending=False
    )
    by_hand = watched.iloc[int(np.ceil(0.8 * len(watched))) - 1]
    assert metrics["threshold"]["value"] == pytest.approx(by_hand)
    assert metrics["threshold"]["part"] == "validation"
    test = rows[(rows["role"] == "test") & (rows["label"].astype(str).isin(["1", "True"]))]["p_1"]
    assert metrics["splits"]["test"]["sensitivity"]["value"] == pytest.approx((test >= by_hand).mean())
    assert f"Threshold {by_hand:.3f} for a sensitivity of 0.8" in printed


def test_the_export_carries_threshold_and_calibration(wide: tuple[RunFolder, str]) -> None:
    run, _ = wide
    metrics = json.loads(run.metrics.read_text())
    told = json.loads((Path(json.loads(run.settings.read_text())["export"]) / "keras_med.json").read_text())
    assert told["threshold"] == metrics["threshold"]["value"]
    assert told["calibration"]["temperature"] == metrics["calibration"]["temperature"]
    natural, trained = metrics["calibration"]["priors"]
    assert trained == [0.5, 0.5]
    shift = np.log(natural) - np.log(trained)
    assert told["calibration"]["offsets"] == pytest.approx(shift.tolist())


def test_the_export_knows_its_training_pictures_and_flags_others(
    wide: tuple[RunFolder, str], command: Command, tmp_path: Path
) -> None:
    run, printed = wide
    told = json.loads((Path(json.loads(run.settings.read_text())["export"]) / "keras_med.json").read_text())["range"]
    assert told["training"] + told["held_out"]["pictures"] == 120
    assert told["held_out"]["flagged"] <= 1
    assert f"keras_med.predict {json.loads(run.settings.read_text())['export']}" in printed
    cv2.imwrite(str(tmp_path / "bright.png"), np.full((24, 24), 250, np.uint8))
    ended = command(
        "predict",
        run.path.parents[2] / "saved_models" / "wide",
        tmp_path / "bright.png",
        run.path.parents[2] / "data" / "p000.png",
    )
    assert ended.returncode == 0, ended.stderr
    assert "out of range: 1" in ended.stdout
    rows = pd.read_csv(tmp_path / "predictions.csv", keep_default_na=False)
    assert rows["out_of_range"].map(bool).tolist() == [True, False]
    assert list(rows) == ["path", "row", "p_1", "calibrated_1", "decision", "out_of_range", "reason"]


def test_the_export_has_every_format_that_the_recipe_asks_for(wide: tuple[RunFolder, str]) -> None:
    files = json.loads((Path(json.loads(wide[0].settings.read_text())["export"]) / "keras_med.json").read_text())[
        "files"
    ]
    assert {"model.onnx", "model.tflite", "model_int8.tflite", "saved_model.pb"} <= set(files)


def test_the_worst_misses_are_explained_by_the_network_that_is_kept(wide: tuple[RunFolder, str]) -> None:
    run, _ = wide
    done = json.loads((run.fits / "explanations" / "done.json").read_text())
    rows = pd.read_csv(run.predictions)
    rows = rows[rows["role"] == "test"]
    missed = (rows["p_1"] - rows["label"].astype(str).isin(["1", "True"])).abs()
    assert done["cases"] == rows.loc[missed.sort_values(ascending=False).index, "id"].head(12).tolist()
    heat = np.load(run.fits / "explanations" / "heat.npy")
    assert heat.shape == (12, 24, 24)
    assert heat.min() >= 0
    page = run.report.read_text()
    assert page.count('alt="Heat map of the same picture"') == 13  # and one of the shuffled weights
    assert "With shuffled weights" in page


def test_the_report_shows_both(wide: tuple[RunFolder, str]) -> None:
    run, _ = wide
    page = run.report.read_text()
    assert "The threshold was chosen on" in page
    assert "As the network says" in page
    linear = json.loads(run.metrics.read_text())["linear"]
    assert linear["gain"]["n"] == 36
    assert f"the network {linear['network']['value']:.3f}" in page
    assert set(pd.read_csv(run.figures / "reliability.csv")["curve"]) == {"as the network says", "calibrated"}
