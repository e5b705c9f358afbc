"""The memory that a whole run takes to train from a sparse .npy file of 12 GB, above what the imported framework takes.

    python benchmarks/training_memory.py [--gigabytes 12] [--epochs 1]

The command itself runs in processes of its own: index, audit, splits, preflight, a small convolutional network,
figures, export, report. Ten times a second RssAnon + RssShmem of each of its processes is looked at: what cannot be
dropped and read again. The framework's is that of a process that imports it and trains one step of the same network.
Wanted: no process takes 2 GiB more.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from large_stack import GIB, descendants, memory, sparse_stack

RECIPE = '''"""Rows of a stack, of which each hundredth holds more than zeros."""

import numpy as np

from keras_med import Binary, Data, Holdout, Image, Model, Recipe, Train, tables


def index(root):
    table = tables.stack(root / "stack.npy", label=0)
    rows = np.arange(len(table))
    return table.assign(label=np.where(rows % 100 == 0, 0, rows % 2))


def network(image):
    import keras

    x = keras.layers.Rescaling(1 / 255)(image)
    for filters in (8, 16):
        x = keras.layers.Conv2D(filters, 3, strides=3, activation="relu")(x)
    return keras.layers.GlobalAveragePooling2D()(x)


recipe = Recipe(
    target=Binary(positive=1),
    data=Data(index),
    image=Image(size=(180, 180), values=(-1024, 3071)),
    split=Holdout(),
    model=Model(network),
    train=Train(epochs=1, batch_size=32),
)
'''
FRAMEWORK = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
import keras, numpy as np
from keras_med.training import network
recipe = runpy.run_path(sys.argv[2])["recipe"]
made = network.trained_on(network.build(recipe, network.LabelScale()))
made.compile("adam", "mse", jit_compile=False)
made.train_on_batch(np.zeros((32, 180, 180, 1), "float32"), np.zeros((32, 1), "float32"))
print(sum(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(("RssAnon", "RssShmem"))))
"""


class Watch(threading.Thread):
    """The most memory that one of this program's processes takes, and which it is."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.of = 0, ""
        self.start()

    def run(self) -> None:
        while True:
            for process in descendants():
                taken = memory(process)
                if taken > self.most:
                    self.most, self.of = taken, name(process)
            time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=12)
    parser.add_argument("--epochs", type=int, default=1)
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "data").mkdir()
        (folder / "sparse.py").write_text(RECIPE)
        rows = sparse_stack(folder / "data" / "stack.npy", int(given.gigabytes * 1e9), [512, 512])
        typed = [sys.executable, "-c", FRAMEWORK, str(Path(__file__).resolve().parents[1]), str(folder / "sparse.py")]
        framework = 1024 * int(subprocess.run(typed, capture_output=True, text=True, check=True).stdout.split()[-1])
        watch, started = Watch(), time.perf_counter()
        typed = [sys.executable, "-m", "keras_med.run", "sparse.py", "--data", "data", "--cache", "cache"]
        done = subprocess.run(
            [*typed, "--set", f"train.epochs={given.epochs}"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(done.stderr)
    print(next(line for line in done.stderr.splitlines() if line.startswith("finished")))
    above = (watch.most - framework) / GIB
    print(f"{given.gigabytes:g} GB in {rows} rows, {time.perf_counter() - started:.0f} s")
    print(f"largest process {watch.most / GIB:.2f} GiB ({watch.of}), the framework's {framework / GIB:.2f} GiB")
    print(f"above the framework {above:.2f} GiB: {'reached' if above < 2 else 'MISSED'}")
    return 0 if above < 2 else 1


def name(process: int) -> str:
    """Tell a process by the end of its command."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode().replace("\0", " ").strip()[-60:]
    except OSError:
        return "ended"


if __name__ == "__main__":
    sys.exit(main())
