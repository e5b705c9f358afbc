"""A prepared picture to a plane of heat for each slice, in 256 steps: where the network's answer came from."""

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_med.errors import UserError
from keras_med.inference.explain import Explainer
from keras_med.inference.load import load_keras
from keras_med.inference.overlay import scale_of


@dataclass(frozen=True)
class Plane:
    """Heat of one picture.

    shares: (depth, height, width), uint8, 255 where nearly the hottest place is.
    target: the number of the output that it explains.
    empty: nothing spoke for that output.
    """

    shares: np.ndarray
    target: int
    empty: bool


class Heat:
    """The export's `.keras` file, loaded when heat is first asked for."""

    def __init__(self, folder: Path, kind: str, *, trust: bool) -> None:
        self._folder, self._kind, self._trust = folder, kind, trust
        self._lock = threading.Lock()
        self._explainer: Explainer | None = None
        self._why = ""

    def of(self, pixels: np.ndarray, output: np.ndarray) -> Plane | str:
        """Return heat for one prepared picture and the network's output on it, or why there is none."""
        target = int(np.argmax(output)) if self._kind == "classes" else 0
        with self._lock:  # one gradient at a time: side by side they would only take twice the memory
            try:
                heat = self._loaded().heat(pixels[None], target)[0]
            except UserError as error:
                self._why = error.sentence
            if self._why:
                return self._why
        planes = heat[None] if heat.ndim == 2 else np.moveaxis(heat, -1, 0)
        shares = np.clip(planes / scale_of(planes), 0, 1)
        return Plane(np.rint(255 * shares).astype(np.uint8), target, empty=not bool((planes > 0).any()))

    def _loaded(self) -> Explainer:
        if self._explainer is None:
            self._explainer = Explainer(load_keras(self._folder, trust=self._trust), signed=self._kind != "regression")
        return self._explainer
