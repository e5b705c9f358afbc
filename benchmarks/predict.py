"""Bulk prediction, end to end: `python -m keras_med.predict` against three scripts, each in a process of its own.

    python benchmarks/predict.py [--files 2000] [--rounds 1] [--by-file 100] [--against by_file tensorflow openvino]

A network as the head CT recipe has it (ResNet50 with random weights, its statistics calibrated, and Dense 512) answers
for 512 x 512 DICOM slices, brain window, 180 x 180. The scripts: `keras.Model.predict` called file by file, on
`--by-file` files and scaled to all, imports and loading not; a tf.data pipeline (two files decoded at once, batches of
32, prefetched) into the network's graph with its weights folded, by TensorFlow; and the same with OpenVINO. Ours also
verifies the export's SHA-256, flags what is out of range, names modalities, and can be interrupted. Sides take turns;
seconds of the clock and of the processor include the start of the process. All answers are compared.

Wanted: 3 times the first, 1.3 times the second, no slower than the third (by the clock, where nothing else runs), and
memory that does not grow with the files: the peak of the process tree (RssAnon + RssShmem) in each quarter of them.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import pydicom
import rsna_like

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[1]))
CENTRE, WIDTH, SIZE, BATCH = 40, 80, 180, 32
WANTED = {"by_file": 3.0, "tensorflow": 1.3, "openvino": 1.0}
NAMES = {
    "ours": "python -m keras_med.predict",
    "by_file": "keras.Model.predict, file by file",
    "tensorflow": "tf.data, batches of 32",
    "openvino": "tf.data, batches of 32, OpenVINO",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--by-file", type=int, default=100)
    parser.add_argument("--against", nargs="+", choices=list(WANTED), default=list(WANTED))
    parser.add_argument("--side", choices=["make", *WANTED], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side = {"make": make, "by_file": by_file}.get(given.side)
        return side(given.folder, given.by_file) if side else batched(given.folder, given.side)
    with tempfile.TemporaryDirectory() as name:
        return compare(Path(name), given)


def compare(folder: Path, given: argparse.Namespace) -> int:
    (folder / "scans").mkdir()
    rsna_like.write(folder / "scans", given.files)
    run_side("make", folder, given)
    sides = ["ours", *given.against]
    times = {name: list[tuple[float, float]]() for name in sides}
    peaks: list[list[float]] = []
    for number in range(given.rounds):
        for name in sides:
            found, memory = run_side(name, folder, given)
            times[name].append(found)
            print(f"round {number + 1}, {NAMES[name]}: {found[0]:.1f} s, processor {found[1]:.1f} s", flush=True)
            if name == "ours":
                peaks.append(memory)
    clock, processor = (
        {name: float(np.median([one[at] for one in each])) for name, each in times.items()} for at in (0, 1)
    )
    print(f"{given.files} files, {given.rounds} rounds (medians)")
    met = True
    for name in sides:
        ratio, worked = clock[name] / clock["ours"], processor[name] / processor["ours"]
        met &= ratio >= WANTED.get(name, 0)
        wanted = f"(wanted {WANTED[name]})" if name in WANTED else ""
        spent = f"{clock[name]:7.1f} s, ratio {ratio:5.2f}   processor {processor[name]:7.1f} s, {worked:5.2f}"
        print(f"{NAMES[name]:36} {spent} {wanted}")
    print(f"largest difference of an answer from ours: {differences(folder, given.against):.1e}")
    quarters = np.median(peaks, axis=0)
    print("peak memory in each quarter, MiB: " + ", ".join(f"{one:,.0f}" for one in quarters))
    met &= bool(quarters[3] <= 1.1 * max(quarters[:2]))
    print("reached" if met else "MISSED")
    return 0 if met else 1


def run_side(name: str, folder: Path, given: argparse.Namespace) -> tuple[tuple[float, float], list[float]]:
    """Return seconds of clock and processor, and the peaks of memory in each quarter of the files."""
    command = [sys.executable, str(HERE), "--side", name, "--folder", str(folder), "--by-file", str(given.by_file)]
    if name == "ours":
        command = [sys.executable, "-m", "keras_med.predict", str(folder / "model"), str(folder / "scans")]
        command += ["--out", str(folder / "ours.csv"), "--cache", str(folder / "cache")]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "KERAS_BACKEND": "tensorflow"}
    before, begun = _used(), time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    peaks = [0.0] * 4
    part = folder / "ours.csv.part"
    while process.poll() is None:
        if name == "ours":
            rows = part.read_bytes().count(b"\n") if part.is_file() else 0
            quarter = min(3, max(0, rows - 1) * 4 // given.files)
            peaks[quarter] = max(peaks[quarter], _memory(process.pid))
        time.sleep(0.2)
    seconds, worked = time.perf_counter() - begun, _used() - before
    told = process.communicate()[0].decode()
    if process.returncode:
        raise SystemExit(f"{name} failed:\n{told}")
    if name == "by_file":  # its processor time is scaled alike
        loop = json.loads(told.splitlines()[-1])
        scaled = given.files / given.by_file
        seconds, worked = seconds + (scaled - 1) * loop["clock"], worked + (scaled - 1) * loop["processor"]
    return (seconds, worked), [one or max(peaks) for one in peaks]


def make(folder: Path, _: int) -> int:
    """Export the network, with what training pictures are like."""
    import keras

    from keras_med.export.savedmodel import export
    from keras_med.inference import range as in_range
    from keras_med.models import calibration, resnet50

    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 1))
    features = resnet50(image, frozen=True, pretrained=False)
    backbone = keras.Model(image, features)
    pictures = np.stack([read(path) for path in sorted((folder / "scans").iterdir())[:60]])
    calibration.calibrate(backbone, pictures)
    hidden = keras.layers.Dense(512, activation="relu")(features)
    network = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(hidden))
    network.save(folder / "model.keras")
    known = in_range.fit([in_range.measure(one) for one in pictures], range(len(pictures)), ["CT"])
    told = {
        "target": {"kind": "binary", "positive": "1"},
        "classes": ["0", "1"],
        "preparation": {"size": [SIZE, SIZE], "values": [[float(CENTRE), float(WIDTH)]], "channels": 1},
        "threshold": 0.5,
        "range": known.to_json(),
    }
    export(folder / "model.keras", folder / "model", told)
    return 0


def read(path: str | Path) -> np.ndarray:
    """Read a slice as a notebook does."""
    dataset = pydicom.dcmread(path)
    stored = dataset.pixel_array.astype(np.float32)
    values = stored * np.float32(dataset.RescaleSlope) + np.float32(dataset.RescaleIntercept)
    windowed = np.clip((values - (CENTRE - WIDTH / 2)) * np.float32(255 / WIDTH), 0, 255)
    return cv2.resize(windowed, (SIZE, SIZE), interpolation=cv2.INTER_AREA)[..., None]


def by_file(folder: Path, count: int) -> int:
    import keras

    network = keras.saving.load_model(folder / "model.keras", compile=False)
    network.jit_compile = False
    paths = sorted((folder / "scans").iterdir())[:count]
    network.predict(read(paths[0])[None], verbose=0)  # traced before the clock starts
    begun, before = time.perf_counter(), time.process_time()
    answers = [network.predict(read(path)[None], verbose=0)[0] for path in paths]
    np.save(folder / "by_file.npy", np.concatenate(answers))
    print(json.dumps({"clock": time.perf_counter() - begun, "processor": time.process_time() - before}))
    return 0


def batched(folder: Path, engine: str) -> int:
    import keras
    import tensorflow as tf

    cv2.setNumThreads(1)
    network = keras.saving.load_model(folder / "model.keras", compile=False)
    paths = [str(path) for path in sorted((folder / "scans").iterdir())]
    answer = _answer(network, engine)
    pictures = tf.data.Dataset.from_tensor_slices(paths).map(
        lambda path: tf.numpy_function(lambda name: read(name.decode()), [path], tf.float32),
        num_parallel_calls=os.cpu_count() or 1,
        deterministic=True,
    )
    answers = []
    for pixels in pictures.batch(BATCH).prefetch(2).as_numpy_iterator():
        full = np.resize(pixels, (BATCH, *pixels.shape[1:])) if len(pixels) < BATCH else pixels
        answers.append(answer(full)[: len(pixels), 0])
    np.save(folder / f"{engine}.npy", np.concatenate(answers))
    return 0


def _answer(network: "object", engine: str) -> Callable[[np.ndarray], np.ndarray]:
    from keras_med.engines import Compiler, Engine

    return Compiler(network, BATCH).run(Engine(name=engine))


def differences(folder: Path, against: list[str]) -> float:
    import pandas as pd

    ours = pd.read_csv(folder / "ours.csv").sort_values("path")["p_1"].to_numpy()
    others = [np.load(folder / f"{name}.npy").ravel() for name in against]
    print(f"answers span {np.ptp(ours):.3f}")
    return max(float(np.abs(ours[: len(one)] - one).max()) for one in others)


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(session: int) -> float:
    """Return the memory of all processes of a session, MiB."""
    return sum(_resident(pid) for pid in _members(session)) / 1024


def _members(session: int) -> Iterator[Path]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:  # it has ended
                continue
            if int(fields[3]) == session:
                yield folder


def _resident(folder: Path) -> int:
    try:
        lines = (folder / "status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


if __name__ == "__main__":
    sys.exit(main())
