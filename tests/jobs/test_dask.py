"""Against a real cluster of processes on this machine: one scheduler, and workers that are killed one by one."""

import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from local_cluster import LocalCluster

from keras_med import errors
from keras_med.errors import DataError, EnvironmentProblem, RecipeError
from keras_med.jobs import suitable
from keras_med.jobs.dask import DaskRunner, check_address
from keras_med.jobs.job import Job
from keras_med.jobs.loop import run_jobs
from keras_med.jobs.suitable import check_workers

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), [Path(__file__).parent]) as made:
        made.start(workers=2)
        yield made


@pytest.fixture
def runner(cluster: LocalCluster) -> Iterator[DaskRunner]:
    made = DaskRunner(cluster.address, [], {}, say=lambda _: None)
    check_places(made, 2)
    yield made
    made.kill()
    made.client.close(timeout=2)


def check_places(runner: DaskRunner, count: int) -> None:
    deadline = time.monotonic() + 60
    while runner.places < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def jobs_in(folder: Path, action: str, count: int = 1) -> list[Job]:
    return [Job(folder / f"job{number}", f"actions:{action}") for number in range(count)]


def starts(job: Job) -> int:
    return len((job.folder / "starts.txt").read_text())


def test_jobs_run_once_beside_the_workers(runner: DaskRunner, tmp_path: Path) -> None:
    jobs = jobs_in(tmp_path, "finish", 5)
    run_jobs(jobs, runner=runner)
    run_jobs(jobs, runner=runner)
    assert [starts(job) for job in jobs] == [1] * 5
    assert os.getpid() not in {int((job.folder / "pid.txt").read_text()) for job in jobs}


def test_an_error_of_the_user_comes_back_as_it_was(runner: DaskRunner, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run_jobs(jobs_in(tmp_path, "refuse"), runner=runner)
    assert (caught.value.what, caught.value.where, caught.value.remedy) == ("What came.", "row 3", "Type this.")


def test_ctrl_c_lets_jobs_write_their_last_checkpoints(runner: DaskRunner, tmp_path: Path) -> None:
    (job,) = jobs_in(tmp_path, "wait")

    def interrupt(_: Sequence[Path]) -> None:
        if (job.folder / "pid.txt").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs([job], watch=interrupt, runner=runner)
    assert (job.folder / "checkpoint.txt").read_text() == "written"


def test_a_killed_worker_loses_nothing_and_finished_jobs_stay(
    cluster: LocalCluster, runner: DaskRunner, tmp_path: Path
) -> None:
    quick, slow = jobs_in(tmp_path / "a", "finish", 3), jobs_in(tmp_path / "b", "wait_once", 2)
    killed = []

    def kill(_: Sequence[Path]) -> None:
        if not killed and all((job.folder / "pid.txt").exists() for job in slow) and all(job.done for job in quick):
            killed.append(True)
            cluster.kill_worker()
            for job in slow:
                (job.folder / "go").touch()
            cluster.start_worker()

    run_jobs([*quick, *slow], watch=kill, runner=runner)
    assert killed
    assert [starts(job) for job in quick] == [1, 1, 1]
    assert sorted(starts(job) for job in slow) == [1, 2]


def test_a_restarted_scheduler_gets_what_is_not_done_again(
    cluster: LocalCluster, runner: DaskRunner, tmp_path: Path
) -> None:
    quick, slow = jobs_in(tmp_path / "a", "finish", 2), jobs_in(tmp_path / "b", "wait_once", 2)
    told: list[bool] = []

    def restart(_: Sequence[Path]) -> None:
        if not told and all((job.folder / "pid.txt").exists() for job in slow) and all(job.done for job in quick):
            told.append(True)
            cluster.restart_scheduler()
            for job in slow:
                (job.folder / "go").touch()

    run_jobs([*quick, *slow], watch=restart, runner=runner)
    assert told
    assert [starts(job) for job in quick] == [1, 1]
    assert [starts(job) for job in slow] == [2, 2]


def test_workers_that_do_not_see_a_folder_are_named_with_both_hosts(
    runner: DaskRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_workers(runner.client, [tmp_path], [tmp_path]) == [socket.gethostname()]
    assert not list(tmp_path.iterdir())
    with pytest.raises(EnvironmentProblem, match=socket.gethostname()) as caught:
        check_workers(runner.client, [tmp_path], [tmp_path / "absent"])
    assert caught.value.where == str(tmp_path / "absent")
    with pytest.raises(EnvironmentProblem, match="No worker offers a GPU"):
        check_workers(runner.client, [], [], gpu=True)
    own = suitable.versions()
    monkeypatch.setattr(suitable, "versions", lambda: {**own, "keras": "99.0"})
    with pytest.raises(EnvironmentProblem, match=r"keras 99\.0 here and 3\."):
        check_workers(runner.client, [], [])


def test_a_worker_without_the_package_is_told_with_its_address(
    cluster: LocalCluster, runner: DaskRunner, tmp_path: Path
) -> None:
    (tmp_path / "without.py").write_text("import sys\nsys.modules['keras_med'] = None\n")
    cluster.start_worker("--preload", str(tmp_path / "without.py"))
    check_places(runner, 3)
    try:
        with pytest.raises(
            EnvironmentProblem, match=r"worker \S*127\.0\.0\.1:\d+ cannot run this program.*keras_med"
        ) as caught:
            check_workers(runner.client, [], [])
    finally:
        cluster.kill_worker(-1)
    assert "pip install" in caught.value.remedy


@pytest.mark.parametrize("address", ["head:8786", "tcp://head", "http://head:8786", "tcp://he ad:1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(RecipeError, match="is no address"):
        check_address(address)


def test_an_address_where_nothing_answers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_med.jobs.dask._ANSWER", 0.5)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(EnvironmentProblem, match="No scheduler answers") as caught:
            DaskRunner(f"tcp://127.0.0.1:{closed.getsockname()[1]}", [], {})
    assert caught.value.exit_code == errors.EnvironmentProblem.exit_code
