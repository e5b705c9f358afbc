"""An export's description and its network's outputs to what stands in predictions.csv for one picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_med.data.identifiers import label_text
from keras_med.evaluation.calibration import Calibration
from keras_med.inference.range import Range, of_json


@dataclass(frozen=True)
class Columns:
    """The columns that an export's predictions have: its outputs, the same calibrated, and the decision.

    classes: as text, in the order of the outputs; a binary network's one output is the probability of the last.
    threshold: of the network's own probability, before any calibration: that is what it was chosen on.
    known: what training pictures are like, where the export says it.
    undecided: why there is no decision or calibrated probability although the export has what it takes.
    """

    kind: str
    classes: tuple[str, ...]
    calibration: Calibration | None = None
    threshold: float | None = None
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
        return [*self.outputs, *calibrated, *decision, *(["out_of_range"] if self.known else [])]

    @property
    def by_modality(self) -> bool:
        """Say whether a picture's modality tells if it is out of range."""
        return self.known is not None and bool(self.known.modalities)

    def values(self, output: np.ndarray, pixels: np.ndarray, modality: str = "") -> list[object]:
        """Return what stands in them for the network's output on one prepared picture.

        Args:
            modality: that its DICOM file names.
        """
        own = np.atleast_1d(output).astype(np.float64)
        told: list[object] = [float(value) for value in own]
        if self.calibration is not None:
            told += [float(value) for value in self._calibrated(own, self.calibration)]
        if self.threshold is not None:
            told.append(self.classes[int(own[0] >= self.threshold)])
        if self.known is not None:
            told.append(self.known.outside(pixels, modality))
        return told

    @property
    def _named(self) -> Sequence[str]:
        return self.classes[-1:] if self.kind == "binary" else self.classes

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
    found = Columns(manifest["target"]["kind"], classes, calibration, threshold, known)
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
