"""A training killed again and again ends with the same weights, bit for bit, as one that nobody disturbed.

    python benchmarks/soak/killed_training.py [--kills 20] [--seed 0] [--pictures 3200] [--set train.clip=1 ...]

One run is made; its two stages are then trained from their settings: at once, and by a program that SIGKILL ends at
random moments and that is started again. They have dropout, BatchNormalization, shuffling, augmentation, a rate that
follows the validation loss, averaged weights and early stopping; the second goes on with the first one's weights and
sets a frozen layer free. Each kill strikes after the imports, at a moment drawn so that the kills spread over building,
reading, steps, validation and writing. Wanted: the same weights, predictions and history, seconds aside.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import cv2
import h5py
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from keras_med import runfolder
from keras_med.runfolder import FitFolder

FITS = ("t000-fold0", "t000-fold0-tuned")
RECIPE = '''"""Bright or dark spots, every fourth label wrong."""

from keras_med import Augment, Binary, Data, Holdout, Image, Model, Recipe, Train, tables


def index(root):
    return tables.labelled(tables.files(root, "*.png"), root / "labels.csv", key="name", label="bright")


def network(image):
    import keras

    x = keras.layers.Rescaling(1 / 255)(image)
    for filters in (16, 32):
        x = keras.layers.Conv2D(filters, 3, padding="same", trainable=filters > 16, name=f"conv{filters}")(x)
        x = keras.layers.Activation("relu")(keras.layers.BatchNormalization()(x))
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.Dropout(0.3)(keras.layers.Flatten()(x))
    return keras.layers.Dropout(0.3)(keras.layers.Dense(64, activation="relu")(x))


recipe = Recipe(
    target=Binary(),
    data=Data(index, duplicates="allow"),
    image=Image(size=(64, 64)),
    split=Holdout(),
    augment=Augment(flip="horizontal", shift=0.1),
    model=Model(network),
    train=Train(epochs=200, batch_size=16, learning_rate=3e-4, schedule="plateau", plateau_patience=4, patience=12,
                ema=0.9, class_weight="balanced", threads=1,
                fine_tune_from="conv16", fine_tune_epochs=200, fine_tune_rate=1e-4),
)
'''


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=3200)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--fit", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.fit:
        return train(arguments.fit)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = made_run(folder, arguments.pictures, arguments.set)
        killed = fresh(whole, folder / "runs" / "spots" / "killed")
        fresh(whole, whole)
        seconds = 0.0
        while (fit := undone(whole)) is not None:
            process, begun = start(fit), time.monotonic()
            finished(process)
            seconds += time.monotonic() - begun
        trained = sum(pd.read_csv(FitFolder(whole / "fits" / name).history)["seconds"].sum() for name in FITS)
        draw = np.random.default_rng(arguments.seed)
        longest = (seconds - trained) / len(FITS) + 1.6 * trained / max(1, arguments.kills)
        one = found(whole)
        done, others = kill_again_and_again(killed, arguments.kills, longest, draw)
    print(f"undisturbed, {trained:.0f} s of training: {one}")
    for other in others:
        print(f"killed and continued:      {other}")
    print(f"stage and epochs done at each of {len(done)} kills: {' '.join(done)}")
    reached = set(others) == {one} and len(done) == arguments.kills and trained >= 60
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


def made_run(folder: Path, count: int, assignments: list[str]) -> Path:
    """Write pictures and recipe, and run it; return the run's folder."""
    draw = np.random.default_rng(0)
    (folder / "data").mkdir()
    lines = ["name,bright"]
    for number in range(count):
        bright = int(draw.integers(2))
        picture = draw.normal(100, 30, (64, 64))
        down, along = draw.integers(8, 56, 2)
        picture[down - 6 : down + 6, along - 6 : along + 6] += 25 if bright else -25
        cv2.imwrite(str(folder / "data" / f"p{number:05d}.png"), np.clip(picture, 0, 255).astype(np.uint8))
        lines.append(f"p{number:05d},{bright if draw.uniform() < 0.75 else 1 - bright}")
    (folder / "data" / "labels.csv").write_text("\n".join(lines) + "\n")
    (folder / "spots.py").write_text(RECIPE)
    command = [sys.executable, "-m", "keras_med.run", "spots.py", "--data", "data", "--out", "runs", "--cache", "cache"]
    for assignment in assignments:
        command += ["--set", assignment]
    paths = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    subprocess.run(command, cwd=folder, env=os.environ | paths, check=True, capture_output=True)
    return runfolder.find_run(folder / "runs", "spots", None).path


def fresh(run: Path, copy: Path) -> Path:
    """Return the run, or a copy of it, with nothing but the settings of its fits."""
    if copy != run:
        shutil.copytree(run, copy, symlinks=True)
    for other in [file for name in FITS for file in (copy / "fits" / name).iterdir()]:
        if other.name != "settings.json":
            shutil.rmtree(other) if other.is_dir() else other.unlink()
    return copy


def undone(run: Path) -> Path | None:
    """Return the first fit that is not done."""
    fits = (run / "fits" / name for name in FITS)
    return next((fit for fit in fits if not FitFolder(fit).done.is_file()), None)


def train(fit: Path) -> int:
    """Train in this process, as a run's worker does; tell when it begins."""
    from keras_med.training import runtime

    machine = runtime.Runtime(**runfolder.read_json(fit / "settings.json")["runtime"])
    os.environ.update(runtime.environment(machine))
    from keras_med.training.fit import run_fit

    print("begins", flush=True)
    run_fit(fit)
    return 0


def start(fit: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).resolve()), "--fit", str(fit)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if process.stdout is None or process.stdout.readline() != "begins\n":
        raise SystemExit("the training does not begin")
    return process


def finished(process: subprocess.Popen[str]) -> None:
    process.communicate()
    if process.returncode:
        raise SystemExit(f"the training failed: {process.returncode}")


def kill_again_and_again(
    run: Path, kills: int, longest: float, draw: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Start and kill; a training that comes through is kept as a result and begun anew, until all kills have struck.

    Returns the stage and the epochs that were done at each kill, and what each finished training left.
    """
    done: list[str] = []
    results: list[str] = []
    while len(done) < kills:
        fit = undone(run)
        if fit is None:
            results.append(found(run))
            fresh(run, run)
            continue
        process = start(fit)
        try:
            process.wait(timeout=draw.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        if not FitFolder(fit).done.is_file():
            history = FitFolder(fit).history
            done.append(f"{FITS.index(fit.name) + 1}:{len(pd.read_csv(history)) if history.is_file() else 0}")
    while (fit := undone(run)) is not None:
        finished(start(fit))
    return done, [*results, found(run)]


def found(run: Path) -> str:
    """Hash both stages: the weights, the predictions and the histories but for their seconds."""
    return ", ".join(found_in(FitFolder(run / "fits" / name)) for name in FITS)


def found_in(files: FitFolder) -> str:
    weights = hashlib.sha256()
    with zipfile.ZipFile(files.best) as saved, saved.open("model.weights.h5") as stream, h5py.File(stream) as content:
        values: list[bytes] = []
        content.visititems(lambda name, part: values.append(part[()].tobytes()) if hasattr(part, "shape") else None)
        weights.update(b"".join(values))
    history = pd.read_csv(files.history).drop(columns="seconds")
    others = files.predictions.read_bytes() + history.to_csv().encode()
    told = hashlib.sha256(others).hexdigest()[:16]
    return f"weights {weights.hexdigest()[:16]} predictions and history {told} epochs {len(history)}"


if __name__ == "__main__":
    sys.exit(main())
