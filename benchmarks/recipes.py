"""Every recipe on its demo data: does it learn, how well in the mean of three seeds, and in how many seconds.

    python benchmarks/recipes.py [RECIPE ...] [--seeds 3] [--smoke] [--set NAME=VALUE ...]

RECIPE is FILE.py or FILE.py:name; without one, all recipes but `as_published` are run. The demo data are made and read
before the clock starts. The three networks have one division. The seconds are those of the whole command without the
epochs of the second and third network. Wanted: LEARNED, AUROC of at least 0.85 or an error 30 % below the constant's,
300 s on two cores.
"""

import argparse
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
WANTED_SECONDS = 300


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", metavar="RECIPE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="only show that they run")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    references = given.recipes or [reference for file in sorted(RECIPES.glob("*.py")) for reference in variants(file)]
    print(f"{'recipe':32} {'verdict':24} {'figure, mean of seeds':38} {'between':>8} {'seconds':>8}", flush=True)
    try:
        for reference in references:
            print(row(reference, given, folder), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def variants(file: Path) -> list[str]:
    """List a file's recipes, without the second name of the default and without what the notebooks did."""
    specification = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    found = {name: value for name, value in vars(module).items() if type(value).__name__ == "Recipe"}
    others = [name for name, value in found.items() if value is not found["recipe"] and name != "as_published"]
    return [str(file), *(f"{file}:{name}" for name in others)]


def row(reference: str, given: argparse.Namespace, folder: Path) -> str:
    name = Path(reference).name
    cache = folder / "cache"
    subprocess.run(
        [sys.executable, "-m", "keras_med.audit", reference, "--cache", str(cache)], check=False, capture_output=True
    )
    out = Path(tempfile.mkdtemp(dir=folder))
    typed = [sys.executable, "-m", "keras_med.run", reference, "--out", str(out), "--cache", str(cache)]
    typed += ["--set", f"train.repeats={given.seeds}", *(["--smoke"] if given.smoke else [])]
    typed += [word for change in given.changes for word in ("--set", change)]
    started = time.perf_counter()
    ended = subprocess.run(typed, cwd=out, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if ended.returncode:
        told = ended.stderr.strip().splitlines()
        return f"{name:32} exit {ended.returncode}: {told[-1] if told else ''}"
    run = next(out.glob("*/latest")).resolve()
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    mean, between = figure(metrics)
    alone = seconds - sum(trained(fit) for fit in (run / "fits").glob("*-seed*"))
    late = " (wanted: 300)" if alone > WANTED_SECONDS else ""
    return f"{name:32} {metrics['verdict']['name']:24} {mean:38} {between:>8} {alone:8.0f}{late}"


def figure(metrics: dict[str, Any]) -> tuple[str, str]:
    """Return the headline's mean over the seeds with its interval, and the deviation between them."""
    headline = metrics["headline"]
    place, name = headline["split"], headline["metric"]
    repeats = metrics["repeats"].get(place)
    entry = repeats["figures"][name] if repeats else metrics["splits"][place][name]
    bounds = [f"{entry[side]:.3f}" if entry[side] is not None else "-" for side in ("low", "high")]
    deviation = entry.get("deviation")
    told = f"{place} {name} {entry['value']:.3f} ({' to '.join(bounds)})"
    return told, f"{deviation:.3f}" if deviation is not None else "-"


def trained(fit: Path) -> float:
    """Return the seconds of a fit's epochs."""
    lines = (fit / "history.csv").read_text(encoding="utf-8").splitlines()
    place = lines[0].split(",").index("seconds")
    return sum(float(line.split(",")[place]) for line in lines[1:])


if __name__ == "__main__":
    sys.exit(main())
