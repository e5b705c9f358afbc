"""What the page says of a threshold and a calibration, of those that cannot be had, and of runs without either."""

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from scipy.special import expit, logit

from keras_med.report.contents import read
from keras_med.report.decided import decided, reached
from keras_med.report.folds import ensemble_sentence
from keras_med.report.page import write_report
from keras_med.runfolder import RunFolder

CHOSEN = {
    "value": 0.371234567,
    "target": 0.95,
    "positives": 93,
    "positive_patients": 80,
    "sentence": "Chosen so that the sensitivity in new patients is at least 0.95 with 95% assurance.",
    "fit": "t000-final",
    "part": "calibration",
}
FITTED = {
    "method": "temperature",
    "temperature": 2.0,
    "offsets": [0.0, -1.0],
    "examples": 300,
    "fit": "t000-final",
    "part": "calibration",
    "priors": [[0.8, 0.2], [0.5, 0.5]],
    "before": {"brier": {"value": 0.2, "low": 0.15, "high": 0.25, "n": 72}},
    "after": {"brier": {"value": 0.12, "low": 0.1, "high": 0.14, "n": 72}},
}
MakeRun = Callable[..., RunFolder]


def with_decision(run: RunFolder, **decision: Any) -> RunFolder:
    run.metrics.write_text(json.dumps(json.loads(run.metrics.read_text()) | decision))
    return run


def test_the_page_tells_what_was_chosen_where_and_what_it_did(make_run: MakeRun) -> None:
    run = with_decision(make_run(kind="binary"), threshold=CHOSEN, calibration=FITTED)
    told = decided(read(run))
    assert told["sentences"][0].startswith("Threshold 0.371 for a sensitivity of 0.95; on the test sensitivity ")
    assert "93 positive examples of the calibration part" in told["sentences"][1]
    assert "temperature 2.000, and the share of 1 from 50\u00a0% in training to 20\u00a0%" in told["sentences"][2]
    assert told["rows"] == [("Brier score", "0.200 (0.150 to 0.250)", "0.120 (0.100 to 0.140)", "72")]
    write_report(run)
    assert "own, 0.3712</button>" in run.report.read_text()
    curves = pd.read_csv(run.figures / "reliability.csv").groupby("curve")
    raw, mended = (curves.get_group(name)["predicted"].to_numpy() for name in ("as the network says", "calibrated"))
    rows = pd.read_csv(run.predictions)
    p = rows.loc[rows["role"] == "test", "p_1"].sort_values().to_numpy()
    assert raw[0] == pytest.approx(p[:8].mean())  # 72 examples in ten bins: the first two hold eight
    assert mended[0] == pytest.approx(expit(logit(p[:8]) / 2 - 1).mean())


def test_an_ensemble_s_threshold_is_told_to_be_of_its_members(make_run: MakeRun) -> None:
    told = {"threshold": {**CHOSEN, "part": "out_of_fold"}, "calibration": {**FITTED, "part": "out_of_fold"}}
    _, chosen, fitted = decided(read(with_decision(make_run(kind="binary"), **told)))["sentences"]
    assert "examples of the folds, each predicted by the one member of the ensemble that did not train on it." in chosen
    assert fitted.startswith("Calibrated on 300 examples of the folds, each predicted by the one member")


def test_the_mean_of_the_folds_is_told_with_its_size(make_run: MakeRun) -> None:
    members = ["t000-fold0", "t000-fold1", "t000-fold2"]
    run = with_decision(make_run(), ensemble={"members": members, "parameters": 7_800_000, "shared": 7_700_000})
    write_report(run)
    said = (
        "The exported network is the mean of the 3 folds' networks: 7\u202f800\u202f000 parameters, 7\u202f700\u202f000"
    )
    assert f"{said} of them in the frozen part, which they share." in run.report.read_text().replace("&#39;", "'")
    assert "These are of single members." in run.report.read_text()
    whole = {"members": members, "parameters": 30, "shared": 0}
    assert ensemble_sentence({"ensemble": whole}).endswith("30 parameters, for they share none.")


def test_what_cannot_be_had_is_a_sentence_with_its_remedy(make_run: MakeRun) -> None:
    missing = {"value": None, "sentence": "It needs at least 59.", "remedy": "Give more.", "fit": "t000-final"}
    unfit = {"method": None, "sentence": "Not calibrated: a class has 3 patients.", "fit": "t000-final"}
    run = with_decision(make_run(kind="binary"), threshold=missing, calibration=unfit)
    assert decided(read(run))["sentences"] == [
        "No threshold: It needs at least 59. Give more.",
        "Not calibrated: a class has 3 patients.",
    ]
    write_report(run)
    assert "0.5, was chosen by nobody" in run.report.read_text()


def test_the_threshold_of_another_network_is_not_applied(make_run: MakeRun) -> None:
    run = with_decision(make_run(kind="binary"), threshold={**CHOSEN, "fit": "t000-other"}, calibration=None)
    write_report(run)
    assert "own, 0.5</button>" in run.report.read_text()


def test_a_run_without_either_says_nothing(make_run: MakeRun) -> None:
    assert decided(read(make_run()))["sentences"] == []
    assert reached({"splits": {}}) == ""
