"""A search run by the real command until search.csv is written, looked at twice a second, for the benchmarks."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Moment:
    """What the program had used by then.

    clock: seconds.
    processor: seconds of its own and of all its processes.
    memory: MiB of its own pages, without those of files and shared libraries.
    fits: how many were finished.
    """

    clock: float
    processor: float
    memory: float
    fits: int


def run(folder: Path, recipe: str, *arguments: str) -> list[Moment]:
    """Run `recipe` in `folder`; return its moments from the first fit's begin on, after the one of its start."""
    typed = [sys.executable, "-m", "keras_med.run", recipe, "--cache", "cache", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    runs = f"runs/{Path(recipe).stem}/*-????"
    with (folder / "screen.txt").open("w") as screen:
        process = subprocess.Popen(typed, cwd=folder, env=environment, stdout=screen, stderr=screen)
        seen = [Moment(time.monotonic(), 0.0, 0.0, 0)]
        while not list(folder.glob(f"{runs}/search.csv")):
            if process.poll() is not None:
                raise SystemExit((folder / "screen.txt").read_text()[-2000:])
            if len(seen) > 1 or list(folder.glob(f"{runs}/fits/t001-*/settings.json")):
                seen.append(_moment(process.pid, len(list(folder.glob(f"{runs}/fits/t*/done.json")))))
            time.sleep(0.5 if len(seen) > 1 else 0.02)
        seen.append(_moment(process.pid, seen[-1].fits))
        process.terminate()
        process.wait()
    return seen


def _moment(process: int, fits: int) -> Moment:
    spent = sum(_spent(one) for one in _family(process))
    return Moment(time.monotonic(), spent, _own_memory(process), fits)


def _family(process: int) -> list[int]:
    """Return a process and all its descendants; the time of what has ended is in that of who waited for it."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [process, *(one for child in children for one in _family(int(child)))]


def _spent(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _own_memory(process: int) -> float:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    sizes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines) if "Rss" in name}
    return (sizes["RssAnon"] + sizes["RssShmem"]) / 1024
