"""Who may work in a folder: one at a time, and the next as soon as the one before is gone."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from keras_med.jobs import leases
from keras_med.jobs.leases import LEASE, STOP, Holder, held, holder

HERE = socket.gethostname()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "_WAITED", 0.01)
    monkeypatch.setattr(leases, "_TOUCHED", 0.05)


def never() -> bool:
    return False


def leave(folder: Path, holder: Holder, *, seconds_ago: float = 0) -> None:
    """Write a lease that was touched some time ago by the clock of the file system."""
    (folder / LEASE).write_text(json.dumps(asdict(holder)))
    moment = (folder / LEASE).stat().st_mtime - seconds_ago
    os.utime(folder / LEASE, (moment, moment))


def gone_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def living(host: str = HERE) -> Holder:
    return Holder("theirs", host, os.getpid(), leases._started(os.getpid()))


def taken_within(folder: Path, seconds: float) -> bool:
    """Tell whether someone who wants the folder gets it in so many seconds; he gives up after that."""
    deadline = time.monotonic() + seconds
    with held(folder, until=lambda: time.monotonic() > deadline) as mine:
        return mine


def test_a_lease_is_there_inside_the_block_and_gone_after_it(tmp_path: Path) -> None:
    with held(tmp_path, until=never) as mine:
        found = holder(tmp_path)
        assert mine
        assert found is not None
        assert (found.host, found.process) == (HERE, os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_all_who_find_a_dead_holder_s_lease_work_one_after_the_other(tmp_path: Path) -> None:
    leave(tmp_path, Holder("dead", HERE, gone_process(), "then"))
    inside, most, turns = 0, 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most, turns
        with held(tmp_path, until=never):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.005)
            with lock:
                inside -= 1
                turns += 1

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert (most, turns) == (1, 4)


def test_who_waited_for_a_job_that_is_done_does_not_do_it_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(tmp_path, living())
    asked = iter([False, False, True])
    with held(tmp_path, until=lambda: next(asked)) as mine:
        assert not mine
    assert capsys.readouterr().out.count(f"process {os.getpid()} on {HERE} works on this") == 1
    assert holder(tmp_path) == living()


def test_who_gets_the_lease_of_a_job_that_was_done_in_between_does_not_do_it_again(tmp_path: Path) -> None:
    with held(tmp_path, until=lambda: True) as mine:
        assert not mine
    assert not (tmp_path / LEASE).exists()


def test_a_living_process_of_this_machine_keeps_its_lease_however_long_it_was_silent(tmp_path: Path) -> None:
    leave(tmp_path, living(), seconds_ago=1e6)
    assert not taken_within(tmp_path, 0.2)
    assert holder(tmp_path) == living()


def test_a_process_number_that_another_process_has_by_now_holds_nothing(tmp_path: Path) -> None:
    leave(tmp_path, Holder("before", HERE, os.getpid(), "another boot 17"))
    assert taken_within(tmp_path, 10)


def test_another_machine_s_lease_is_free_once_its_signs_of_life_have_stopped(tmp_path: Path) -> None:
    there = Holder("there", "another-machine", 1, "then")
    leave(tmp_path, there, seconds_ago=leases._STALE - 5)
    assert not taken_within(tmp_path, 0.2)
    leave(tmp_path, there, seconds_ago=leases._STALE + 1)
    assert taken_within(tmp_path, 10)


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_a_machine_whose_clock_is_wrong_takes_no_lease_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    leave(tmp_path, Holder("there", "another-machine", 1, "then"), seconds_ago=1)
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + ahead)
    assert not taken_within(tmp_path, 0.2)


def test_a_lease_that_was_cut_short_while_it_was_written_is_free_after_a_while(tmp_path: Path) -> None:
    (tmp_path / LEASE).write_text('{"token": "ab')
    assert not taken_within(tmp_path, 0.1)
    moment = (tmp_path / LEASE).stat().st_mtime - leases._STALE - 1
    os.utime(tmp_path / LEASE, (moment, moment))
    assert taken_within(tmp_path, 10)


def test_a_holder_shows_that_it_lives(tmp_path: Path) -> None:
    with held(tmp_path, until=never):
        os.utime(tmp_path / LEASE, (0, 0))
        deadline = time.monotonic() + 10
        while (tmp_path / LEASE).stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_next_holder_s_lease_is_given_back_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a look at a dead holder's lease and its renaming, another one may have taken the folder."""
    leave(tmp_path, living())
    dead = Holder("dead", HERE, gone_process(), "then")
    monkeypatch.setattr(leases, "holder", lambda folder: dead)
    leases._clear_if_stale(tmp_path)
    assert leases._read(tmp_path / LEASE) == living()
    assert [file.name for file in tmp_path.iterdir()] == [LEASE]


def test_a_file_asks_the_holder_to_leave(tmp_path: Path) -> None:
    def work() -> None:
        with held(tmp_path, until=never):
            (tmp_path / STOP).touch()
            time.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert not (tmp_path / LEASE).exists()


HOLDING = """
import sys, time
from pathlib import Path
from keras_med.jobs import leases
leases._TOUCHED = 0.05
with leases.held(Path(sys.argv[1]), until=lambda: False):
    time.sleep(60)
"""


def test_a_holder_whose_lease_was_taken_over_ends_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDING, str(tmp_path)])
    deadline = time.monotonic() + 60
    while holder(tmp_path) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    leave(tmp_path, living())
    assert process.wait(60) == -signal.SIGKILL
    assert holder(tmp_path) == living()
