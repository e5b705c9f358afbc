"""A search killed again and again ends with the same search.csv as one that nobody disturbed, no fit trained twice.

    python benchmarks/soak/killed_search.py [--kills 10] [--seed 0] [--pictures 400]

A grid of three learning rates and two batch sizes with three folds, 18 fits: at once, and with `--resume` after SIGKILL
to the whole process group at random moments, drawn so that the kills spread over the search. Wanted: the same table,
seconds aside, and every fit that was finished at a kill left as it was, to the byte and to the moment of writing.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import spots

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from keras_med import runfolder
from keras_med.runfolder import RunFolder

FITS = 18


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=400)
    arguments = parser.parse_args()
    draw = np.random.default_rng(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spots.make(folder, arguments.pictures, epochs=12, rates=(1e-2, 1e-3, 1e-5))
        seconds = search_until_done(folder, "whole")
        whole = table(run_in(folder, "whole"))
        starts, struck, again = kill_again_and_again(folder, arguments.kills, seconds, draw)
        same = table(run_in(folder, "killed")).equals(whole)
    print(f"undisturbed: {len(whole)} trials, {seconds:.0f} s of search")
    print(f"fits done at each of {len(struck)} kills: {' '.join(map(str, struck))}; starts: {starts}")
    print(f"search.csv equal, seconds aside: {same}; finished fits that were trained again: {again}")
    reached = same and not again and len(struck) == arguments.kills
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


def start(folder: Path, runs: str, *arguments: str) -> "subprocess.Popen[bytes]":
    typed = [sys.executable, "-m", "keras_med.run", "spots.py", "--data", "data", "--out", runs, "--cache", "cache"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.Popen(
        [*typed, "--deterministic", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def run_in(folder: Path, runs: str) -> RunFolder:
    return runfolder.find_run(folder / runs, "spots", None)


def fits_of(folder: Path, runs: str) -> list[Path]:
    """Return the folders of the search's fits."""
    return sorted((folder / runs).glob("spots/*-????/fits/t00[1-6]-fold?"))


def wait(process: "subprocess.Popen[bytes]", folder: Path, runs: str, seconds: float, pattern: str) -> bool:
    """Wait for a file of the run, or for some seconds; tell whether it is there."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if list((folder / runs).glob(f"spots/*-????/{pattern}")):
            return True
        if process.poll() is not None:
            raise SystemExit(f"the run ended with {process.returncode}")
        time.sleep(0.02)
    return False


def kill(process: "subprocess.Popen[bytes]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def search_until_done(folder: Path, runs: str) -> float:
    """Let a search end, then end the run; return the seconds from its first fit on."""
    process = start(folder, runs)
    wait(process, folder, runs, 600, "fits/t001-fold0/settings.json")
    begun = time.monotonic()
    wait(process, folder, runs, 1200, "search.csv")
    kill(process)
    return time.monotonic() - begun


def kill_again_and_again(
    folder: Path, kills: int, seconds: float, draw: np.random.Generator
) -> tuple[int, list[int], int]:
    """Return how often the run was started, the fits done at each kill, and how many of those were changed later."""
    struck: list[int] = []
    before: dict[Path, int] = {}
    while True:
        process = start(folder, "killed", *(["--resume"] if struck else []))
        wait(process, folder, "killed", 600, "fits/t001-fold0/settings.json")
        known = progress(folder)
        while progress(folder) == known and process.poll() is None:  # past the imports: epochs are trained
            time.sleep(0.02)
        striking = len(struck) < kills
        longest = draw.uniform(0, 1.2 * seconds / (kills + 1)) if striking else 1200
        ended = wait(process, folder, "killed", longest, "search.csv")
        kill(process)
        done = {fit: (fit / "done.json").stat().st_mtime_ns for fit in fits_of(folder, "killed") if finished(fit)}
        again = sum(done.get(fit) != moment for fit, moment in before.items())
        before = done
        if ended or again:
            return len(struck) + 1, struck, again
        struck.append(len(done))


def progress(folder: Path) -> tuple[int, ...]:
    """Return the sizes of all histories, which grow with each epoch."""
    files = (fit / "history.csv" for fit in fits_of(folder, "killed"))
    return tuple(file.stat().st_size if file.is_file() else 0 for file in files)


def finished(fit: Path) -> bool:
    return (fit / "done.json").is_file()


def table(run: RunFolder) -> pd.DataFrame:
    return pd.read_csv(run.search).drop(columns="seconds")


if __name__ == "__main__":
    sys.exit(main())
