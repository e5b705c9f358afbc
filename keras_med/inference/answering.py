"""A loaded model to answers for many prepared pictures, by the fastest engine that gives TensorFlow's numbers."""

import numpy as np

from keras_med.engines import Compiler, Engine, choose, installed
from keras_med.inference.load import LoadedModel

BATCH = 32
SAVED_MODEL = "SavedModel"
_FEW = 64  # pictures up to which not even folding TensorFlow's graph is worth its seconds


class Answering:
    """Answers in batches of one size, at which engines are fastest; a short one is filled up and cut again.

    engine: what answers; empty until the first pictures have chosen it.
    told: why it is not another, where something is to say.

    Args:
        rows: to be answered, for which a conversion has to be worth it.
    """

    def __init__(self, model: LoadedModel, rows: int) -> None:
        self._model, self._rows = model, rows
        self._compiler = Compiler(model.function, BATCH)
        self.engine = SAVED_MODEL if rows <= _FEW else ""
        self.told = ""

    def go_on(self, engine: str) -> None:
        """Take the engine that an interrupted call had chosen: its rows and the others get the same numbers."""
        if not self.engine and engine in installed():
            self.engine = engine

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return the network's outputs on up to BATCH prepared pictures."""
        if self.engine == SAVED_MODEL:
            return self._model.predict(pixels)
        full = np.resize(pixels, (BATCH, *pixels.shape[1:])) if len(pixels) < BATCH else pixels
        if not self.engine:
            found = choose(self._compiler, "auto", "float32", None, full, self._rows)
            self.engine, self.told = found.engine.name, found.told
        return self._compiler.run(Engine(name=self.engine))(full)[: len(pixels)]
