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
