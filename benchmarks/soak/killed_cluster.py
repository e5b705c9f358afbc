"""A search and a conversion on a cluster that loses workers and its scheduler end as on one undisturbed machine.

    python benchmarks/soak/killed_cluster.py [--trials 12] [--epochs 20] [--pictures 400] [--files 5000]

A grid of learning rates and two batch sizes with three folds, first in processes of this machine, then on a Dask
cluster of a scheduler and four workers, all processes. Two workers are killed by SIGKILL after a sixth and a third of
the fits, and the scheduler with all workers after half of them. Wanted: the same search.csv, seconds aside, the same
prepared images, and every fit that was finished at one of these moments left as it was. Then a conversion of tiny
files, here and on the cluster, with another worker killed on the way; wanted: the same manifest.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import spots

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from local_cluster import LocalCluster

from keras_med import runfolder
from keras_med.data.prepare import manifest_hash, prepare
from keras_med.jobs import loop
from keras_med.jobs.dask import DaskRunner
from keras_med.jobs.local import LocalRunner, warm_up
from keras_med.recipe.words import Image
from keras_med.runfolder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
FOLDS = 3
MODULES = ["keras_med.data.shards"]


@dataclass
class Trouble:
    """What befalls the cluster once so many fits are done and so many are being trained."""

    what: str
    done: int
    running: int
    strike: Callable[[], None]


@dataclass
class Search:
    """A run that searches, seen from outside."""

    folder: Path
    runs: str
    more: Sequence[str] = ()
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def run(self) -> RunFolder:
        return runfolder.find_run(self.folder / self.runs, "spots", None)

    def fits(self, holding: str) -> list[Path]:
        """Return the folders of the search's fits that hold a file."""
        found = (self.folder / self.runs).glob(f"spots/*-????/fits/t0??-fold?/{holding}")
        return sorted(file.parent for file in found)

    def until_done(self, troubles: Sequence[Trouble] = ()) -> tuple[float, dict[Path, int]]:
        """Run until search.csv stands; return the seconds, and when each fit was done that a trouble found finished."""
        begun, finished, waiting = time.monotonic(), dict[Path, int](), list(troubles)
        self.start()
        while not list((self.folder / self.runs).glob("spots/*-????/search.csv")):
            if self.process is None or self.process.poll() is not None:
                raise SystemExit((self.folder / f"{self.runs}.log").read_text()[-3000:])
            done = self.fits("done.json")
            busy = [fit for fit in self.fits("lease.json") if fit not in done]
            if waiting and len(done) >= waiting[0].done and len(busy) >= waiting[0].running:
                trouble = waiting.pop(0)
                finished |= {fit: (fit / "done.json").stat().st_mtime_ns for fit in done}
                trouble.strike()
                print(f"  {trouble.what} with {len(done)} fits done and {len(busy)} being trained", flush=True)
            time.sleep(0.02)
        if waiting:
            raise SystemExit("the search ended before all troubles struck; give it more --epochs")
        os.killpg(self.process.pid, signal.SIGKILL)  # the rest of the run is no part of this
        self.process.wait()
        return time.monotonic() - begun, finished

    def start(self) -> None:
        typed = [sys.executable, "-m", "keras_med.run", "spots.py", "--data", "data", "--deterministic"]
        typed += ["--out", self.runs, "--cache", f"cache-{self.runs}", *self.more]
        with (self.folder / f"{self.runs}.log").open("ab") as log:
            self.process = subprocess.Popen(
                typed,
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=12, help="an even number")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--unreplaced", action="store_true", help="two workers stay away")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, LocalCluster(Path(name)) as cluster:
        folder = Path(name)
        write_data(folder, arguments)
        cluster.start(arguments.workers)
        reached = searched(folder, cluster, arguments)
        if arguments.files:
            reached = converted(folder, cluster, arguments.files) and reached
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


def searched(folder: Path, cluster: LocalCluster, arguments: argparse.Namespace) -> bool:
    """Search here and on the cluster; print and judge whether both are the same."""
    local = Search(folder, "local", ["--fits-at-once", "2"])
    seconds, _ = local.until_done()
    whole = table(local.run)
    print(f"on this machine: {len(whole)} trials, {FOLDS * len(whole)} fits, {seconds:.0f} s", flush=True)

    def kill_worker() -> None:
        cluster.kill_worker()
        if not arguments.unreplaced:
            cluster.start_worker()

    fits = FOLDS * arguments.trials
    busy = arguments.workers - (2 if arguments.unreplaced else 0)
    troubles = [
        Trouble("a worker is killed", fits // 6, 1, kill_worker),
        Trouble("a worker is killed", fits // 3, 1, kill_worker),
        Trouble("the scheduler is killed", fits // 2, busy, cluster.restart_scheduler),
    ]
    remote = Search(folder, "remote", ["--on", cluster.address])
    seconds, finished = remote.until_done(troubles)
    again = sum((fit / "done.json").stat().st_mtime_ns != moment for fit, moment in finished.items())
    same, prepared = table(remote.run).equals(whole), hashes(remote.run).equals(hashes(local.run))
    print(f"on the cluster: {seconds:.0f} s; finished fits that were trained again: {again} of {len(finished)}")
    print(f"search.csv equal, seconds aside: {same}; prepared images equal: {prepared}", flush=True)
    return same and prepared and not again


def converted(folder: Path, cluster: LocalCluster, count: int) -> bool:
    """Convert here and on the cluster, which loses a worker; print and judge whether both are the same."""
    files = tiny_files(folder / "tiny", count)
    warm_up(MODULES, {"OPENBLAS_NUM_THREADS": "1"})
    loop.use(LocalRunner)
    whole = manifest_hash(prepare(files, Image(size=(16, 16)), folder / "tiny-local", at_once=2))
    runner = DaskRunner(cluster.address, MODULES, {"OPENBLAS_NUM_THREADS": "1"}, say=print)
    loop.use(lambda: runner)
    killed: list[int] = []

    def kill(done: int) -> None:
        if done and not killed:
            killed.append(done)
            cluster.kill_worker()
            cluster.start_worker()

    made = prepare(files, Image(size=(16, 16)), folder / "tiny-remote", reached=kill)
    same = manifest_hash(made) == whole
    runner.client.close(timeout=2)
    print(f"{count} files in {len(made.shards)} shards, a worker killed after {killed} rows: manifests equal: {same}")
    return same and bool(killed)


def table(run: RunFolder) -> pd.DataFrame:
    return pd.read_csv(run.search).drop(columns="seconds")


def hashes(run: RunFolder) -> pd.DataFrame:
    return pd.read_csv(run.index, usecols=["id", "pixel_hash", "mean", "deviation"])


def write_data(folder: Path, arguments: argparse.Namespace) -> None:
    """Write the pictures, their labels and the recipe."""
    rates = [
        float(f"{10 ** -(2 + 2 * step / max(1, arguments.trials // 2 - 1)):.2g}")
        for step in range(arguments.trials // 2)
    ]
    spots.make(folder, arguments.pictures, epochs=arguments.epochs, rates=rates)


def tiny_files(folder: Path, count: int) -> pd.DataFrame:
    draw, rows = np.random.default_rng(1), []
    folder.mkdir()
    for number in range(count):
        path = folder / f"{number:05d}.png"
        path.write_bytes(cv2.imencode(".png", draw.integers(0, 256, (16, 16), dtype=np.uint8))[1].tobytes())
        rows.append({"id": path.stem, "path": str(path)})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    sys.exit(main())
