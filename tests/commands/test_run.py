import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_med import load_run
from keras_med.runfolder import RunFolder

EPOCHS = 6


def start(folder: Path, stripes: Path, cache: Path, *arguments: str) -> "subprocess.Popen[str]":
    typed = [sys.executable, "-m", "keras_med.run", str(stripes / "stripes.py"), "--deterministic", *arguments]
    typed += [] if "--resume" in arguments else ["--data", str(stripes / "data")]
    environment = {**os.environ, "KERAS_MED_CACHE": str(cache)}
    return subprocess.Popen(
        typed,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(process: "subprocess.Popen[str]", expected: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=600)
    assert process.returncode == expected, err
    return out, err


def run_in(folder: Path) -> RunFolder:
    return RunFolder((folder / "runs" / "stripes" / "latest").resolve())


def metrics_of(run: RunFolder) -> str:
    metrics = json.loads(run.metrics.read_text())
    return json.dumps({name: value for name, value in metrics.items() if name != "times"}, sort_keys=True)


def wait_for(file: Path, lines: int, process: "subprocess.Popen[str]") -> None:
    """Wait until a fit's history has so many lines."""
    deadline = time.monotonic() + 300
    while not file.is_file() or len(file.read_text().splitlines()) < lines:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, stripes: Path, cache: Path) -> tuple[RunFolder, str, str]:
    """Return a whole run, and what it said."""
    folder = tmp_path_factory.mktemp("reference")
    out, err = finished(start(folder, stripes, cache))
    return run_in(folder), out, err


def test_a_run_leaves_everything_that_it_promises(reference: tuple[RunFolder, str, str]) -> None:
    run, _, _ = reference
    for file in (run.recipe, run.settings, run.environment, run.index, run.excluded, run.audit, run.splits):
        assert file.is_file(), file
    for file in (run.predictions, run.metrics, run.model, run.report, run.card, run.log):
        assert file.is_file(), file
    assert {path.name for path in run.fits.iterdir()} >= {"t000-fold0", "t000-fold1", "t000-final"}
    assert (run.path / "figures").is_dir()


def test_results_go_to_stdout_and_progress_to_stderr(reference: tuple[RunFolder, str, str]) -> None:
    run, out, err = reference
    assert "Mean absolute error" in out
    assert str(run.path.name) in out
    assert out.splitlines()[-1].startswith("Next:")
    assert "t000-fold0  epoch 1/6" in err
    assert "epoch" not in out
    assert "groups of twins shared" in err
    assert "DEMO" not in out + err


def test_the_headline_is_what_the_saved_predictions_give(reference: tuple[RunFolder, str, str]) -> None:
    run = reference[0]
    rows = pd.read_csv(run.predictions)
    test = rows[rows["role"] == "test"]
    by_hand = float(np.abs(test["label"] - test["predicted"]).mean())
    found = json.loads(run.metrics.read_text())["splits"]["test"]["mae"]
    assert found["value"] == pytest.approx(by_hand, rel=1e-9)
    assert found["low"] < by_hand < found["high"]
    assert len(test) == 24  # 20 % of 120


def test_each_example_is_predicted_out_of_fold_once_and_never_by_a_fit_that_saw_it(
    reference: tuple[RunFolder, str, str],
) -> None:
    run = reference[0]
    splits = pd.read_csv(run.splits, dtype=str)
    rows = pd.read_csv(run.predictions, dtype=str)
    out = rows[rows["role"] == "out_of_fold"]
    assert out["id"].is_unique
    assert len(out) == 96
    for fold in ("0", "1"):
        trained = set(splits[(splits["fold"] == fold) & (splits["split"] == "train")]["id"])
        predicted = set(rows[rows["fit"] == f"t000-fold{fold}"]["id"])
        assert not trained & predicted


def test_the_final_network_is_trained_for_the_median_best_epoch(reference: tuple[RunFolder, str, str]) -> None:
    run = reference[0]
    best = [json.loads(run.fit(f"t000-fold{fold}").done.read_text())["best_epoch"] for fold in (0, 1)]
    final = json.loads(run.fit("t000-final").done.read_text())
    assert final["epochs"] == max(1, int(np.median(best)))


def test_best_weights_are_those_of_the_lowest_validation_loss(reference: tuple[RunFolder, str, str]) -> None:
    run = reference[0]
    for fold in (0, 1):
        fit = run.fit(f"t000-fold{fold}")
        history = pd.read_csv(fit.history)
        rows = pd.read_csv(fit.predictions)
        validation = rows[rows["role"] == "validation"]
        loss = float(((validation["label"] - validation["predicted"]) ** 2).mean())
        assert loss == pytest.approx(history["validation_loss"].min(), rel=1e-4)


def test_the_model_in_the_run_predicts_what_the_table_says(reference: tuple[RunFolder, str, str]) -> None:
    run = reference[0]
    import cv2

    opened = load_run(run.path)
    rows = opened.predictions[opened.predictions["role"] == "test"].head(8)
    index = pd.read_csv(run.index, dtype={"id": str}).set_index("id")
    images = np.stack([cv2.imread(index.loc[name, "path"], cv2.IMREAD_GRAYSCALE) for name in rows["id"]])
    again = opened.model().predict(images[..., None].astype(np.float32), verbose=0)[:, 0]
    assert np.allclose(again, rows["predicted"].to_numpy(float), rtol=1e-4, atol=1e-4)


def test_two_runs_with_one_seed_give_the_same_metrics(
    reference: tuple[RunFolder, str, str], tmp_path: Path, stripes: Path, cache: Path
) -> None:
    finished(start(tmp_path, stripes, cache))
    assert metrics_of(run_in(tmp_path)) == metrics_of(reference[0])


@pytest.mark.parametrize("moment", ["within a fold", "within the final network"])
def test_ctrl_c_leaves_a_run_that_resume_finishes_without_training_an_epoch_again(
    reference: tuple[RunFolder, str, str], tmp_path: Path, stripes: Path, cache: Path, moment: str
) -> None:
    process = start(tmp_path, stripes, cache)
    while not (tmp_path / "runs" / "stripes" / "latest").exists():
        time.sleep(0.05)
        assert process.poll() is None
    run = run_in(tmp_path)
    name, lines = ("t000-fold1", 3) if moment == "within a fold" else ("t000-final", 2)
    wait_for(run.fit(name).history, lines, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to this program and to all that it has started
    _, err = finished(process, expected=130)
    assert f"python -m keras_med.run {stripes / 'stripes.py'} --resume {run.path.name}" in err
    before = run.fit(name).history.read_text().splitlines()
    out, err = finished(start(tmp_path, stripes, cache, "--resume", run.path.name))
    assert run.fit(name).history.read_text().splitlines()[: len(before)] == before  # its seconds too: not run again
    for epoch in range(1, len(before)):
        assert f"{name}  epoch {epoch}/" not in err
    assert metrics_of(run) == metrics_of(reference[0])
    assert "report" in out


def test_kill_9_leaves_a_run_that_resume_finishes_with_the_same_numbers(
    reference: tuple[RunFolder, str, str], tmp_path: Path, stripes: Path, cache: Path
) -> None:
    process = start(tmp_path, stripes, cache)
    while not (tmp_path / "runs" / "stripes" / "latest").exists():
        time.sleep(0.05)
        assert process.poll() is None
    run = run_in(tmp_path)
    wait_for(run.fit("t000-fold0").history, 4, process)
    process.kill()
    process.communicate()
    finished(start(tmp_path, stripes, cache, "--resume"))
    assert metrics_of(run) == metrics_of(reference[0])


def test_a_resume_with_other_settings_or_a_changed_recipe_is_refused(
    reference: tuple[RunFolder, str, str], tmp_path: Path, stripes: Path, cache: Path
) -> None:
    run = reference[0]
    out = str(run.path.parent.parent)
    _, err = finished(start(tmp_path, stripes, cache, "--resume", "--out", out, "--set", "train.epochs=9"), expected=2)
    assert "train.epochs was 6" in err
    changed = tmp_path / "stripes.py"
    changed.write_text((stripes / "stripes.py").read_text() + "\n# changed\n")
    typed = [sys.executable, "-m", "keras_med.run", str(changed), "--resume", "--out", out]
    told = subprocess.run(typed, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert "has changed since the run began" in told.stderr
