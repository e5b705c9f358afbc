"""How often 95 % intervals hold the truth on simulated patients, ours and the usual ones that take slices for patients.

    python benchmarks/interval_coverage.py [--runs 2000] [--patients 20 40 100 300] [--worlds ...]

Each run draws patients anew, each with 1 to 5 alike examples, and scores them with 1,000 resamples. The truth is the
same figures on 200,000 patients. Printed a metric: the share of runs whose interval holds the truth (coverage), the
shares that lie wholly above and below it, how many runs gave no interval, and the coverage of naive intervals (rows as
if each were a patient of its own). The last line is FAIL, with exit code 1, where a promise is broken: 93 to 97 % from
100 patients, at least 90 % below, both less twice the simulation's own error, and naive intervals worse.
Figures that rest on fewer patients than the table has (a sensitivity: the positive ones) are held to the promise for
that number. The world `heavy` has patients with errors from Student's t with 4 degrees of freedom: RMSE and the limits
of agreement there need moments that the data do not show, and the line is printed without being held to the promise.
"""

import argparse
import math
import sys
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from keras_med.evaluation import metrics
from keras_med.evaluation.intervals import FEWEST_OF_A_CLASS, FEWEST_PATIENTS
from keras_med.evaluation.scores import Kind, described
from keras_med.evaluation.weighted import Patients

RESAMPLES = 1000
NAIVE_EVERY = 5  # runs: their failure needs no fine figure
TRUE_PATIENTS = 200_000


@dataclass(frozen=True)
class World:
    """A way to draw patients, and whether the promise is made for it."""

    kind: Kind
    prevalence: float = 0.0
    distance: float = 0.0
    heavy: bool = False

    def draw(self, generator: np.random.Generator, patients: int) -> tuple[pd.DataFrame, Patients]:
        """Draw a predictions table; examples of a patient share an error."""
        codes = np.repeat(np.arange(patients), generator.integers(1, 6, patients))
        shared = generator.standard_t(4, patients) if self.heavy else generator.normal(size=patients)
        own = generator.normal(size=len(codes))
        if self.kind == "regression":
            age = generator.uniform(20, 90, patients)[codes]
            table = pd.DataFrame({"label": age, "predicted": 55 + 0.8 * (age - 55) + 6 * shared[codes] + 4 * own})
        else:
            sick = (generator.random(patients) < self.prevalence)[codes].astype(int)
            logit = self.distance * (sick - 0.5) + shared[codes] + own
            table = pd.DataFrame({"label": sick, "p_1": 1 / (1 + np.exp(-logit))})
        return table, Patients(codes, patients, known=True)


WORLDS = {
    "ages": World("regression"),
    "ages, heavy tails": World("regression", heavy=True),
    "finding in 40 %": World("binary", prevalence=0.4, distance=1.5),
    "finding in 15 %, easy": World("binary", prevalence=0.15, distance=3.0),
}


@dataclass
class Tally:
    """Counts over runs of one metric."""

    held: int = 0
    above: int = 0
    below: int = 0
    none: int = 0
    naive_held: int = 0
    naive: int = 0
    resting: float = 0.0  # patients that the interval rests on, summed over runs

    def line(self, name: str) -> str:
        given = max(self.held + self.above + self.below, 1)
        naive = f"{100 * self.naive_held / self.naive:5.1f}" if self.naive else "    -"
        shares = [100 * part / given for part in (self.held, self.above, self.below)]
        sides = f"above {shares[1]:4.1f}  below {shares[2]:4.1f}"
        return f"  {name:22s} {shares[0]:5.1f}  {sides}  none {self.none:5d}  naive {naive}"


def main() -> int:
    """Run the simulation and say whether the promises hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--patients", type=int, nargs="+", default=[20, 40, 100, 300])
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    broken = []
    with ProcessPoolExecutor(options.processes) as pool:
        for name in options.worlds:
            truth = true_figures(WORLDS[name])
            for patients in options.patients:
                start = time.perf_counter()
                parts = [(name, patients, first, min(first + 50, options.runs)) for first in range(0, options.runs, 50)]
                tallies = merged(list(pool.map(simulate, parts, [truth] * len(parts))))
                print(f"{name}, {patients} patients, {options.runs} runs ({time.perf_counter() - start:.0f} s)")
                for metric, tally in tallies.items():
                    fault = "" if WORLDS[name].heavy else broken_promise(tally)
                    print(tally.line(metric) + ("  <- " + fault if fault else ""), flush=True)
                    broken += [f"{name}, {patients}, {metric}: {fault}"] if fault else []
    print("FAIL\n" + "\n".join(broken) if broken else "PASS")
    return 1 if broken else 0


def true_figures(world: World) -> dict[str, float]:
    """Give the figures of very many patients."""
    table, _ = world.draw(np.random.default_rng(99), TRUE_PATIENTS)
    if world.kind == "regression":
        return metrics.regression(table["label"], table["predicted"])
    return metrics.binary(table["label"], table["p_1"])


def simulate(part: tuple[str, int, int, int], truth: dict[str, float]) -> dict[str, Tally]:
    """Score runs first to last of a world."""
    name, patients, first, last = part
    tallies: dict[str, Tally] = defaultdict(Tally)
    for run in range(first, last):
        table, codes = WORLDS[name].draw(np.random.default_rng([run, patients]), patients)
        split = described(table, codes, kind=WORLDS[name].kind, classes=(0, 1))
        ours = split.entries(codes, run, RESAMPLES)
        naive = scored_by_row(table, WORLDS[name].kind, run) if run % NAIVE_EVERY == 0 else {}
        for metric, entry in ours.items():
            if "_to_" in metric:
                continue
            tally, basis = tallies[metric], split.bases[metric]
            smaller = basis.smaller(codes)
            tally.resting += codes.among(basis.rows) if smaller is None else smaller
            count(tally, entry["low"], entry["high"], truth[metric])
            if naive and isinstance(naive[metric]["low"], float):
                tally.naive += 1
                tally.naive_held += naive[metric]["low"] <= truth[metric] <= naive[metric]["high"]
    return dict(tallies)


def scored_by_row(table: pd.DataFrame, kind: Kind, run: int) -> dict[str, Any]:
    """Score as if each row were a patient."""
    rows = Patients(np.arange(len(table)), len(table), known=False)
    return dict(described(table, rows, kind=kind, classes=(0, 1)).entries(rows, run, RESAMPLES // 4))


def count(tally: Tally, low: object, high: object, truth: float) -> None:
    """Note on which side of the truth an interval lies."""
    if not isinstance(low, float) or not isinstance(high, float):
        tally.none += 1
    elif low > truth:
        tally.above += 1
    elif high < truth:
        tally.below += 1
    else:
        tally.held += 1


def merged(parts: list[dict[str, Tally]]) -> dict[str, Tally]:
    """Add up the tallies of all parts."""
    total: dict[str, Tally] = defaultdict(Tally)
    for part in parts:
        for metric, tally in part.items():
            for field, value in vars(tally).items():
                setattr(total[metric], field, getattr(total[metric], field) + value)
    return total


def broken_promise(tally: Tally) -> str:
    """Name the promise that a coverage breaks, beyond twice its own standard error."""
    given = tally.held + tally.above + tally.below
    if given < 200:
        return ""
    share, error = tally.held / given, 2 * math.sqrt(0.95 * 0.05 / given)
    resting = tally.resting / (given + tally.none)
    if share < 0.90 - error:
        return "under 90 %"
    if resting >= 100 and not 0.93 - error <= share <= 0.97 + error:
        return "not within 93 to 97 %"
    if tally.naive >= 100 and tally.naive_held / tally.naive >= share:
        return "naive intervals do as well"
    return ""


if __name__ == "__main__":
    print(f"intervals from {FEWEST_PATIENTS} patients, where classes are compared from {FEWEST_OF_A_CLASS} of each")
    sys.exit(main())
