"""What a search costs beside training: 200 tiny trials through the real runner, each fit a process of its own.

    python benchmarks/search_overhead.py [--trials 200] [--pictures 200] [--epochs 3]

Wanted: under 1 s a fit beside its training (the seconds of its epochs, as its history has them), by the clock and by
processor time, from the first fit's start to search.csv; and memory of the parent that grows by less than 0.1 MiB a
trial (its own pages, without those it shares, least squares over all but the first tenth of the trials).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

HERE = Path(__file__).resolve()
RECIPE = '''"""Bright or dark spots."""

from keras_med import Binary, Data, Float, Holdout, Image, Model, Recipe, Search, Train, tables


def index(root):
    return tables.labelled(tables.files(root, "*.png"), root / "labels.csv", key="name", label="bright")


def network(image):
    import keras

    x = keras.layers.MaxPooling2D(4)(keras.layers.Rescaling(1 / 255)(image))
    return keras.layers.Dense(8, activation="relu")(keras.layers.Flatten()(x))


recipe = Recipe(
    target=Binary(),
    data=Data(index, duplicates="allow"),
    image=Image(size=(32, 32)),
    split=Holdout(validation=0.25, test=0.15),
    model=Model(network),
    train=Train(epochs=EPOCHS, threads=1),
    search=Search(over={"train.learning_rate": Float(1e-4, 1e-1, log=True)}, by="random", trials=TRIALS),
)
'''


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder, given.pictures)
        text = RECIPE.replace("EPOCHS", str(given.epochs)).replace("TRIALS", str(given.trials))
        (folder / "spots.py").write_text(text)
        seen = watched(folder)
        (run,) = folder.glob("runs/spots/*-????")
        training = sum(pd.read_csv(file)["seconds"].sum() for file in run.glob("fits/t[0-9][0-9][1-9]*/history.csv"))
        fits = len(pd.read_csv(run / "search.csv"))
    first, last = seen[0], seen[-1]
    clock, processor = last["clock"] - first["clock"], last["processor"] - first["processor"]
    steady = [one for one in seen if one["fits"] >= given.trials // 10 and one["searching"]]
    slope = np.polyfit([one["fits"] for one in steady], [one["memory"] for one in steady], 1)[0]
    print(
        f"{fits} trials of {given.epochs} epochs on {given.pictures} pictures; training {training / fits:.2f} s a fit"
    )
    print(f"beside its training, by the clock      {(clock - training) / fits:6.2f} s a fit")
    print(f"all of a fit, by processor time        {processor / fits:6.2f} s a fit, its training included")
    print(f"memory of the parent                   {steady[0]['memory']:6.1f} to {steady[-1]['memory']:.1f} MiB")
    print(f"slope                                  {slope:6.3f} MiB a trial")
    reached = (clock - training) / fits < 1 and slope < 0.1
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


def make_pictures(folder: Path, count: int) -> None:
    draw = np.random.default_rng(0)
    (folder / "data").mkdir()
    lines = ["name,bright"]
    for number in range(count):
        picture = draw.normal(100, 20, (32, 32))
        down, along = draw.integers(8, 24, 2)
        picture[down - 6 : down + 6, along - 6 : along + 6] += 60 if number % 2 else -60
        cv2.imwrite(str(folder / "data" / f"p{number:05d}.png"), np.clip(picture, 0, 255).astype(np.uint8))
        lines.append(f"p{number:05d},{number % 2}")
    (folder / "data" / "labels.csv").write_text("\n".join(lines) + "\n")


def watched(folder: Path) -> list[dict[str, float]]:
    """Run the search, and note clock, processor time, memory and finished fits from the first fit to search.csv."""
    typed = [sys.executable, "-m", "keras_med.run", "spots.py", "--data", "data", "--cache", "cache"]
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(typed, cwd=folder, env=environment, **quiet)
    seen: list[dict[str, float]] = []
    while not list(folder.glob("runs/spots/*-????/search.csv")):
        if process.poll() is not None:
            raise SystemExit(f"the run ended with {process.returncode}")
        begun = list(folder.glob("runs/spots/*-????/fits/t001-fold0/lease.json")) or seen
        if begun:
            seen.append(moment(process.pid, folder))
        time.sleep(0.5 if seen else 0.01)
    seen.append(moment(process.pid, folder) | {"searching": False})
    process.terminate()
    process.wait()
    return seen


def moment(process: int, folder: Path) -> dict[str, float]:
    fits = len(list(folder.glob("runs/spots/*-????/fits/t*/done.json")))
    spent = sum(spent_by(one) for one in family(process))
    return {
        "clock": time.monotonic(),
        "processor": spent,
        "memory": own_memory(process),
        "fits": fits,
        "searching": True,
    }


def family(process: int) -> list[int]:
    """Return a process and all its descendants; what has ended counts in who waited for it."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [process, *(one for child in children for one in family(int(child)))]


def spent_by(process: int) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def own_memory(process: int) -> float:
    """Return MiB of the process's own pages; those of files and shared libraries come and go."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    sizes = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in lines) if "Rss" in name}
    return (sizes["RssAnon"] + sizes["RssShmem"]) / 1024


if __name__ == "__main__":
    sys.exit(main())
