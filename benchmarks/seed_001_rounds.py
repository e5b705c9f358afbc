"""Two rounds of learning rates on head CT slices, as recipes/hemorrhage.py has them: how long, and which are worse.

    python benchmarks/seed_001_rounds.py [--patients 790] [--wrong 0.2] [--set NAME=VALUE ...]

Five rates for 10 epochs, the best three for 30, on 2,000 demo slices with a frozen ResNet50 and a fully connected layer
of 512. Timed from the command to search.csv, once the slices are made: reading, ResNet50's features, and 8 fits.
`--wrong` is the share of slices whose label is the other one, as where readers err: without it bleeding on these slices
is easy, and what a high rate breaks mends itself. Wanted: under 5 minutes on two cores; and 1e-2 and 1e-6 measurably
worse than 1e-4 (the interval of the difference over patients, from saved predictions, excludes 0).

Seen on 3,595 slices, 2,000 of them trained on, two processors alone: 225 s, 147 of them before the first fit.
On 3,815 slices with a quarter of wrong labels: 1e-4 minus 1e-6 after 10 epochs
AUROC 0.26 (0.22 to 0.31), and minus 1e-2 after 30 log loss -0.027 (-0.038 to -0.017), but AUROC 0.009 (-0.004 to
0.025). Without wrong labels (3,395 slices) 1e-6 is as far behind, and 1e-2 ahead of 1e-4 in both rounds.
"""

import argparse
import json
import tempfile
from pathlib import Path

import pandas as pd
import watched_search
from watched_search import Moment

from keras_med.evaluation import gathering
from keras_med.evaluation.comparisons import differences
from keras_med.phantoms.head_ct import rsna
from keras_med.runfolder import RunFolder

RECIPE = '''"""Bleeding on a head CT slice."""

import shutil
from dataclasses import replace

from recipes.hemorrhage import recipe as published


def slices(folder, *, seed):
    shutil.copytree("DATA", folder)


recipe = replace(published, data=replace(published.data, phantom=slices))
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=790)
    parser.add_argument("--wrong", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="an empty folder in which everything stays")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = (given.keep or Path(name)).absolute()
        rsna(folder / "data", seed=0, patients=given.patients)
        spoil(folder / "data" / "stage_2_train.csv", given.wrong)
        (folder / "rounds.py").write_text(RECIPE.replace("DATA", str(folder / "data")))
        settings = [word for one in given.set for word in ("--set", one)]
        seen = watched_search.run(folder, "rounds.py", "--fits-at-once", "2", *settings)
        (path,) = folder.glob("runs/rounds/*-????")
        told(RunFolder(path), seen)


def spoil(file: Path, share: float) -> None:
    """Turn the label of a share of slices round; what kind of bleeding it is, nothing here reads."""
    table = pd.read_csv(file)
    slices = pd.Series(table["ID"].str.rpartition("_")[0].unique()).sample(frac=share, random_state=0)
    wrong = table["ID"].isin(slices + "_any")
    table.loc[wrong, "Label"] = 1 - table.loc[wrong, "Label"]
    table.to_csv(file, index=False)


def told(run: RunFolder, seen: list[Moment]) -> None:
    batches = json.loads(run.trials.read_text())["batches"]
    index = pd.read_csv(run.index, dtype=str, keep_default_na=False)
    done = [json.loads(run.fit(name).done.read_text()) for batch in batches for one in batch for name in one["fits"]]
    print(f"{len(index)} slices, {done[0]['train']} of them trained on; {len(done)} fits")
    whole, before = seen[-1].clock - seen[0].clock, seen[1].clock - seen[0].clock
    print(f"until search.csv {whole:.0f} s by the clock ({before:.0f} s of them before the first fit)")
    print(f"of two processors {seen[-1].processor / 2:.0f} s each ({seen[1].processor / 2:.0f} s before the first fit)")
    for number, batch in enumerate(batches, 1):
        rows = {one["changes"]["train.learning_rate"]: predictions(run, one["fits"], index) for one in batch}
        for one in batch:
            print(f"round {number}, {one['changes']['train.learning_rate']:g}: {one['figures']['values']}")
        for rate in {1e-2, 1e-6} & set(rows) if 1e-4 in rows else ():
            gaps = differences(rows[1e-4], rows[rate], kind="binary", seed=0, classes=[1])
            for name in ("auroc", "log_loss"):
                value, low, high = (float(gaps[name][key] or "nan") for key in ("value", "low", "high"))
                print(f"round {number}, 1e-4 minus {rate:g}: {name} {value:.4f} ({low:.4f} to {high:.4f})")


def predictions(run: RunFolder, fits: list[str], index: pd.DataFrame) -> pd.DataFrame:
    return gathering.with_patients(gathering.gathered({fit: run.fit(fit).predictions for fit in fits}), index)


if __name__ == "__main__":
    main()
