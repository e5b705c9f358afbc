"""What the jobs of benchmarks/cluster.py do; imported by name beside the workers."""

import json
import os
import time
from pathlib import Path


def one_second(folder: Path) -> None:
    """Sleep, and leave when that began and ended, and the warm process that this one was forked from."""
    begun = time.time()
    time.sleep(1)
    (folder / "times.json").write_text(json.dumps([os.getppid(), begun, time.time()]))
    nothing(folder)


def nothing(folder: Path) -> None:
    (folder / "done.json").write_text("{}")
