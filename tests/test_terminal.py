import argparse
import errno
import io
import sys
from pathlib import Path

import pytest

from keras_med import terminal
from keras_med.errors import DataError, EnvironmentProblem, RecipeError


def leave(command: object, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    """Run a command as `main` does and return its exit code and what it wrote to stderr."""
    made = terminal.parser("test", "A test.")
    old, sys.argv = sys.argv, ["test", *arguments]
    try:
        with pytest.raises(SystemExit) as caught:
            terminal.main(command, made)  # type: ignore[arg-type]
    finally:
        sys.argv = old
    return int(caught.value.code or 0), capsys.readouterr().err.splitlines()


def raising(error: BaseException) -> object:
    def command(arguments: argparse.Namespace) -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "first"),
    [
        (RecipeError("What.", where="Where.", remedy="Type."), 2, "What."),
        (DataError("What."), 3, "What."),
        (EnvironmentProblem("What."), 4, "What."),
        (OSError(errno.ENOSPC, "No space left on device", "/a/b"), 4, "The disk is full."),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), 4, "No permission: Permission denied"),
        (KeyboardInterrupt(), 130, ""),
        (ValueError("a fault\nin two lines"), 1, "ValueError: a fault"),
    ],
)
def test_each_kind_of_error_has_its_exit_code_and_at_most_four_lines(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, first: str
) -> None:
    found, lines = leave(raising(error), capsys)
    assert found == code
    assert lines[0] == first
    assert len(lines) <= 4


def test_an_interrupted_run_prints_the_command_that_continues(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = leave(raising(terminal.Interrupted("python -m keras_med.run x.py --resume")), capsys)
    assert code == 130
    assert lines[-1].strip() == "python -m keras_med.run x.py --resume"


def test_the_traceback_is_shown_with_debug_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert not any("Traceback" in line for line in leave(raising(DataError("What.")), capsys)[1])
    assert any("Traceback" in line for line in leave(raising(DataError("What.")), capsys, "--debug")[1])


def test_a_counter_off_a_terminal_writes_its_notes_as_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with terminal.Counter("reading", 10) as counter:
        counter.reach(5)
        counter.note("epoch 1")
    assert screen.getvalue() == "epoch 1\n"


def test_progress_is_told_with_rate_and_time_left() -> None:
    assert terminal.pace(2000, 752_000, 2.0) == "1,000 a second, 0:12:30 left"
    assert terminal.pace(3, 5, 30.0) == "10.0 s each, 0:00:20 left"
    assert terminal.pace(0, 5, 30.0) == ""


def test_a_long_count_off_a_terminal_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, screen = [0.0], io.StringIO()
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(sys, "stderr", screen)
    with terminal.Counter("reading", 110) as counter:
        for seconds, done in ((0.0, 10), (20.0, 30), (40.0, 50), (60.0, 70), (80.0, 90)):
            clock[0] = seconds
            counter.reach(done)  # the first 10 were done by an earlier program: the rate is 1 a second
    assert screen.getvalue().splitlines() == [
        "reading: 50 of 110, 1.0 s each, 0:01:00 left",
        "reading: 90 of 110, 1.0 s each, 0:00:20 left",
    ]


class Screen(io.StringIO):
    """A terminal that remembers."""

    def isatty(self) -> bool:
        return True


def test_what_is_said_beside_a_bar_stands_above_it_and_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with terminal.told_in(tmp_path / "run.log"), terminal.Counter("search", 2, lambda: "THE TABLE") as counter:
        terminal.say("a trial failed")
        counter.note("epoch 1")
    shown = screen.getvalue()
    assert "a trial failed" in shown
    assert "THE TABLE" in shown
    assert "epoch 1" not in shown  # the table says it
    assert (tmp_path / "run.log").read_text() == "a trial failed\nepoch 1\n"


def test_what_is_said_also_goes_to_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.told_in(tmp_path / "run.log"):
        terminal.say("one line")
    terminal.say("another")
    assert (tmp_path / "run.log").read_text() == "one line\n"
    assert capsys.readouterr().err == "one line\nanother\n"
