"""recipes/spr_age.py, 5 folds x 20 epochs and the final network on 1,000 images, against a plain Keras script.

    python benchmarks/spr_age.py [--images 1000] [--epochs 20] [--folder DIR] [--whole]

Ours is the whole command on an empty cache: decoding, audit, splits, features, preflight, six fits, figures, verified
export, report. The plain script (plain_keras_spr_age.py) is measured on 1 fold x 2 epochs and scaled by its steps, or
run to its end with --whole; and once more, to its end, with the features cached by hand. Beside the clock stand the
seconds of the processor, of all processes together, which other work on the machine changes less. The engine's bare
throughput is that of compiled calls on one batch in memory, in a process of its own.

Weights are random ones whose BatchNorm statistics were set on the images (no published file is needed); both sides
read the same file. Wanted: 50 times, no slower than features by hand, the pass within 1.1 of the bare engine.
"""

import argparse
import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--folder", type=Path, help="kept between calls; else a temporary one")
    parser.add_argument("--whole", action="store_true", help="run the plain script to its end, not 1 fold x 2 epochs")
    given = parser.parse_args()
    # what a command leaves behind, the fork server above all, becomes our child, and its time is counted
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    folder = given.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        measure(folder.absolute(), given)
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


def measure(folder: Path, given: argparse.Namespace) -> None:
    data, weights = folder / f"data{given.images}", folder / "b2.weights.h5"
    if not weights.is_file():
        timed([sys.executable, __file__, "--make", str(data), str(weights), str(given.images)], folder)
    ours, said = our_run(folder, data, weights, given.epochs)
    run = (folder / "runs" / "spr_age" / "latest").resolve()
    print("\n".join(line for line in said.splitlines() if line.startswith(("frozen", "finished", "preflight"))))
    plain = plain_run(folder, data, weights, given.epochs, whole=given.whole)
    by_hand = plain_run(folder, data, weights, given.epochs, whole=True, features=True)
    engine = json.loads((run / "fits" / "features" / "done.json").read_text())
    extraction = json.loads(next((folder / "cache" / "engines").glob("*.json")).read_text())
    difference = json.loads((run / "fits" / "model" / "done.json").read_text())["difference"]
    mae = json.loads((run / "metrics.json").read_text())["splits"]["test"]["mae"]["value"]
    print(f"{'':34}{'clock':>10}{'processor':>12}")
    for name, (clock, processor) in (
        ("ours, everything", ours),
        ("plain", plain),
        ("plain, features by hand", by_hand),
    ):
        print(f"{name:34}{clock:8.0f} s{processor:10.0f} s")
    print(f"plain / ours        {plain[0] / ours[0]:.1f} by the clock, {plain[1] / ours[1]:.1f} by the processor")
    print(f"by hand / ours      {by_hand[0] / ours[0]:.2f} by the clock, {by_hand[1] / ours[1]:.2f} by the processor")
    phases = dict(part.rsplit(" ", 1) for part in finished(said).split(": ")[1].split(", "))
    clock = ours[0] - float(phases["export"])
    hand = json.loads((folder / "plain_features" / "times.json").read_text())["seconds"]
    print(
        f"without the export, by the clock: ours {clock:.0f} s, plain / ours {plain[0] / clock:.1f}, by hand / ours",
        end=" ",
    )
    print(f"{(by_hand[0] - hand['export'][0]) / clock:.2f}   (ours proves its export in a fresh process)")
    print(timed([sys.executable, __file__, "--pass", str(run), str(weights)], folder, wanted="out")[1].strip())
    print(f"engine              {engine['engine']['name']}, rates of the trial {extraction['rates']}")
    print(f"whole against cached predictions  {difference:.1e}")
    theirs = json.loads((folder / "plain_features" / "times.json").read_text())["mae"]
    print(f"test MAE            {mae:.2f} ours, {theirs['5']:.2f} plain with features by hand")


def finished(said: str) -> str:
    return next(line for line in said.splitlines() if line.startswith("finished"))


def our_run(folder: Path, data: Path, weights: Path, epochs: int) -> tuple[tuple[float, float], str]:
    for name in ("cache", "runs", "saved_models"):
        shutil.rmtree(folder / name, ignore_errors=True)
    typed = [sys.executable, "-m", "keras_med.run", str(HERE.parent / "recipes" / "spr_age.py")]
    typed += ["--data", str(data), "--weights", str(weights), "--cache", str(folder / "cache")]
    typed += ["--set", f"train.epochs={epochs}", "--set", "train.patience=none"]
    return timed(typed, folder)


def plain_run(
    folder: Path, data: Path, weights: Path, epochs: int, *, whole: bool, features: bool = False
) -> tuple[float, float]:
    """Return the seconds of the plain script; unless it is run as a whole, scaled by steps from 1 fold x 2 epochs."""
    out = folder / ("plain_features" if features else "plain")
    typed = [sys.executable, str(HERE / "plain_keras_spr_age.py"), str(data), str(weights), str(out)]
    typed += ["--features"] if features else []
    typed += ["--epochs", str(epochs)] if whole else ["--epochs", "2", "--fits", "1"]
    measured, _ = timed(typed, folder)
    if whole:
        return measured
    told = json.loads((out / "times.json").read_text())
    (fit,) = told["fits"]
    shares = []
    for index in (0, 1):
        first, second = (epoch[index] for epoch in fit["epochs"])
        an_image = second / (32 * fit["steps"] + fit["watched"])  # a validation image taken for a trained one: too much
        images = int(data.name.removeprefix("data"))
        rest = images - round(0.15 * images)
        trained = 5 * epochs * 0.8 * rest + epochs * rest + rest + 0.15 * images
        shares.append(measured[index] - second + trained * an_image + 5 * max(0.0, first - second))
    return shares[0], shares[1]


def timed(typed: list[str], folder: Path, *, wanted: str = "err") -> tuple[tuple[float, float], str]:
    """Run a command to the end of all its processes; return its seconds by the clock and of the processor."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(typed, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    clock = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stderr)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        clock,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    ), done.stderr if wanted == "err" else done.stdout


def make(data: Path, weights: Path, images: int) -> None:
    """Write the pictures and a file of weights whose BatchNorm statistics fit them."""
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    import keras
    import numpy as np
    from plain_keras_spr_age import frozen_backbone, picture

    from keras_med.models import calibration
    from keras_med.models.builders.efficientnet_b2 import DEVIATION, MEAN
    from keras_med.phantoms.chest_xray import spr_age

    data.parent.mkdir(parents=True, exist_ok=True)
    if not data.is_dir():
        spr_age(data, seed=1, train=images, test=2)
    keras.utils.set_random_seed(7)
    backbone = frozen_backbone(weights)
    normalisation = next(layer for layer in backbone.layers if isinstance(layer, keras.layers.Normalization))
    normalisation.set_weights([MEAN, DEVIATION**2, normalisation.get_weights()[2]])
    normalisation.finalize_state()
    calibration.calibrate(backbone, np.stack([picture(data, number) for number in range(32)]).astype(np.float32))
    keras.Model(backbone.input, backbone.layers[-2].output).save_weights(weights)


def compare_pass(run: Path, weights_file: Path) -> None:
    """Print the rate of the frozen pass over prepared images beside that of the engine on one batch in memory."""
    sys.path.insert(0, str(HERE.parent))
    import numpy as np

    from keras_med.data.dataset import read_index
    from keras_med.engines import Compiler, Engine
    from keras_med.models import weights
    from keras_med.recipe.loading import load_recipe
    from keras_med.training import blocks, features, network
    from keras_med.training.examples import image_rows
    from keras_med.training.frozen import split_frozen

    recipe = load_recipe(str(HERE.parent / "recipes" / "spr_age.py")).recipe
    with weights.policy(weights_file):
        parts = split_frozen(network.build(recipe, network.LabelScale()))
    assert parts is not None
    table = read_index(run / "index.csv").head(256)
    rows = image_rows(table, recipe.image, np.zeros(len(table), np.float32))
    engine = Engine(**json.loads((run / "fits" / "features" / "done.json").read_text())["engine"])
    made = Compiler(parts[0], 32).run(engine)
    batch, bare, whole = rows.read(np.arange(32)), [], []
    made(batch)
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(len(rows) // 32):
            made(batch)
        bare.append(len(rows) / (time.perf_counter() - started))
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            features.compute(made, rows, Path(folder), range(blocks.count(len(rows))), 32, lambda done: None)
            whole.append(len(rows) / (time.perf_counter() - started))
    first, second = statistics.median(bare), statistics.median(whole)
    print(f"bare {engine.name}      {first:.1f} images/s, frozen pass {second:.1f}: bare / pass {first / second:.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--pass"]:
        compare_pass(Path(sys.argv[2]), Path(sys.argv[3]))
        sys.exit()
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
        sys.exit()
    sys.exit(main())
