"""A loaded model to answers for many prepared pictures, by an engine that gives the answers recorded in the export."""

import numpy as np

from keras_med.engines import BOUND, ONNXRUNTIME, OPENVINO, TENSORFLOW, Compiler, Engine, difference, installed
from keras_med.export import golden
from keras_med.export.quiet import tensorflow
from keras_med.inference.load import LoadedModel

BATCH = 32
SAVED_MODEL = "SavedModel"
# Pictures from which a conversion is worth it. Nothing is timed: trying TensorFlow and another on 32 pictures took as
# long as answering 400 of them, and OpenVINO was not seen to lose on a processor.
_WORTH = {OPENVINO: 256, ONNXRUNTIME: 2048}


class Answering:
    """Answers in batches of one size, at which engines are fastest; a short one is filled up and cut again.

    engine: what answers; empty until the first pictures have come.
    told: why it is not another, where something is to say.

    Args:
        rows: to be answered, for which a conversion has to be worth it.
    """

    def __init__(self, model: LoadedModel, rows: int) -> None:
        self._model, self._rows = model, rows
        self._compiler = Compiler(model.function, BATCH)
        self.engine = SAVED_MODEL if rows < min(_WORTH.values()) else ""
        self.told = ""

    def go_on(self, engine: str) -> None:
        """Take the engine that an interrupted call had chosen: its rows and the others get the same numbers."""
        if engine == SAVED_MODEL or (not self.engine and engine in installed()):
            self.engine = engine

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return the network's outputs, or those of its members, on up to BATCH prepared pictures."""
        if not self.engine:
            self.engine = self._chosen()
        if self.engine == SAVED_MODEL:
            return self._model.answer(pixels)
        full = np.resize(pixels, (BATCH, *pixels.shape[1:])) if len(pixels) < BATCH else pixels
        return self._compiler.run(Engine(name=self.engine))(full)[: len(pixels)]

    def _chosen(self) -> str:
        """Return the first engine that is worth its conversion and answers golden images as the export recorded."""
        if tensorflow().config.get_visible_devices("GPU"):
            return SAVED_MODEL
        for name, worth in _WORTH.items():
            if name in installed() and self._rows >= worth and self._right(name):
                return name
        return SAVED_MODEL

    def _right(self, name: str) -> bool:
        recorded = self._model.manifest["golden"]
        indices = np.resize(recorded["indices"], BATCH)
        images = golden.images(recorded["seed"], [int(one) for one in indices], self._model.shape)
        wanted = self._model.recorded[np.arange(BATCH) % len(self._model.recorded)]
        try:
            found = self._compiler.run(Engine(name=name))(images.astype(np.float32))
        except Exception as error:  # an engine that fails is no failed prediction
            told = str(error).strip().splitlines() or [type(error).__name__]
            self.told = f"{name} cannot run this network ({told[0][:120]}); {TENSORFLOW} does."
            return False
        far = difference(wanted, found.reshape(BATCH, -1))
        if far > BOUND:
            self.told = f"{name} differs from the recorded answers by {far:.2g} (allowed: {BOUND:g}) and is not used."
        return far <= BOUND
