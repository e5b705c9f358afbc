"""A run opened in a notebook."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from keras_med.errors import DataError
from keras_med.report.load import load_run
from keras_med.report.page import write_report
from keras_med.runfolder import RunFolder

MakeRun = Callable[..., RunFolder]


def test_predictions_metrics_and_figures_are_at_hand(make_run: MakeRun) -> None:
    folder = make_run()
    write_report(folder)
    run = load_run(folder.path)
    metrics = run.metrics.set_index(["split", "metric"])
    test = run.predictions[run.predictions["role"] == "test"]
    assert metrics.loc[("test", "mae"), "value"] == pytest.approx((test["predicted"] - test["label"]).abs().mean())
    assert "bland_altman" in run.figures


def test_latest_is_found_as_a_link_and_as_a_name(make_run: MakeRun) -> None:
    folder = make_run()
    recipe = folder.path.parent
    (recipe / "latest").symlink_to(folder.path.name)
    assert load_run(recipe).folder.path == folder.path.resolve()
    (recipe / "latest").unlink()
    (recipe / "latest").write_text(folder.path.name + "\n")
    assert load_run(recipe).folder.path == folder.path.resolve()


def test_another_folder_and_a_missing_model_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run folder"):
        load_run(tmp_path)
    with pytest.raises(DataError, match=r"no model\.keras"):
        load_run(make_run().path).model()


def test_opening_a_run_imports_neither_keras_nor_tensorflow(make_run: MakeRun) -> None:
    code = (
        "import sys, json; from keras_med.report.load import load_run; load_run(sys.argv[1]).metrics; "
        "print(json.dumps([name for name in ('keras', 'tensorflow') if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(make_run().path)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
