"""Every recipe on its demo data: does it learn, how well in the mean of three seeds, and in how many seconds.

    python benchmarks/recipes.py [--only NAME ...] [--seeds 3] [--out DIR] [--smoke] [--set NAME=VALUE ...]

NAME is a file's, as `hemorrhage` or `chest_xray:vit`; without one, all recipes but `as_published` are run, the cheap
ones first. DIR keeps each recipe's row: called again, only what is missing is run. The demo data are made and read
before the clock starts. The three networks have one division. Seconds of the clock, and of the processors that all
its processes took, are those of the command as a user types it, so without the training of the second and third
network. Wanted: LEARNED, AUROC of at least 0.85 or an error 30 % below the constant's, and 300 s on two cores that
have nothing else to do, so at most 600 s of the processors.
"""

import argparse
import ctypes
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
CHEAP_FIRST = ("brain_tumor", "chest_xray:baseline", "chest_xray:vit", "spr_age", "spr_age:dense", "hemorrhage")
WANTED_SECONDS, WANTED_PROCESSORS = 300, 600
WANTED_AUROC, WANTED_GAIN = 0.85, 0.3
_ADOPT = 36  # PR_SET_CHILD_SUBREAPER: a fit's processes outlive their parent for a moment, and count here too


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, metavar="DIR", help="keeps runs and rows; called again, it goes on")
    parser.add_argument("--smoke", action="store_true", help="only show that they run")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes")
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(_ADOPT, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary)
        print(f"{'recipe':22} {'seeds':>5} {'verdict':16} {'mean of seeds':43} {'between':>7} {'clock':>6} {'CPU':>6}")
        reached = [told(name, given, folder.absolute()) for name in given.only or names()]
    return 0 if all(reached) else 1


def names() -> list[str]:
    """List the recipes without a default's second name and without what the notebooks did, the cheap ones first."""
    found = [name for file in sorted(RECIPES.glob("*.py")) for name in variants(file)]
    return sorted(found, key=lambda name: CHEAP_FIRST.index(name) if name in CHEAP_FIRST else len(CHEAP_FIRST))


def variants(file: Path) -> list[str]:
    specification = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    found = {name: value for name, value in vars(module).items() if type(value).__name__ == "Recipe"}
    others = [name for name, value in found.items() if value is not found["recipe"] and name != "as_published"]
    return [file.stem, *(f"{file.stem}:{name}" for name in others)]


def told(name: str, given: argparse.Namespace, folder: Path) -> bool:
    """Run a recipe, unless its row is there, print the row, and tell whether all that is wanted was reached."""
    kept = folder / f"{name.replace(':', '-')}.json"
    row = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else measured(name, given, folder)
    if "failed" in row:
        print(f"{name:22} {row['failed']}", flush=True)
        return False
    kept.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(
        f"{name:22} {row['seeds']:5} {row['verdict']:16} {row['figure']:43} {row['between']:>7} "
        f"{row['clock']:6.0f} {row['processors']:6.0f}{'' if row['reached'] else '  MISSED'}",
        flush=True,
    )
    return bool(row["reached"])


def reference_of(name: str) -> str:
    """Return a recipe as commands take it."""
    stem, _, variant = name.partition(":")
    return f"{RECIPES / stem}.py" + (f":{variant}" if variant else "")


def measured(name: str, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    stem, reference = name.partition(":")[0], reference_of(name)
    cache = folder / "cache"
    subprocess.run(
        [sys.executable, "-m", "keras_med.audit", reference, "--cache", str(cache)], check=False, capture_output=True
    )
    adopted()
    out = Path(tempfile.mkdtemp(prefix=f"{stem}-", dir=folder))
    typed = [sys.executable, "-m", "keras_med.run", reference, "--out", str(out), "--cache", str(cache)]
    typed += ["--set", f"train.repeats={given.seeds}", *(["--smoke"] if given.smoke else [])]
    typed += [word for change in given.changes for word in ("--set", change)]
    started, before = time.perf_counter(), adopted()
    ended = subprocess.run(typed, cwd=out, check=False, capture_output=True, text=True)
    clock, processors = time.perf_counter() - started, adopted() - before
    if ended.returncode:
        lines = ended.stderr.strip().splitlines()
        return {"failed": f"exit {ended.returncode}: {lines[-1] if lines else ''}"}
    run = next(out.glob("*/latest")).resolve()
    share = 1 - sum(trained(fit) for fit in (run / "fits").glob("*-seed*")) / clock
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    row = {"seeds": given.seeds, **figures(metrics), "clock": clock * share, "processors": processors * share}
    quick = row["clock"] <= WANTED_SECONDS or row["processors"] <= WANTED_PROCESSORS
    return row | {"reached": quick and row["good"] and row["verdict"] == "LEARNED"}


def adopted() -> float:
    """Wait for all processes that ended beneath this one, and return the processors' seconds that they took."""
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the verdict, the headline's mean over the seeds with its interval, and the deviation between them."""
    headline = metrics["headline"]
    place, name = headline["split"], headline["metric"]
    repeats = metrics["repeats"].get(place)
    entry = repeats["figures"][name] if repeats else metrics["splits"][place][name]
    bounds = [f"{entry[side]:.3f}" if entry[side] is not None else "-" for side in ("low", "high")]
    deviation, value = entry.get("deviation"), entry["value"]
    figure, good = f"{place} {name} {value:.3f} ({' to '.join(bounds)})", value >= WANTED_AUROC
    if name == "mae":
        constant = metrics["splits"][place][name]["value"] / (1 - metrics["improvement"]["value"])
        figure, good = f"{figure}, {100 * (value / constant - 1):+.0f} %", value <= (1 - WANTED_GAIN) * constant
    between = f"{deviation:.3f}" if deviation is not None else "-"
    return {"verdict": metrics["verdict"]["name"], "figure": figure, "between": between, "good": good}


def trained(fit: Path) -> float:
    """Return the seconds of a fit's epochs and checkpoints."""
    return float(json.loads((fit / "done.json").read_text(encoding="utf-8"))["wall_seconds"])


if __name__ == "__main__":
    sys.exit(main())
