"""A conversion killed again and again ends with the same arrays as one that nobody disturbed.

    python benchmarks/soak/killed_conversion.py [--files 20000] [--kills 20] [--seed 0]

Pictures of 8 and 16 bits, a few of them damaged, are converted twice into caches of their own: at once, and by a
program that SIGKILL ends at random moments and that is started again. Each kill strikes while `prepare` runs, at a
moment drawn so that the kills spread over the conversion. Wanted: the same manifest hash, table and exclusions.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from keras_med.data.prepare import manifest_hash, prepare
from keras_med.jobs.local import warm_up
from keras_med.recipe.words import Image

SIZE = 288


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--convert", nargs=2, metavar=("TABLE", "CACHE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.convert:
        return convert(*map(Path, arguments.convert))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, arguments.files, arguments.seed).to_csv(folder / "table.csv", index=False)
        begun = time.monotonic()
        whole = finished(start(folder, folder / "whole"))
        seconds = time.monotonic() - begun
        draw = np.random.default_rng(arguments.seed)
        kills, done = kill_again_and_again(folder, arguments.kills, 1.6 * seconds / max(1, arguments.kills), draw)
        resumed = finished(start(folder, folder / "killed"))
    print(f"undisturbed, {seconds:.0f} s:     {whole}")
    print(f"after {kills} SIGKILLs:      {resumed}")
    print(f"shards done at each kill: {' '.join(map(str, done))}")
    reached = whole == resumed and kills == arguments.kills
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


def write_files(folder: Path, count: int, seed: int) -> pd.DataFrame:
    """Write pictures that differ; every 500th is cut short."""
    random = np.random.default_rng(seed)
    rough = cv2.GaussianBlur(random.integers(0, 65536, (2 * SIZE, 2 * SIZE), dtype=np.uint16), (9, 9), 0)
    (folder / "files").mkdir()
    rows = []
    for number in range(count):
        down, along = random.integers(0, SIZE, 2)
        picture = rough[down : down + SIZE, along : along + SIZE] ^ np.uint16(number)
        picture = picture if number % 3 == 0 else (picture >> 8).astype(np.uint8)
        content = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        path = folder / "files" / f"{number:06d}.png"
        path.write_bytes(content[: len(content) // 2] if number % 500 == 499 else content)
        rows.append({"id": path.stem, "path": str(path)})
    return pd.DataFrame(rows)


def convert(table: Path, cache: Path) -> int:
    """Convert in this process, as a run does; tell when it begins and what came out."""
    warm_up(["keras_med.data.prepare"], {"OPENBLAS_NUM_THREADS": "1"})
    rows = pd.read_csv(table, dtype=str)
    print("begins", flush=True)
    made = prepare(rows, Image(size=(180, 180)), cache, at_once=os.cpu_count() or 1)
    found = pd.util.hash_pandas_object(made.table.drop(columns="array"), index=False).sum()
    reasons = pd.util.hash_pandas_object(made.excluded, index=False).sum()
    print(f"{manifest_hash(made)[:32]} table {found:016x} exclusions {len(made.excluded)} {reasons:016x}", flush=True)
    return 0


def start(folder: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).resolve()), "--convert", str(folder / "table.csv"), str(cache)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if process.stdout is None or process.stdout.readline() != "begins\n":
        raise SystemExit("the conversion does not begin")
    return process


def finished(process: subprocess.Popen[str]) -> str:
    told, _ = process.communicate()
    return told.strip()


def kill_again_and_again(folder: Path, kills: int, longest: float, draw: np.random.Generator) -> tuple[int, list[int]]:
    """Start and kill; return how many kills struck a conversion that was not done, and the shards done at each."""
    done: list[int] = []
    for _ in range(kills):
        process = start(folder, folder / "killed")
        try:
            process.wait(timeout=draw.uniform(0, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            done.append(len(list((folder / "killed").glob("prepared/*/done.json"))))
        process.communicate()
    return len(done), done


if __name__ == "__main__":
    sys.exit(main())
