"""Whether real pictures of another kind are flagged, and those of a model's own test split are not.

    python benchmarks/out_of_range.py [--data DIR] [--splits 40]

DIR ($KERAS_MED_REAL_DATA) holds head_ct_png, chest_xray_3class and chest_xray_age. Every set is divided `--splits`
times into 70 % training, 15 % validation and 15 % test, by patient where patients are known and by identical pictures;
an export's numbers are made of the training pictures, as a run makes them, and asked about the test pictures and about
all of the other body part. Wanted, in the mean over the divisions: at least 95 % of head CT given to a chest model and
the reverse, at most 2 % of the own test split. No network is needed: the flag comes from the pictures alone.
"""

import argparse
import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from keras_med import Image
from keras_med.data import pixels
from keras_med.data.values import is_whole
from keras_med.inference import range as in_range

IMAGE = Image(size=(224, 224), channels=1)
SMALL = Image(size=(64, 64), channels=1)
HELD_OUT = (0.15, 0.15)


@dataclass(frozen=True)
class Pictures:
    """One data set: what was measured of its prepared pictures, and which belong together."""

    body: str
    measured: list[dict[str, np.ndarray]]
    groups: np.ndarray


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("KERAS_MED_REAL_DATA"))
    parser.add_argument("--splits", type=int, default=40)
    given = parser.parse_args()
    if not given.data or not given.data.is_dir():
        raise SystemExit("--data DIR, or KERAS_MED_REAL_DATA: the folder with head_ct_png and the two chest sets")
    met = True
    print(f"{'model of':20} {'pictures':>8} {'own test':>9} {'other body':>11}   worst division: own, other")
    for image in (IMAGE, SMALL):
        sets = {name: load(given.data / name, image) for name in ("head_ct_png", "chest_xray_3class", "chest_xray_age")}
        for name, own in sets.items():
            others = [one for other in sets.values() if other.body != own.body for one in other.measured]
            shares = np.array([flagged(own, others, seed) for seed in range(given.splits)])
            mine, theirs = shares.mean(axis=0)
            kept = mine <= 0.02 and theirs >= 0.95
            met &= kept
            worst = f"{shares[:, 0].max():.1%}, {shares[:, 1].min():.1%}"
            side = f"{name} {image.size[0]}"
            print(f"{side:24} {len(own.measured):4} {mine:9.2%} {theirs:11.2%}   {worst}{'' if kept else '   MISSED'}")
    return 0 if met else 1


def load(folder: Path, image: Image) -> Pictures:
    """Read all pictures of a set; constant ones are left out, as the audit leaves them out."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg"))
    known = patients(folder)
    measured, groups = [], []
    for file in files:
        picture, values = pixels.read(file, None, image)
        if np.ptp(values) < 1:
            continue
        bits = picture.bits if is_whole(np.asarray(picture.exact)) else 16
        prepared = pixels.unpack(pixels.pack(values, bits))
        measured.append(in_range.measure(prepared))
        groups.append(known.get(file.name) or hashlib.sha256(prepared.tobytes()).hexdigest())
    return Pictures(folder.name.split("_", 1)[0], measured, np.array(groups))


def patients(folder: Path) -> dict[str, str]:
    """Return the patient of each file, where a table names them."""
    tables = sorted(folder.glob("*.csv"))
    if not tables:
        return {}
    table = pd.read_csv(tables[0], dtype=str)
    column = next(name for name in table.columns if table[name].str.contains(r"\.png", na=False).all())
    return {Path(path).name: patient for path, patient in zip(table[column], table["patient"], strict=True)}


def flagged(own: Pictures, others: list[dict[str, np.ndarray]], seed: int) -> tuple[float, float]:
    """Return the shares that are flagged: of the test side of one division, and of the other body part."""
    names = np.unique(own.groups)
    np.random.default_rng(seed).shuffle(names)
    held_out = round(sum(HELD_OUT) * len(names))
    test, training = np.isin(own.groups, names[: held_out // 2]), np.isin(own.groups, names[held_out:])
    known = in_range.fit(_kept(own.measured, training), list(own.groups[training]))
    mine, theirs = (
        float(np.mean([bool(known.far(one)) for one in some])) for some in (_kept(own.measured, test), others)
    )
    return mine, theirs


def _kept(measured: list[dict[str, np.ndarray]], wanted: np.ndarray) -> list[dict[str, np.ndarray]]:
    return [one for one, kept in zip(measured, wanted, strict=True) if kept]


if __name__ == "__main__":
    sys.exit(main())
