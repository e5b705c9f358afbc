"""What all commands share: their arguments, progress, errors as one to four lines, exit codes, Ctrl-C."""

import argparse
import errno
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from keras_med.errors import EnvironmentProblem, RecipeError, UserError

INTERRUPTED = 130
_TELL = 30.0  # seconds between two lines of progress where no bar can be drawn
_BACKENDS = ("tensorflow", "jax", "torch")


class Interrupted(Exception):
    """Ctrl-C was caught and everything is written; `command` continues where it stopped."""

    def __init__(self, command: str) -> None:
        super().__init__(command)
        self.command = command


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusals are as short as every other error."""

    def error(self, message: str) -> NoReturn:
        raise RecipeError(message[:1].upper() + message[1:], remedy=f"{self.prog} --help lists what can be typed.")


def parser(command: str, description: str) -> Parser:
    """Return the parser of `python -m keras_med.<command>`."""
    made = Parser(prog=f"python -m keras_med.{command}", description=description, allow_abbrev=False)
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return made


def add_recipe_arguments(made: argparse.ArgumentParser) -> None:
    """Add what every command with a RECIPE takes."""
    add = made.add_argument
    add("--data", type=Path, metavar="DIR", help="the data set as published; else $KERAS_MED_DATA/<recipe>")
    add("--weights", type=Path, metavar="DIR", help="folder with ImageNet weight files")
    add("--set", action="append", default=[], metavar="NAME=VALUE", dest="assignments", help="change one setting")
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where run folders are made (runs)")
    add("--cache", type=Path, metavar="DIR", help="for prepared data; else $KERAS_MED_CACHE, else the user's")
    add("--devices", default="auto", metavar="auto|cpu|cpu:N|gpu:N", help="auto: all GPUs, else the CPU")
    add("--on", metavar="ADDRESS", help="run the jobs on a Dask cluster, for example tcp://head:8786")
    add("--fits-at-once", type=count, metavar="N", help="fits that run side by side, one device each")


def add_run_arguments(made: argparse.ArgumentParser) -> None:
    """Add what a run alone takes."""
    made.add_argument("--resume", nargs="?", const="", metavar="RUN", help="continue the newest run, or the one named")
    for name, meaning in (
        ("plan", "say what the run would cost, and stop"),
        ("smoke", "the whole path once: a few examples, one epoch"),
        ("deterministic", "ask the backend for repeatable operations"),
        ("no-test", "leave the test split unscored"),
        ("json", "print the result as JSON"),
        ("help-settings", "list every setting with its value, its meaning and what it may be"),
    ):
        made.add_argument(f"--{name}", action="store_true", help=meaning)


def main(command: Callable[[argparse.Namespace], int], made: argparse.ArgumentParser) -> NoReturn:
    """Run a command and leave with its exit code; what a user caused is told without a traceback."""
    debug = "--debug" in sys.argv
    try:
        code = command(made.parse_args())
        sys.stdout.flush()
    except UserError as error:
        code = _tell(error, error.exit_code, debug)
    except Interrupted as error:
        say(f"\nInterrupted; what is finished is kept. Continue with:\n  {error.command}")
        code = INTERRUPTED
    except KeyboardInterrupt:
        say("\nInterrupted.")
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again when it exits
        code = 0
    except OSError as error:
        code = _tell(from_os_error(error), EnvironmentProblem.exit_code, debug)
    except Exception as error:
        what = f"{type(error).__name__}: {_first_line(str(error))}"
        fault = UserError(what, remedy="This is a fault of the program; --debug shows where.")
        code = _tell(fault, 1, debug)
    sys.exit(code)


def from_os_error(error: OSError) -> UserError:
    """Turn a refusal of the operating system into what to do about it."""
    where = str(error.filename or "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentProblem("The disk is full.", where=where, remedy="Free some space, then --resume.")
    if error.errno == errno.EFBIG:
        return EnvironmentProblem("A file may not grow that large here.", where=where, remedy="See ulimit -f.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        remedy = "Name places you may write to with --out and --cache."
        return EnvironmentProblem(f"No permission: {error.strerror}", where=where, remedy=remedy)
    return EnvironmentProblem(f"The system refused: {error.strerror or error}", where=where)


def check_backend() -> str:
    """Return the Keras backend that the environment asks for; refuse a misspelt one before Keras is imported."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in _BACKENDS:
        raise EnvironmentProblem(
            f"KERAS_BACKEND is {backend!r}; expected one of {', '.join(_BACKENDS)}.",
            remedy="export KERAS_BACKEND=tensorflow",
        )
    return backend


def say(line: str = "") -> None:
    """Write one line of progress or log to stderr."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def told_in(log: Path) -> Iterator[IO[str]]:
    """Copy what `say` writes to a log file while the block runs."""
    screen = sys.stderr
    with log.open("a", encoding="utf-8") as file:
        sys.stderr = _Both(screen, file)
        try:
            yield file
        finally:
            sys.stderr = screen


@contextmanager
def resumable(command: str) -> Iterator[None]:
    """Turn Ctrl-C into the command that goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(command) from None


def pace(done: int, total: int, seconds: float) -> str:
    """Say how fast so many of a total were done, and how long the others will take."""
    if done < 1 or seconds <= 0:
        return ""
    each = seconds / done
    speed = f"{1 / each:,.0f} a second" if each < 1 else f"{each:.1f} s each"
    return f"{speed}, {timedelta(seconds=round((total - done) * each))} left"


class Counter:
    """Progress of something that can be counted: a bar on a terminal; elsewhere and in the log a line now and then.

    Args:
        table: returns what rich is to draw above the bar; notes then go to the log alone.
    """

    def __init__(self, what: str, total: int, table: Callable[[], Any] | None = None) -> None:
        self._both = sys.stderr if isinstance(sys.stderr, _Both) else None
        self._bar = _bar(self._both.screen if self._both else sys.stderr, table, redirected=self._both is None)
        self._task = self._bar.add_task(what, total=total, pace="")
        self._what, self._total, self._table = what, total, table
        self._first: int | None = None  # what was done already when this began
        self._begun = self._told = time.monotonic()

    def __enter__(self) -> "Counter":
        self._bar.start()
        if self._both and not self._bar.disable:  # what is said meanwhile goes above the bar, and to the log as ever
            from rich.file_proxy import FileProxy

            self._screen = self._both.screen
            self._both.screen = cast(IO[str], FileProxy(self._bar.console, self._screen))
        return self

    def __exit__(self, *_: object) -> None:
        if self._both and not self._bar.disable:
            self._both.screen = self._screen
        self._bar.stop()

    def reach(self, done: int) -> None:
        """Show that so many are done, how fast it goes and what time is left."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._begun = done, now
        told = pace(done - self._first, self._total - self._first, now - self._begun)
        self._bar.update(self._task, completed=done, pace=told)
        if told and now - self._told >= _TELL:
            self._told = now
            self._log(f"{self._what}: {done:,} of {self._total:,}, {told}")

    def note(self, line: str) -> None:
        """Write a line above the bar, or to the log alone where a table shows what it says."""
        say(line) if self._table is None else self._log(line)

    def _log(self, line: str) -> None:
        """Write a line where there is no bar."""
        if self._bar.disable:
            say(line)
        elif self._both:
            self._both.file.write(line + "\n")


def _bar(screen: IO[str], table: Callable[[], Any] | None, *, redirected: bool) -> Any:
    """Return rich's bar, under a table if there is one, which does nothing where there is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    class Bar(Progress):
        def get_renderables(self) -> Iterator[Any]:
            yield from [table()] if table is not None else []
            yield from super().get_renderables()

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(file=screen)
    return Bar(
        *columns,
        TextColumn("{task.fields[pace]}"),
        console=console,
        transient=True,
        redirect_stderr=redirected,
        disable=not console.is_terminal,
    )


class _Both:
    """A stream that writes to the screen and to a file."""

    def __init__(self, screen: IO[str], file: IO[str]) -> None:
        self.screen = screen
        self.file = file

    def write(self, text: str) -> int:
        self.file.write(text)
        self.file.flush()
        return self.screen.write(text)

    def flush(self) -> None:
        self.screen.flush()

    def isatty(self) -> bool:
        return self.screen.isatty()

    def fileno(self) -> int:
        return self.screen.fileno()

    def close(self) -> None:
        """Leave both open: absl, which TensorFlow brings, closes at the end what was stderr when it was imported."""


def _tell(error: UserError, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    say("\n".join(line for line in str(error).splitlines() if line.strip()))
    return code


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0][:300]


def count(text: str) -> int:
    """Return a number of things on the command line."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number
