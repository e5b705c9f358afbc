"""A 12 GB stack is indexed, prepared, split and iterated in less than 1 GiB.

    python benchmarks/large_stack.py [--gigabytes 12] [--shape 512 512] [--size 180 180]

The `.npy` file is sparse, so it takes no room on the disk, but every byte of it is read: once for hashes and
statistics, and once by tf.data in training order. Memory is RssAnon + RssShmem: of this process above what the
imported framework takes, and of the largest process that `prepare` started.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd

from keras_med.data import tables
from keras_med.data.prepare import prepare
from keras_med.data.splits import make_splits
from keras_med.jobs.local import warm_up
from keras_med.recipe.words import Holdout, Image

GIB = 1024**3


class Watch(threading.Thread):
    """The most memory that this process and each of its descendants take, looked at ten times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.own = self.child = 0
        self.start()

    def run(self) -> None:
        while True:
            self.own = max(self.own, memory(os.getpid()))
            self.child = max([self.child, *map(memory, descendants())])
            time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=12)
    parser.add_argument("--shape", type=int, nargs="+", default=[512, 512], help="of one row, in int16")
    parser.add_argument("--size", type=int, nargs="+", default=[180, 180], help="of the network's input")
    arguments = parser.parse_args()
    warm_up(["keras_med.data.prepare"], {"OPENBLAS_NUM_THREADS": "1"})
    image = Image(size=tuple(arguments.size), values=(-1024, 3071))
    import tensorflow as tf  # here, because every process that is started imports this file

    list(tf.data.Dataset.range(2))  # the runtime itself takes memory on its first use
    before = memory(os.getpid())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stack.npy"
        rows = sparse_stack(path, int(arguments.gigabytes * 1e9), arguments.shape)
        told = path.stat()
        print(f"{told.st_size / 1e9:.1f} GB in {rows} rows, {told.st_blocks * 512 / 1e6:.1f} MB on the disk")
        watch = Watch()
        with Timed("indexed", 0, rows):
            table = tables.stack(path, label=0).assign(label=np.arange(rows) % 2)
        with Timed("prepared", told.st_size, rows):
            made = prepare(table, image, Path(folder) / "cache", at_once=os.cpu_count() or 1).table
        with Timed("split", 0, rows):
            splits = make_splits(made.assign(group=made["id"]), Holdout(), None, kind="binary", seed=0)
        with Timed("iterated", told.st_size, rows):
            seen = iterate(made, splits, image)
    most = (watch.own - before) / GIB
    print(f"rows seen by tf.data: {seen} of {rows}")
    print(f"memory above the framework's {before / GIB:.2f} GiB: {most:.2f} GiB")
    print(f"largest process of prepare: {watch.child / GIB:.2f} GiB")
    reached = most < 1 and watch.child < GIB and seen > rows - 32  # the rows that fill no batch of training are skipped
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


def sparse_stack(path: Path, size: int, shape: list[int]) -> int:
    """Make a .npy file of about this size that holds zeros, but for a little of each 100th row."""
    kind = np.dtype(np.int16)
    row = int(np.prod(shape)) * kind.itemsize
    count = size // row
    header = {"descr": kind.str, "fortran_order": False, "shape": (count, *shape)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        begin = file.tell()
        for number in range(0, count, 100):
            file.seek(begin + number * row)
            file.write(np.full(64, number, kind).tobytes())
        file.truncate(begin + count * row)
    return count


def iterate(table: pd.DataFrame, splits: pd.DataFrame, image: Image) -> int:
    """Go through the training side in a shuffled order and the others in theirs, as a fit does."""
    from keras_med.data import pipeline
    from keras_med.training.examples import image_rows

    places = table["id"].map(splits.set_index("id")["split"])
    seen = 0
    for place in ("train", "validation", "test"):
        chosen = table[places == place]
        rows = image_rows(chosen, image, np.zeros((len(chosen), 1), np.float32))
        batches = pipeline.training(rows, 32, range(1), 0) if place == "train" else pipeline.in_order(rows, 32)
        seen += sum(int(inputs.shape[0]) for inputs, _ in batches)
    return seen


class Timed:
    """Print how long a step took, and how much it read a second."""

    def __init__(self, what: str, size: int, rows: int) -> None:
        self.what, self.size, self.rows = what, size, rows

    def __enter__(self) -> None:
        self.begun = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        seconds = time.perf_counter() - self.begun
        read = f"{self.size / seconds / 1e9:6.2f} GB/s" if self.size else ""
        print(f"{self.what:10} {seconds:8.1f} s {self.rows / seconds:10,.0f} rows/s  {read}", flush=True)


def memory(process: int) -> int:
    """Return RssAnon + RssShmem: what cannot be dropped and read again, as mapped pages of files can."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon", "RssShmem")))


def descendants() -> list[int]:
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [os.getpid()]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found[1:]


if __name__ == "__main__":
    sys.exit(main())
