"""What the jobs of benchmarks/cluster.py do; imported by name beside the workers."""

import time
from pathlib import Path


def one_second(folder: Path) -> None:
    time.sleep(1)
    nothing(folder)


def nothing(folder: Path) -> None:
    (folder / "done.json").write_text("{}")
