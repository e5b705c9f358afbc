"""Training pictures to numbers that tell whether another picture is of their kind; no picture can be made from them.

Three sides of a prepared picture are measured: its grey levels, how they lie (a thumbnail, 8 pixels wide, freed of
brightness and contrast) and its texture (how much of it is of each fineness). Each is compared with the mean and the
covariance of the training pictures. How far is too far is seen on training pictures that were left out in turn, whole
groups of patients and twins at a time: the farthest hundredth of those is outside.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy import fft
from sklearn.covariance import LedoitWolf

from keras_med.data.dicom_headers import read_header
from keras_med.data.memory import File, MemoryFolder, Source
from keras_med.data.resizing import resize
from keras_med.errors import DataError

Floats = np.ndarray
SIDES = ("brightness", "layout", "texture")
FEWEST = 30  # training pictures, below which nothing is said: their mean would be close to one of them
_OUTSIDE = 100  # one of so many training pictures may be farther than the limit
_ODD = 0.02  # of the training pictures, which do not count for mean and covariance
_PARTS = 10
_SMALL = 64  # pixels of the picture that is measured
_BANDS = 8
_LEAST = {"brightness": 0.03, "layout": 0.15, "texture": 0.2}  # deviation: what never varied may vary this much
_MARGIN = 1.22  # fits on more pictures are sharper and distances grow; with it 2 % of new pictures are outside at most
_MODALITY = re.compile("[A-Z0-9]{2,16}")  # anything else is somebody's own text, which may name the patient


@dataclass(frozen=True)
class Side:
    """What training pictures are like on one side: mean and inverse covariance, and the largest distance inside."""

    mean: Floats
    precision: Floats
    limit: float = 0.0

    def distance(self, measured: Floats) -> Floats:
        """Return how far each row is from the mean, in deviations."""
        away = measured - self.mean
        return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", away, self.precision, away), 0))


@dataclass(frozen=True)
class Range:
    """What the training pictures of an export are like.

    modalities: of its DICOM files
    """

    sides: Mapping[str, Side]
    modalities: tuple[str, ...] = ()

    def outside(self, image: Floats, named: str = "") -> str:
        """Say what of a prepared picture (0-255, channels last) is far from training; nothing if it is inside.

        Args:
            named: its modality, where it is a DICOM file.
        """
        told = self.far(measure(image))
        if named and self.modalities and named not in self.modalities:
            told.insert(0, f"modality {named}")
        return ", ".join(told)

    def far(self, measured: Mapping[str, Floats]) -> list[str]:
        """Name the sides on which a measured picture is beyond the limit."""
        return [name for name, side in self.sides.items() if side.distance(measured[name][None])[0] > side.limit]

    def to_json(self) -> dict[str, Any]:
        """Return the numbers that keras_med.json keeps."""
        sides = {
            name: {"limit": side.limit, "mean": _text(side.mean), "precision": [_text(row) for row in side.precision]}
            for name, side in self.sides.items()
        }
        return {"modalities": list(self.modalities), "sides": sides}


def of_json(told: Mapping[str, Any]) -> Range:
    """Read what `to_json` returned."""
    sides = {
        name: Side(_numbers(side["mean"]), np.stack(list(map(_numbers, side["precision"]))), float(side["limit"]))
        for name, side in told["sides"].items()
    }
    return Range(sides, tuple(told["modalities"]))


def fit(measured: Sequence[Mapping[str, Floats]], groups: Sequence[object], modalities: Sequence[str] = ()) -> Range:
    """Learn what pictures are like.

    Args:
        measured: by `measure`, at least FEWEST of them.
        groups: pictures of one group are left out together.
        modalities: of those that are DICOM files.
    """
    sides = {name: np.stack([one[name] for one in measured]) for name in SIDES}
    part = _parts(groups)
    every = np.ones(len(part), bool)
    made = {}
    for name, rows in sides.items():
        first = _left_out(name, rows, part, every)
        kept = first <= np.quantile(first, 1 - _ODD)  # what is odd in training must not widen what is usual
        far = np.sort(_left_out(name, rows, part, kept))
        limit = _MARGIN * float(far[-1 - len(far) // _OUTSIDE])
        made[name] = replace(_side(name, rows[kept]), limit=max(1.0, limit))  # one deviation is never too far
    return Range(made, tuple(sorted({name for name in modalities if name})))


def measure(image: Floats) -> dict[str, Floats]:
    """Return the numbers of each side of one prepared picture; of a volume those of its middle slice."""
    if image.ndim == 4:
        image = image[:, :, image.shape[2] // 2]
    small = resize(np.asarray(image, np.float32), (_SMALL, _SMALL)) / 255
    grey = small.mean(axis=-1, dtype=np.float32)
    levels = [np.quantile(channel, (0.02, 0.25, 0.5, 0.75, 0.98)) for channel in np.moveaxis(small, -1, 0)]
    spread = [(channel.mean(), channel.std()) for channel in np.moveaxis(small, -1, 0)]
    flat = (grey - grey.mean()) / max(float(grey.std()), 1e-3)
    return {
        "brightness": np.concatenate([*levels, *spread]).astype(np.float64),
        "layout": cv2.resize(flat, (8, 8), interpolation=cv2.INTER_AREA).ravel().astype(np.float64),
        "texture": _texture(flat),
    }


def modality(source: Source) -> str:
    """Return the modality that a DICOM file names, of a folder of them that of its first file; nothing of others."""
    try:
        file = _first(source)
        with file.open("rb", buffering=0) as opened:
            if opened.read(132)[128:] != b"DICM":
                return ""
        named = str(read_header(file).get("Modality", ""))
    except (OSError, DataError):  # whether the picture can be read is told elsewhere
        return ""
    return named if _MODALITY.fullmatch(named) else ""


def _first(source: Source) -> File:
    if isinstance(source, MemoryFolder):
        return min(source.files)
    if isinstance(source, Path) and source.is_dir():
        return min((one for one in source.iterdir() if one.is_file()), default=source)
    return source


def _texture(flat: Floats) -> Floats:
    """Return the logarithm of the share of each band of frequencies, from coarse to fine."""
    power = fft.dctn(flat, norm="ortho") ** 2
    rows, columns = np.indices(power.shape)
    band = np.minimum((np.hypot(rows, columns) / _SMALL * _BANDS).astype(int), _BANDS - 1)
    shares = np.bincount(band.ravel(), power.ravel(), _BANDS) / max(float(power.sum()), 1e-6)
    return np.log(shares + 1e-4)


def _left_out(name: str, rows: Floats, part: Floats, kept: Floats) -> Floats:
    """Return how far each picture is from the kept ones of the other parts."""
    far = np.zeros(len(rows))
    for number in range(part.max() + 1):
        out = part == number
        far[out] = _side(name, rows[~out & kept]).distance(rows[out])
    return far


def _side(name: str, rows: Floats) -> Side:
    """Fit mean and covariance, the latter drawn to a ball by Ledoit and Wolf's share."""
    found = LedoitWolf().fit(rows)
    noise = _LEAST[name] ** 2 * np.eye(rows.shape[1])
    return Side(found.location_, np.linalg.inv(found.covariance_ + noise))


def _parts(groups: Sequence[object]) -> Floats:
    """Deal groups to parts in turn."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[name] % _PARTS for name in groups])


def _text(values: Floats) -> str:
    """Six digits, since more say nothing, and one line, since JSON would take one for each number."""
    return " ".join(f"{value:.6g}" for value in values)


def _numbers(text: str) -> Floats:
    return np.array(text.split(), np.float64)
