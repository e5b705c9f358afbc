import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from keras_med.errors import DataError, EnvironmentProblem, RunFailed
from keras_med.jobs.job import FAILURE, Job, check
from keras_med.jobs.local import LocalRunner
from keras_med.jobs.loop import run_jobs

ACTIONS = "actions"


@pytest.fixture(autouse=True)
def actions_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setenv("PYTHONPATH", here)


def jobs_in(folder: Path, action: str, count: int = 1) -> list[Job]:
    return [Job(folder / f"job{number}", f"{ACTIONS}:{action}") for number in range(count)]


def test_each_job_runs_once_in_a_process_of_its_own(tmp_path: Path) -> None:
    jobs = jobs_in(tmp_path, "finish", 3)
    run_jobs(jobs, at_once=2)
    run_jobs(jobs, at_once=2)
    assert [(job.folder / "starts.txt").read_text() for job in jobs] == ["x"] * 3
    pids = {int((job.folder / "pid.txt").read_text()) for job in jobs}
    assert len(pids) == 3
    assert os.getpid() not in pids


def test_what_a_job_prints_goes_to_its_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (job,) = jobs_in(tmp_path, "finish")
    run_jobs([job])
    assert "told by job0" in (job.folder / "log.txt").read_text()
    assert capfd.readouterr().out == ""


def test_an_error_of_the_user_comes_back_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run_jobs(jobs_in(tmp_path, "refuse"))
    assert (caught.value.what, caught.value.where, caught.value.remedy) == ("What came.", "row 3", "Type this.")


def test_an_error_of_a_narrower_kind_keeps_its_exit_code(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="No GPU"):
        run_jobs(jobs_in(tmp_path, "refuse_more_narrowly"))


def test_a_fault_names_itself_and_its_log(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="ValueError: a fault") as caught:
        run_jobs(jobs_in(tmp_path, "crash"))
    assert "Traceback" in Path(caught.value.where).read_text()


def test_a_killed_process_is_told_and_harms_no_later_job(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="SIGKILL"):
        run_jobs(jobs_in(tmp_path / "a", "kill_itself"))
    run_jobs(jobs_in(tmp_path / "b", "finish"))


def test_a_failure_that_could_not_be_written_says_that_the_disk_is_full(tmp_path: Path) -> None:
    (job,) = jobs_in(tmp_path, "finish")
    job.folder.mkdir()
    (job.folder / FAILURE).touch()
    with pytest.raises(EnvironmentProblem, match="disk is full"):
        check(job, EnvironmentProblem.exit_code)


def test_the_first_failure_ends_the_others(tmp_path: Path) -> None:
    slow = Job(tmp_path / "slow", f"{ACTIONS}:wait")
    with pytest.raises(DataError):
        run_jobs([slow, *jobs_in(tmp_path, "refuse")], at_once=2)
    pid = int((slow.folder / "pid.txt").read_text()) if (slow.folder / "pid.txt").exists() else None
    assert pid is None or not alive(pid)


def test_the_watcher_sees_the_folders_that_run(tmp_path: Path) -> None:
    seen: list[set[str]] = []

    def watch(folders: Sequence[Path]) -> None:
        seen.append({folder.name for folder in folders})

    run_jobs(jobs_in(tmp_path, "finish", 2), watch=watch)
    assert {"job0"} in seen
    assert {"job1"} in seen


PARENT = """
    import sys
    from pathlib import Path
    from keras_med.jobs.job import FAILURE, Job, check
    from keras_med.jobs.loop import run_jobs
    if __name__ == "__main__":
        run_jobs([Job(Path(sys.argv[1]), "actions:wait")])
"""


def start_parent(tmp_path: Path) -> tuple[subprocess.Popen[bytes], Path, int]:
    """Run a program that waits for a job, and return it with the job's process."""
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(PARENT))
    folder = tmp_path / "job"
    parent = subprocess.Popen([sys.executable, script, folder], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "pid.txt").exists() or not (folder / "pid.txt").read_text():
        assert parent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return parent, folder, int((folder / "pid.txt").read_text())


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_for_end(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not alive(pid)


def test_a_job_dies_with_the_program_that_was_killed(tmp_path: Path) -> None:
    parent, _, pid = start_parent(tmp_path)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for_end(pid)


def test_ctrl_c_lets_a_job_write_its_last_checkpoint(tmp_path: Path) -> None:
    parent, folder, pid = start_parent(tmp_path)
    parent.send_signal(signal.SIGINT)
    parent.wait()
    assert wait_for_end(pid)
    assert (folder / "checkpoint.txt").read_text() == "written"


def test_a_process_that_waits_ahead_does_the_next_job_and_a_killed_one_is_replaced(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    runner = LocalRunner(ahead=True)
    (first,) = (process.pid for process in set(multiprocessing.active_children()) - before)
    jobs = jobs_in(tmp_path, "finish", 2)
    run_jobs(jobs[:1], runner=runner)
    assert (jobs[0].folder / "pid.txt").read_text() == str(first)
    (waiting,) = set(multiprocessing.active_children()) - before
    waiting.kill()
    waiting.join()
    run_jobs(jobs[1:], runner=runner)
    assert (jobs[1].folder / "starts.txt").read_text() == "x"
    runner.kill()
    assert set(multiprocessing.active_children()) <= before
