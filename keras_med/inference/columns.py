"""An export's description and its network's outputs to what stands in predictions.csv for one picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_med.data.identifiers import label_text
from keras_med.evaluation.calibration import Calibration
from keras_med.inference.range import Range, of_json

SPREAD = "spread"  # between members: the deviation of their p of the likeliest class, or of their number


@dataclass(frozen=True)
class Columns:
    """The columns that an export's predictions have: its outputs, the same calibrated, and the decision.

    classes: as text, in the order of the outputs; a binary network's one output is the probability of the last.
    threshold: of the network's own probability, before any calibration: that is what it was chosen on.
    members: networks whose mean the output is; 0 where it is that of a single one.
    known: what training pictures are like, where the export says it.
    undecided: why there is no decision or calibrated probability although the export has what it takes.
    """

    kind: str
    classes: tuple[str, ...]
    calibration: Calibration | None = None
    threshold: float | None = None
    members: int = 0
    known: Range | None = None
    undecided: str = ""

    @property
    def outputs(self) -> list[str]:
        """Name the network's outputs as a run's own predictions.csv does."""
        return ["predicted"] if self.kind == "regression" else [f"p_{name}" for name in self._named]

    @property
    def names(self) -> list[str]:
        """Name all columns."""
        calibrated = [f"calibrated_{name}" for name in self._named] if self.calibration else []
        decision = ["decision"] if self.threshold is not None else []
        spread = [SPREAD] if self.members else []
        return [*self.outputs, *calibrated, *decision, *spread, *(["out_of_range"] if self.known else [])]

    @property
    def by_modality(self) -> bool:
        """Say whether a picture's modality tells if it is out of range."""
        return self.known is not None and bool(self.known.modalities)

    def output(self, answer: np.ndarray) -> np.ndarray:
        """Return the network's output: the mean of its members', where the answer has those one after the other."""
        return self._said(answer).mean(axis=0)

    def values(self, answer: np.ndarray, pixels: np.ndarray, modality: str = "") -> list[object]:
        """Return what stands in them for the answer on one prepared picture.

        Args:
            answer: the network's output, or its members'.
            modality: that its DICOM file names.
        """
        own = self.output(answer)
        told: list[object] = [float(value) for value in own]
        if self.calibration is not None:
            told += [float(value) for value in self._calibrated(own, self.calibration)]
        if self.threshold is not None:
            told.append(self.classes[int(own[0] >= self.threshold)])
        if self.members:
            told.append(float(self._said(answer)[:, int(own.argmax())].std(ddof=1)))
        if self.known is not None:
            told.append(self.known.outside(pixels, modality))
        return told

    @property
    def _named(self) -> Sequence[str]:
        return self.classes[-1:] if self.kind == "binary" else self.classes

    def _said(self, answer: np.ndarray) -> np.ndarray:
        return np.asarray(answer, np.float64).reshape(max(1, self.members), -1)

    def _calibrated(self, own: np.ndarray, calibration: Calibration) -> np.ndarray:
        if self.kind == "binary":
            return calibration.apply([[1 - own[0], own[0]]])[0, 1:]
        return calibration.apply(own[None])[0]


def columns_of(manifest: dict[str, Any]) -> Columns:
    """Read what keras_med.json says of classes, calibration and threshold."""
    classes = tuple(label_text(name) for name in manifest.get("classes") or ())
    fitted, threshold = manifest.get("calibration"), manifest.get("threshold")
    calibration = None
    if fitted:
        offsets = tuple(map(float, fitted["offsets"]))
        calibration = Calibration(fitted["method"], float(fitted["temperature"]), offsets, examples=0)
    known = of_json(manifest["range"]) if manifest.get("range") else None
    members = int(manifest.get("members", 0))
    found = Columns(manifest["target"]["kind"], classes, calibration, threshold, members, known)
    of = manifest.get("decides_on") or {}
    return _without_patients_figures(found, str(of["combine"])) if of.get("unit") == "patient" else found


def _without_patients_figures(found: Columns, combine: str) -> Columns:
    """Leave out what was chosen on whole patients, and say so."""
    has = {"threshold": found.threshold is not None, "calibration": found.calibration is not None}
    names = [name for name, given in has.items() if given]
    if not names:
        return found
    are = "it is" if len(names) == 1 else "they are"
    why = f"{' and '.join(names).capitalize()} left out: {are} of a patient's pictures together (their {combine})."
    return replace(found, calibration=None, threshold=None, undecided=why)
