"""Whether the server stays right, quick and small while 16 clients send good, bad and 50 MB files at once.

    python benchmarks/serve.py [--seconds 60] [--clients 16]

An untrained network of the size of ResNet18's first half is exported and served as a process of its own; what each file
should be answered is found beforehand by `predict`. Clients choose at random: one good file (six in ten requests), a
bad one, three of both kinds, or one of 50 MB, good or bad. Printed: requests, wrong answers and answers of 500 and
above (FAIL, exit code 1, unless both are 0), the seconds within which half and 95 % of requests were answered, and the
memory of the server with its processes before, and at rest after each third of the time (FAIL if the last two thirds
add more than a tenth).
"""

import argparse
import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import httpx
import keras
import numpy as np
import pydicom

from keras_med.export.savedmodel import export

SIDE = 128
LARGE = (5000, 5000)  # 16-bit values: 50 MB
GROWTH = 1.1
TOLERANCE = 1e-5
KINDS = (("good", 60), ("bad", 18), ("mixed", 18), ("large", 4))


@dataclass
class Seen:
    """What the clients saw, together."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind, _ in KINDS})
    wrong: list[str] = field(default_factory=list)
    failed: int = 0


def exported(folder: Path) -> Path:
    """Export a network of fixed random weights whose answers differ from picture to picture."""
    keras.utils.set_random_seed(5)
    image = keras.Input((SIDE, SIDE, 2))
    maps = keras.layers.Rescaling(1 / 255)(image)
    for filters in (32, 64, 64, 128):
        maps = keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")(maps)
    dense = keras.layers.Dense(1, activation="sigmoid")
    network = keras.Model(image, dense(keras.layers.GlobalAveragePooling2D()(maps)))
    # the answers of pictures like those that are sent are spread over 0 to 1
    draw = np.random.default_rng(0)
    like = np.stack([np.clip([_blobs(draw, SIDE) / 80, (_blobs(draw, SIDE) + 20) / 200], 0, 1) for _ in range(16)])
    weights = dense.get_weights()[0]
    logits = keras.Model(image, network.layers[-2].output)(255 * np.moveaxis(like, 1, -1)).numpy() @ weights
    dense.set_weights([2 * weights / logits.std(), -2 * logits.mean(axis=0) / logits.std()])
    network.save(folder / "model.keras")
    told = {
        "recipe": "served",
        "target": {"kind": "binary", "positive": "1"},
        "classes": ["0", "1"],
        "preparation": {"size": [SIDE, SIDE], "values": [[40.0, 80.0], [80.0, 200.0]], "channels": 2},
        "threshold": 0.5,
    }
    export(folder / "model.keras", folder / "saved_models" / "served" / "1", told)
    return folder / "saved_models" / "served" / "1"


def good_files(draw: np.random.Generator) -> dict[str, bytes]:
    """Return CT slices, grey pictures and a small stack's rows, all different."""
    found = {}
    for number in range(16):
        found[f"ct{number}.dcm"] = _ct(_blobs(draw, 512).astype(np.int16))
        found[f"grey{number}.png"] = cv2.imencode(".png", _blobs(draw, 256).clip(0, 255).astype(np.uint8))[1].tobytes()
    return found


def bad_files(good: dict[str, bytes]) -> dict[str, bytes]:
    """Return what cannot be read."""
    return {
        "letter.dcm": b"Dear colleague,",
        "empty.png": b"",
        "cut.png": good["grey0.png"][:400],
        "cut.dcm": good["ct0.dcm"][:9000],
        "page.jpg": b"<!DOCTYPE html><html>not found</html>",
    }


def large_files(draw: np.random.Generator) -> dict[str, bytes]:
    """Return 50 MB that are a picture, and 50 MB that are none."""
    written = io.BytesIO()
    np.save(written, draw.integers(0, 200, LARGE, np.uint16))
    return {"large.npy": written.getvalue(), "large.dcm": draw.bytes(50_000_000)}


def _blobs(draw: np.random.Generator, side: int) -> np.ndarray:
    coarse = draw.uniform(-60, 160, (8, 8)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC) + draw.normal(0, 8, (side, side))


def _ct(values: np.ndarray) -> bytes:
    one = pydicom.Dataset()
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    one.SOPClassUID, one.SOPInstanceUID, one.Modality = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid(), "CT"
    one.Rows, one.Columns = values.shape
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.RescaleSlope, one.RescaleIntercept = 1, -1024
    one.PixelData = (values + 1024).astype(np.uint16).tobytes()
    written = io.BytesIO()
    one.save_as(written, enforce_file_format=True)
    return written.getvalue()


def expected(model: Path, files: dict[str, bytes], folder: Path) -> dict[str, str | float]:
    """Return of each file what `predict` says: its probability, or its reason."""
    (folder / "in").mkdir()
    for name, content in files.items():
        (folder / "in" / name).write_bytes(content)
    line = [sys.executable, "-m", "keras_med.predict", str(model), str(folder / "in")]
    line += ["--out", str(folder / "out.csv"), "--cache", str(folder / "cache")]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with (folder / "out.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    return {Path(row["path"]).name: row["reason"] or float(row["p_1"]) for row in rows}


def client(
    url: str, files: dict[str, dict[str, bytes]], wanted: dict[str, str | float], until: float, seed: int, seen: Seen
) -> None:
    """Send requests until the time is over."""
    choose = random.Random(seed)
    with httpx.Client(timeout=120) as http:
        while time.monotonic() < until:
            kind = choose.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])[0]
            pool = {**files["good"], **files["bad"]} if kind == "mixed" else files[kind]
            names = choose.sample(sorted(pool), 3 if kind == "mixed" else 1)
            begun = time.monotonic()
            try:
                answer = http.post(f"{url}predict", files=[("files", (name, pool[name])) for name in names])
            except httpx.HTTPError as error:
                seen.wrong.append(f"{names}: no answer ({type(error).__name__})")
                continue
            seen.seconds[kind].append(time.monotonic() - begun)
            seen.failed += answer.status_code >= 500
            if answer.status_code < 500:
                seen.wrong += _wrong(answer, names, wanted)


def _wrong(answer: httpx.Response, names: list[str], wanted: dict[str, str | float]) -> list[str]:
    told = answer.json()["predictions"]
    if [one["file"] for one in told] != names:
        return [f"{names} answered as {[one['file'] for one in told]}, {answer.status_code}"]
    found = []
    for one in told:
        right, got = wanted[one["file"]], one["outputs"].get("p_1", one["reason"])
        same = abs(got - right) <= TOLERANCE if isinstance(got, float) and isinstance(right, float) else got == right
        found += [] if same else [f"{one['file']}: {got} instead of {right}"]
    unread = all(isinstance(wanted[name], str) for name in names)
    return found + ([] if answer.status_code == (422 if unread else 200) else [f"{names}: {answer.status_code}"])


def memory(process: int) -> float:
    """Return the MiB that a process and its children's children hold, shared pages counted once."""
    total, waiting = 0.0, [process]
    while waiting:
        one = waiting.pop()
        try:
            rolled = Path(f"/proc/{one}/smaps_rollup").read_text().split("\nPss:")[1].split()[0]
            waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except (OSError, IndexError):
            continue
        total += int(rolled) / 1024
    return total


def measured(
    serving: "subprocess.Popen[str]",
    url: str,
    files: dict[str, dict[str, bytes]],
    wanted: dict[str, str | float],
    given: argparse.Namespace,
) -> tuple[Seen, list[float]]:
    """Let the clients loose three times; return what they saw and the server's memory before and after each time."""
    seen, held = Seen(), [memory(serving.pid)]
    for round_ in range(3):
        until = time.monotonic() + given.seconds / 3
        threads = [
            threading.Thread(target=client, args=(url, files, wanted, until, 100 * round_ + number, seen))
            for number in range(given.clients)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(1)
        held.append(memory(serving.pid))
    return seen, held


def main() -> int:
    """Run it and print what came out."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--seconds", type=float, default=60.0)
    made.add_argument("--clients", type=int, default=16)
    given = made.parse_args()
    draw = np.random.default_rng(1)
    good = good_files(draw)
    files = {"good": good, "bad": bad_files(good), "large": large_files(draw)}
    files["mixed"] = {}
    with tempfile.TemporaryDirectory() as place:
        model = exported(Path(place))
        wanted = expected(
            model, {name: content for pool in files.values() for name, content in pool.items()}, Path(place)
        )
        answers = [value for value in wanted.values() if isinstance(value, float)]
        found = f"{len(answers)} pictures answered from {min(answers):.3f} to {max(answers):.3f}"
        print(f"{found}, {len(wanted) - len(answers)} unreadable")
        line = [sys.executable, "-m", "keras_med.serve", str(model), "--port", "0", "--json"]
        serving = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            url = json.loads(serving.stdout.readline())["url"]
            seen, held = measured(serving, url, files, wanted, given)
        finally:
            serving.send_signal(signal.SIGTERM)
            _, said = serving.communicate(timeout=60)
    count = sum(map(len, seen.seconds.values()))
    asked = f"{count} requests of {given.clients} clients in {given.seconds:.0f} s"
    print(f"{asked}: {len(seen.wrong)} wrong answers, {seen.failed} of 500 and above")
    print("\n".join(seen.wrong[:5] + said.splitlines()[1:]))
    print(f"{'':8}{'requests':>10}{'median s':>10}{'p95 s':>10}")
    for kind, seconds in [*seen.seconds.items(), ("all", [each for some in seen.seconds.values() for each in some])]:
        if seconds:
            print(f"{kind:8}{len(seconds):10}{np.median(seconds):10.3f}{np.quantile(seconds, 0.95):10.3f}")
    print("memory, MiB: " + ", ".join(f"{each:.0f}" for each in held) + " (before, and after each third)")
    failed = bool(seen.wrong) or seen.failed > 0 or held[3] > GROWTH * held[1] or serving.returncode != 0
    print("FAIL" if failed else "all answers right, memory flat")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
