"""What the jobs of the tests do; imported by name in their processes."""

import os
import signal
import time
from pathlib import Path

from keras_med.errors import DataError, EnvironmentProblem


def finish(folder: Path) -> None:
    with (folder / "starts.txt").open("a") as file:
        file.write("x")
    print("told by", folder.name)
    (folder / "pid.txt").write_text(str(os.getpid()))
    (folder / "done.json").write_text("{}")


def refuse(folder: Path) -> None:
    raise DataError("What came.", where="row 3", remedy="Type this.")


class GpuAbsent(EnvironmentProblem):
    pass


def refuse_more_narrowly(folder: Path) -> None:
    raise GpuAbsent("No GPU.")


def crash(folder: Path) -> None:
    raise ValueError("a fault")


def kill_itself(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait(folder: Path) -> None:
    (folder / "pid.txt").write_text(str(os.getpid()))
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        (folder / "checkpoint.txt").write_text("written")
        raise


def wait_once(folder: Path) -> None:
    """Wait at the first attempt until the test says go, and finish at once at every other."""
    with (folder / "starts.txt").open("a") as file:
        file.write("x")
    (folder / "pid.txt").write_text(str(os.getpid()))
    while not (folder / "go").exists():
        time.sleep(0.05)
    time.sleep(1)
    (folder / "done.json").write_text("{}")
