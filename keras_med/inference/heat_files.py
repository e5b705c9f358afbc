"""Predicted pictures to PNG files that show where each answer came from, named by their row in predictions.csv."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from keras_med import runfolder
from keras_med.errors import RecipeError
from keras_med.inference.explain import Explainer
from keras_med.inference.load import LoadedModel, load_keras
from keras_med.inference.overlay import heated, scale_of

_SCALE = "scale.json"


class HeatFiles:
    """A folder of heat maps, all on one scale: that of the first pictures, kept there for a call that goes on.

    Of several classes the one that the network says is explained; of a volume the hottest slice is shown.

    Args:
        trust: use an export whose files have changed all the same.
    """

    def __init__(self, folder: Path, model: LoadedModel, *, trust: bool = False) -> None:
        if folder.is_file():
            raise RecipeError("--explain is a file; expected a folder.", where=str(folder))
        self.folder = folder
        self._kind = model.manifest["target"]["kind"]
        # a network that has nothing to show is refused here, before anything is predicted
        self._explainer = Explainer(load_keras(model.folder, trust=trust), signed=self._kind != "regression")

    def begin(self, going_on: bool) -> None:
        """Make the folder; the scale of an earlier call counts for one that goes on alone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not going_on:
            (self.folder / _SCALE).unlink(missing_ok=True)

    def draw(
        self, pixels: np.ndarray, outputs: np.ndarray, rows: Sequence[int], burned_in: Sequence[bool]
    ) -> list[str]:
        """Write a file for each prepared picture and return their names; none where the heat is no number.

        Args:
            rows: of predictions.csv, counted from 1 below the header: a name that says nothing of a patient.
            burned_in: what a file marks as having text in its pixels is not pictured.
        """
        planes = [self._plane(*one) for one in zip(pixels, outputs, strict=True)]
        scale = self._scale([heat for heat, _ in planes])
        names = list[str]()
        for (heat, picture), row, text in zip(planes, rows, burned_in, strict=True):
            names.append("" if text or not np.isfinite(heat).all() else f"{row:07d}.png")
            if names[-1]:
                cv2.imwrite(str(self.folder / names[-1]), heated(picture, heat, scale))
        return names

    def _plane(self, pixels: np.ndarray, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return a plane of heat and the picture it lies over."""
        heat = self._explainer.heat(pixels[None], int(np.argmax(output)) if self._kind == "classes" else 0)[0]
        if heat.ndim == 3:
            place = int(heat.sum(axis=(0, 1)).argmax())
            heat, pixels = heat[:, :, place], pixels[:, :, place]
        shown = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
        return heat, shown[..., ::-1] if shown.shape[-1] == 3 else shown[..., :1]

    def _scale(self, planes: list[np.ndarray]) -> float:
        kept = self.folder / _SCALE
        if not kept.is_file():
            sound = [plane for plane in planes if np.isfinite(plane).all()]
            runfolder.write_json(kept, {"full_strength": scale_of(np.stack(sound)) if sound else 1.0})
        return float(runfolder.read_json(kept)["full_strength"])
