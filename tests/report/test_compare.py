"""Two runs compared over the same examples."""

import json
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from keras_med.errors import DataError
from keras_med.report.compare import compare
from keras_med.runfolder import RunFolder

MakeRun = Callable[..., RunFolder]


def shifted(run: RunFolder, *by: float) -> RunFolder:
    """Move the predictions of a run by numbers of years, each in turn."""
    table = pd.read_csv(run.predictions, dtype={"id": str, "label": str}, keep_default_na=False)
    table.assign(predicted=table["predicted"] + np.resize(by, len(table))).to_csv(run.predictions, index=False)
    return run


def test_the_bias_of_two_runs_differs_by_what_one_was_moved(make_run: MakeRun) -> None:
    first, second = shifted(make_run("a"), 2.0, 4.0), make_run("b")
    found = compare(first.path, second.path)
    assert found.role == "test"
    assert found.figures["bias"]["value"] == pytest.approx(3.0, abs=0.2)
    assert any("Bias" in line and line.endswith("differs") for line in found.lines())


def test_a_run_is_not_distinguishable_from_itself(make_run: MakeRun) -> None:
    first, second = make_run("a", kind="binary", patients=True), make_run("b", kind="binary", patients=True)
    found = compare(first.path, second.path)
    assert found.figures["auroc"]["value"] == 0
    assert not [line for line in found.lines() if line.endswith("differs")]


def test_other_examples_and_other_targets_are_refused(make_run: MakeRun) -> None:
    first = make_run("a")
    with pytest.raises(DataError, match="predict different examples"):
        compare(first.path, make_run("b", seed=4).path)
    with pytest.raises(DataError, match="different targets"):
        compare(first.path, make_run("c", kind="binary").path)


def test_the_command_prints_json(make_run: MakeRun) -> None:
    first, second = make_run("a", demo=True), make_run("b")
    typed = [sys.executable, "-m", "keras_med.compare", str(first.path), str(second.path), "--json"]
    done = subprocess.run(typed, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["demo"] is True
    assert told["figures"]["mae"]["value"] == 0


def test_each_run_is_called_at_its_own_threshold(make_run: MakeRun) -> None:
    one, two = make_run("one", kind="binary"), make_run("two", kind="binary")
    told = json.loads(one.metrics.read_text()) | {"threshold": {"value": 0.2, "fit": "t000-final"}}
    one.metrics.write_text(json.dumps(told))
    rows = pd.read_csv(one.predictions)
    positive = rows.loc[(rows["role"] == "test") & (rows["label"] == 1), "p_1"]
    by_hand = ((positive >= 0.2) & (positive < 0.5)).mean()
    found = compare(one.path, two.path).figures
    assert found["sensitivity"]["value"] == pytest.approx(by_hand)
    assert found["auroc"]["value"] == 0
