"""How long a run's figures and its report take with many predictions.

    python benchmarks/report.py [--predictions 20000] [--rounds 3]

The run folder is the report tests' own, with a third of its examples in the test split. Printed a kind of target: the
median processor seconds of scoring that split with its bootstrap intervals, of writing report.html with all figures,
and the page's size. FAIL, with exit code 1, where scoring takes 2 s or the report 20 s or more, or the page is over 5
MB.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from keras_med.evaluation.scores import score
from keras_med.report.page import LARGEST, write_report

ROOT = Path(__file__).parents[1]
CLASSES = {"regression": (), "binary": ("0", "1"), "classes": ("covid", "normal", "virus")}


def builder() -> Callable[..., Any]:
    """Return the function by which the report's tests make run folders."""
    spec = importlib.util.spec_from_file_location("report_runs", ROOT / "tests" / "report" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build


def seconds(action: Callable[[], object], rounds: int) -> float:
    """Return the median of the processor's seconds: the clock's say more about who else uses the machine."""
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        action()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictions", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    build, failed = builder(), False
    print("target       test rows   scoring s   report s   page MB")
    for kind, classes in CLASSES.items():
        with tempfile.TemporaryDirectory() as folder:
            run = build(Path(folder) / "run", kind=kind, examples=round(given.predictions / 0.3), patients=True)
            rows = pd.read_csv(run.predictions, dtype={"label": str})
            rows = rows[rows["role"] == "test"].reset_index(drop=True)
            rows["patient"] = rows.index // 2
            labels = pd.to_numeric(rows["label"]) if kind == "regression" else rows["label"]
            rows = rows.assign(label=labels)
            scoring = seconds(
                lambda rows=rows, kind=kind, classes=classes: score(rows, kind=kind, classes=classes, seed=1),
                given.rounds,
            )
            writing = seconds(lambda run=run: write_report(run), given.rounds)
            size = run.report.stat().st_size
        kept = scoring < 2 and writing < 20 and size < LARGEST
        failed |= not kept
        print(
            f"{kind:10} {len(rows):11} {scoring:11.2f} {writing:10.2f} {size / 1e6:9.2f}   {'' if kept else 'FAIL'}",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
