"""What a cluster of processes on this machine costs: the time between jobs, and the memory of the program that waits.

    python benchmarks/cluster.py [--jobs 80] [--slices 1024] [--files 100000]

Jobs that sleep a second, so that few processor cores do not matter, are run by 1, 2 and 4 workers: wanted is less than
5 % more time than the jobs themselves. The time from a job's end to the next one's start at the same place is told as
median and lowest tenth, which other work on the machine disturbs less. As many workers then convert head CT slices, for
the README's model. At last tiny pictures are converted in shards on 4 workers, and empty jobs are scheduled; wanted:
the waiting program grows by less than 200 MiB, and would by 100,000 of those jobs too.
"""

import argparse
import gc
import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import rsna_like
from local_cluster import LocalCluster

from keras_med.data.prepare import manifest_hash, prepare
from keras_med.jobs import loop
from keras_med.jobs.dask import DaskRunner
from keras_med.jobs.job import Job
from keras_med.recipe.words import Image

HERE = Path(__file__).resolve().parent
MODULES = ["keras_med.data.shards"]
OVERHEAD, GROWTH = 0.05, 200.0  # share of the time; MiB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=80)
    parser.add_argument("--slices", type=int, default=1024)
    parser.add_argument("--files", type=int, default=100_000)
    arguments = parser.parse_args()
    reached, lines = [], ["workers slices  took s  processor ms a slice; of a shard: client, scheduler, worker idle"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slices = linked_slices(folder / "slices", arguments.slices)
        print("workers  jobs  ideal s   took s  overhead  between: median, tenth ms", flush=True)
        for workers in (1, 2, 4):
            with cluster(folder / f"cluster{workers}", workers) as (runner, processes):
                count = arguments.jobs * workers // 4
                reached.append(sleepers(folder / f"jobs{workers}", count, workers, runner))
                lines.append(scaled(slices, folder / f"cache{workers}", workers, runner, processes))
        print("\n".join(lines), flush=True)
        if arguments.files:
            with cluster(folder / "cluster", 4) as (runner, _):
                reached.append(convert(folder, arguments.files, runner))
                reached.append(empty(folder / "empty", arguments.files // 50, runner))
    print("reached" if all(reached) else "MISSED")
    return 0 if all(reached) else 1


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[DaskRunner, list[int]]]:
    """Start a cluster and let every worker start its warm process; yields the cluster's processes too."""
    folder.mkdir()
    with LocalCluster(folder, [HERE]) as made:
        made.start(workers)
        runner = DaskRunner(made.address, MODULES, {"OPENBLAS_NUM_THREADS": "1"}, say=lambda _: None)
        while runner.places < workers:
            time.sleep(0.1)
        loop.run_jobs(jobs_in(folder / "warm", "one_second", 2 * workers), runner=runner)
        yield runner, [process.pid for process in [*made.workers, *([made.scheduler] if made.scheduler else [])]]
        runner.kill()
        runner.client.close(timeout=2)


def sleepers(folder: Path, count: int, workers: int, runner: DaskRunner) -> bool:
    """Run jobs of a second; print and judge how much longer they took together than they slept."""
    jobs, begun = jobs_in(folder, "one_second", count), time.monotonic()
    loop.run_jobs(jobs, runner=runner)
    took = time.monotonic() - begun
    ideal, between = count / workers, gaps(jobs)
    print(
        f"{workers:7d} {count:5d} {ideal:8.1f} {took:8.2f} {took / ideal - 1:9.1%} "
        f"{1000 * np.median(between):11.0f} {1000 * np.quantile(between, 0.1):7.0f}",
        flush=True,
    )
    return took / ideal - 1 < OVERHEAD


def gaps(jobs: list[Job]) -> list[float]:
    """Return the seconds from each job's end to the start of the next at its place."""
    times = sorted(json.loads((job.folder / "times.json").read_text()) for job in jobs)
    return [after[1] - before[2] for before, after in itertools.pairwise(times) if before[0] == after[0]]


def processor_seconds(processes: list[int]) -> float:
    """Return what some processes have used, with all that they have started."""
    roots = [psutil.Process(process) for process in processes]
    found = {one.pid: one for root in roots for one in [root, *root.children(recursive=True)]}
    return sum(sum(one.cpu_times()[:4]) for one in found.values() if one.is_running())


def scaled(slices: pd.DataFrame, cache: Path, workers: int, runner: DaskRunner, processes: list[int]) -> str:
    """Convert head CT slices on so many workers; return the time, and who used which processor time for it.

    What client, scheduler and workers use to say that they live is measured before, and taken off.
    """
    *of_workers, of_scheduler = processes

    def used() -> np.ndarray:
        return np.array([time.process_time(), processor_seconds([of_scheduler]), processor_seconds(of_workers)])

    idle = used()
    time.sleep(3)
    idle = (used() - idle) / 3
    loop.use(lambda: runner)
    before, begun = used(), time.monotonic()
    shards = len(prepare(slices, Image(size=(512, 512), values=[(40, 80)]), cache).shards)
    took = time.monotonic() - begun
    client, scheduler, converting = 1000 * (used() - before - idle * took)
    return (
        f"{workers:7d} {len(slices):6d} {took:7.1f} {converting / len(slices):21.2f} {client / shards:21.1f} "
        f"{scheduler / shards:9.1f}   {1000 * idle[2] / workers:.0f} ms a second"
    )


def linked_slices(folder: Path, count: int) -> pd.DataFrame:
    """Write a few slices and give each many names."""
    folder.mkdir()
    written, rows = rsna_like.write(folder, 32), []
    for number in range(count):
        path = folder / f"slice{number:06d}.dcm"
        path.hardlink_to(written[number % len(written)])
        rows.append({"id": path.stem, "path": str(path)})
    return pd.DataFrame(rows)


def convert(folder: Path, files: int, runner: DaskRunner) -> bool:
    """Convert tiny pictures in shards on the cluster; print and judge the growth of this program's memory."""
    table = tiny_pictures(folder / "files", files)
    loop.use(lambda: runner)
    with grown() as most:
        begun = time.monotonic()
        made = prepare(table, Image(size=(16, 16)), folder / "cache")
        took = time.monotonic() - begun
    print(f"{files} files in {len(made.shards)} shards: {took:.0f} s, the client grew by {most[0]:.0f} MiB at most")
    print(f"  manifest {manifest_hash(made)[:16]}, {len(made.table)} read", flush=True)
    return most[0] < GROWTH


def empty(folder: Path, count: int, runner: DaskRunner) -> bool:
    """Schedule jobs that do nothing; print and judge what 100,000 of them would add to memory, the first ones aside."""
    loop.run_jobs(jobs_in(folder / "first", "nothing", count // 4), runner=runner)
    gc.collect()
    before, begun = own_memory(), time.monotonic()
    loop.run_jobs(jobs_in(folder / "more", "nothing", count), runner=runner)
    took = time.monotonic() - begun
    gc.collect()
    growth = 100_000 / count * (own_memory() - before)
    print(f"{count} empty jobs: {1000 * took / count:.1f} ms each; 100,000 would add {growth:.0f} MiB to the client")
    return growth < GROWTH


def jobs_in(folder: Path, action: str, count: int) -> list[Job]:
    return [Job(folder / f"job{number:06d}", f"cluster_actions:{action}") for number in range(count)]


def tiny_pictures(folder: Path, count: int) -> pd.DataFrame:
    draw, rows = np.random.default_rng(0), []
    for number in range(count):
        if number % 1000 == 0:
            (folder / f"{number // 1000:04d}").mkdir(parents=True)
        path = folder / f"{number // 1000:04d}" / f"{number:06d}.png"
        path.write_bytes(cv2.imencode(".png", draw.integers(0, 256, (16, 16), dtype=np.uint8))[1].tobytes())
        rows.append({"id": path.stem, "path": str(path)})
    return pd.DataFrame(rows)


@contextmanager
def grown() -> Iterator[list[float]]:
    """Watch this process's own memory, mapped files aside; what is yielded holds its largest growth in MiB."""
    before, most, ended = own_memory(), [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            most[0] = max(most[0], own_memory() - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


def own_memory() -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return sum(int(lines[name].split()[0]) for name in ("RssAnon", "RssShmem")) / 1024


if __name__ == "__main__":
    sys.exit(main())
