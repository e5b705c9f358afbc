import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from local_cluster import LocalCluster

from keras_med.runfolder import RunFolder

Command = Callable[..., subprocess.CompletedProcess[str]]
SEARCH = """search=Search(
        over={"train.learning_rate": [1e-2, 1e-6], "model.units": [8, 7]},
        by="staged",
        rounds=(Round(epochs=2, keep=1, examples=40), Round(epochs=4, continues=True)),
        folds=3,
    ),
    seed=3,
"""


@pytest.fixture(scope="module")
def searching(tmp_path_factory: pytest.TempPathFactory, stripes: Path) -> Path:
    """Return a recipe that searches, in which every trial with seven units crashes."""
    text = (stripes / "stripes.py").read_text()
    text = text.replace("Regression, Train", "Regression, Round, Search, Train").replace(
        "    seed=3,\n", f"    {SEARCH}"
    )
    text = text.replace("    import keras\n", "    import keras\n\n    assert units != 7, 'seven units'\n")
    recipe = tmp_path_factory.mktemp("searching") / "searching.py"
    recipe.write_text(text)
    return recipe


def start(folder: Path, recipe: Path, stripes: Path, cache: Path, *arguments: str) -> "subprocess.Popen[str]":
    given = arguments or ("--data", str(stripes / "data"))
    typed = [sys.executable, "-m", "keras_med.run", str(recipe), "--deterministic", *given]
    environment = {**os.environ, "KERAS_MED_CACHE": str(cache)}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(typed, cwd=folder, env=environment, start_new_session=True, **output)  # type: ignore[call-overload, no-any-return]


def wait_for(pattern: str, folder: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 300
    while not list(folder.glob(f"runs/searching/*-????/{pattern}")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def finished(run: RunFolder) -> dict[Path, int]:
    """Return when each fit of the search was done; one that is trained again is done at another moment."""
    return {fit: fit.stat().st_mtime_ns for fit in run.fits.glob("t00[1-4]-*/done.json")}


def run_in(folder: Path) -> RunFolder:
    return RunFolder((folder / "runs" / "searching" / "latest").resolve())


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, searching: Path, stripes: Path, cache: Path
) -> tuple[RunFolder, str]:
    """Return a whole run with a search, and what it said."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder, searching, stripes, cache)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return run_in(folder), err


def test_a_plan_knows_the_steps_of_a_search_and_measures_one(command: Command, searching: Path, stripes: Path) -> None:
    done = command("run", searching, "--data", stripes / "data", "--plan", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert plan["examples"] == 120
    steps = {fold: rows["train"] // 16 for fold, rows in plan["fits"].items()}
    assert min(steps.values()) >= 2
    assert plan["steps"] == {
        "search": 4 * 3 * 2 * (40 // 16) + (4 - 2) * sum(steps[f"search{fold}"] for fold in range(3)),
        "folds": 6 * (steps["0"] + steps["1"]),
        "final": 6 * steps["final"],
    }
    assert len(plan["seconds_a_step"]) == 1
    assert plan["seconds"] > plan["seconds_a_step"][0] > 0
    assert 50 * 2**20 < plan["memory_bytes"] < plan["limit_bytes"]


def test_a_search_keeps_to_its_rounds_and_a_crash_does_not_stop_it(whole: tuple[RunFolder, str]) -> None:
    run, err = whole
    rows = pd.read_csv(run.search).set_index("trial")
    assert set(rows.index) == {"t001", "t002", "t003", "t004"}
    assert dict(rows["status"]) == {"t001": "done", "t002": "failed", "t003": "done", "t004": "failed"}
    assert (rows["round"] == 2).sum() == 1
    assert "t002 failed: AssertionError: seven units" in err
    assert "seven units" in rows.loc["t004", "dropped"]
    best = rows.index[0]
    history = pd.read_csv(run.fit(f"{best}-round2-fold0").history)
    assert list(history["epoch"]) == [1, 2, 3, 4]
    first = pd.read_csv(run.fit(f"{best}-round1-fold0").history)
    pd.testing.assert_frame_equal(history[:2], first)  # its seconds too: the second round continues the first
    assert json.loads(run.fit("t001-round1-fold0").done.read_text())["train"] == 40


def test_the_network_is_looked_at_before_hours_go_into_the_search(whole: tuple[RunFolder, str]) -> None:
    run, err = whole
    said = [err.index(words) for words in ("preflight: first loss", "of training after the search", "t002 failed")]
    assert said == sorted(said)
    assert run.fit("preflight").done.stat().st_mtime_ns < min(finished(run).values())


def test_the_run_trains_with_the_winner_for_all_its_epochs(whole: tuple[RunFolder, str]) -> None:
    run, _ = whole
    rows = pd.read_csv(run.search)
    rate = rows["train.learning_rate"].iloc[0]
    history = pd.read_csv(run.fit("t000-fold0").history)
    assert history["learning_rate"].to_numpy() == pytest.approx(rate, rel=1e-6)
    plan = json.loads(run.fit("t000-fold0").settings.read_text())["plan"]
    assert (plan["epochs"], plan["examples"]) == (6, None)


def test_no_trial_has_trained_on_or_predicted_the_test_split(whole: tuple[RunFolder, str]) -> None:
    run, _ = whole
    splits = pd.read_csv(run.splits, dtype=str)
    test = set(splits.loc[(splits["fold"] == "0") & (splits["split"] == "test"), "id"])
    mine = splits[splits["fold"].isin(["search0", "search1", "search2"])]
    assert test
    assert set(mine.loc[mine["split"].isin(["train", "validation", "out_of_fold"]), "id"]).isdisjoint(test)
    for file in run.fits.glob("t00[1-9]-*/predictions.csv"):
        assert set(pd.read_csv(file, dtype=str)["id"]).isdisjoint(test)


def test_the_report_tells_of_the_search_and_draws_the_run_s_own_fits_alone(whole: tuple[RunFolder, str]) -> None:
    run, _ = whole
    page = run.report.read_text()
    assert "on the data that chose it" in page
    assert "after round 1: rank 2 of 4" in page
    assert (run.figures / "search_round2_loss.svg").is_file()
    assert set(pd.read_csv(run.figures / "curves_loss.csv")["fit"]) == {"t000-fold0", "t000-fold1", "t000-final"}


def test_a_killed_search_resumes_to_the_same_table_and_trains_no_fit_twice(
    whole: tuple[RunFolder, str], tmp_path: Path, searching: Path, stripes: Path, cache: Path
) -> None:
    process = start(tmp_path, searching, stripes, cache)
    wait_for("fits/t00?-round2-fold1/checkpoint/state.npz", tmp_path, process)
    kill(process)
    run = run_in(tmp_path)
    before = finished(run)
    assert 6 < len(before) < 9
    told = run.trials.read_text()
    process = start(tmp_path, searching, stripes, cache, "--resume")
    wait_for("search.csv", tmp_path, process)
    kill(process)
    assert finished(run).items() >= before.items()
    assert json.loads(run.trials.read_text())["batches"][:1] == json.loads(told)["batches"]
    mine, other = (pd.read_csv(each.search).drop(columns="seconds") for each in (run, whole[0]))
    pd.testing.assert_frame_equal(mine, other)


def test_a_search_on_a_cluster_that_loses_workers_and_its_scheduler_ends_with_the_same_table(
    whole: tuple[RunFolder, str], tmp_path: Path, searching: Path, stripes: Path
) -> None:
    """Preparing and frozen features too: the cache is a new one."""
    pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    before: list[dict[Path, int]] = []
    with LocalCluster(tmp_path) as cluster:
        cluster.start(workers=3)
        process = start(
            tmp_path, searching, stripes, tmp_path / "cache", "--data", str(stripes / "data"), "--on", cluster.address
        )
        for done, strike in ((2, cluster.kill_worker), (3, cluster.kill_worker), (5, cluster.restart_scheduler)):
            wait_for("settings.json", tmp_path, process)
            while len(finished(run_in(tmp_path))) < done or not list(run_in(tmp_path).fits.glob("t00?-*/lease.json")):
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.02)
            before.append(finished(run_in(tmp_path)))
            strike()
        wait_for("search.csv", tmp_path, process)
        kill(process)
    run = run_in(tmp_path)
    for earlier in before:
        assert finished(run).items() >= earlier.items()
    mine, other = (pd.read_csv(each.search).drop(columns="seconds") for each in (run, whole[0]))
    pd.testing.assert_frame_equal(mine, other)
    images, others = (pd.read_csv(each.index)[["id", "pixel_hash"]] for each in (run, whole[0]))
    pd.testing.assert_frame_equal(images, others)
