"""The files of a request to predictions and to what a page draws: reading processes, a queue, a network, heat."""

import asyncio
import base64
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from keras_med.data.memory import MemoryFile
from keras_med.inference.columns import columns_of
from keras_med.inference.load import LoadedModel
from keras_med.inference.predict import preparation
from keras_med.serving.answers import Answer, Health, Looked, Prediction, Shown, filled
from keras_med.serving.batches import Batches
from keras_med.serving.form import Refusal
from keras_med.serving.heat import Heat, Plane
from keras_med.serving.readers import Read, Readers, Seen
from keras_med.serving.sent import MOST_PICTURES, Unit, units

_MOST_READERS = 4
_TOO_MANY = f"More than {MOST_PICTURES} pictures at once; python -m keras_med.predict takes any number."


class Service:
    """One model and all that answers for it; closed once.

    largest: bytes that a request may have.
    """

    def __init__(self, model: LoadedModel, *, largest: int) -> None:
        self.largest = largest
        self._model = model
        self._image = preparation(model)
        self._columns = columns_of(model.manifest)
        count = 1 + min(_MOST_READERS, os.cpu_count() or 1)  # one more than large files take
        self._readers = Readers(self._image, count=count)
        self._reading = ThreadPoolExecutor(count, thread_name_prefix="reading")
        self._planning = ThreadPoolExecutor(1, thread_name_prefix="planning")  # pydicom is quietened for a process
        self._batches = Batches(model.answer)
        self._heat = Heat(model.folder, self._columns.kind, trust=bool(model.changed))
        self._batches.ask(np.zeros(model.shape, np.float32)).result()  # the first call takes a second

    def close(self) -> None:
        """Let everything end."""
        self._readers.close()
        self._reading.shutdown(cancel_futures=True)
        self._planning.shutdown(cancel_futures=True)
        self._batches.close()

    @property
    def name(self) -> str:
        """Name the model by its recipe."""
        return str(self._model.manifest.get("recipe") or self._model.folder.parent.name)

    def health(self) -> Health:
        """Say what is served."""
        columns, target = self._columns, self._model.manifest["target"]
        return Health(
            model=self.name,
            version=self._model.folder.name,
            demo=self._model.demo,
            changed=list(self._model.changed),
            kind=columns.kind,
            unit=str(target.get("unit") or ""),
            classes=list(columns.classes),
            size=list(self._image.size),
            threshold=columns.threshold,
            undecided=columns.undecided,
            calibrated=columns.calibration is not None,
            largest=self.largest,
        )

    async def predict(self, files: Sequence[MemoryFile]) -> Answer:
        """Answer for every picture; one that cannot be read has its reason."""
        asked = await self._units(files)
        if sum(len(unit.rows) for unit in asked) > MOST_PICTURES:
            raise Refusal(422, _TOO_MANY)
        answered = await asyncio.gather(*(self._answered(files, unit) for unit in asked))
        predictions = [prediction for several in answered for prediction in several]
        return Answer(model=self.name, demo=self._model.demo, predictions=predictions)

    async def look(self, files: Sequence[MemoryFile], row: int) -> Looked:
        """Answer for one picture with its pixels and heat.

        Args:
            row: of a stack, from 0.
        """
        asked = await self._units(files)
        if len(asked) != 1:
            raise Refusal(422, "One picture is shown at a time: send one file, or the slices of one series.")
        (unit,) = asked
        if not 0 <= row < len(unit.rows):
            raise Refusal(422, f"There is no row {row}; there are {len(unit.rows)}.")
        unit = replace(unit, rows=(unit.rows[row],))
        (read,), seen = await self._read(unit, view=True)
        prediction, output = await self._predicted(files, unit, read)
        if read.pixels is None or output is None or seen is None:
            return Looked(prediction=prediction, picture=None, heat=None)
        heat = await asyncio.to_thread(self._heat.of, read.pixels, output)
        if isinstance(heat, str):
            return Looked(prediction=prediction, picture=_shown(seen), heat=None, no_heat=heat)
        why = "Nothing in this picture speaks for this answer." if heat.empty else ""
        named = self._columns.outputs[heat.target]
        return Looked(prediction=prediction, picture=_shown(seen), heat=_shown_heat(heat), heat_of=named, no_heat=why)

    async def _units(self, files: Sequence[MemoryFile]) -> list[Unit]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._planning, units, files, len(self._image.size))

    async def _read(self, unit: Unit, *, view: bool = False) -> tuple[list[Read], Seen | None]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reading, lambda: self._readers.read(unit, view=view))

    async def _answered(self, files: Sequence[MemoryFile], unit: Unit) -> list[Prediction]:
        reads, _ = await self._read(unit)
        several = await asyncio.gather(*(self._predicted(files, unit, read) for read in reads))
        return [prediction for prediction, _ in several]

    async def _predicted(
        self, files: Sequence[MemoryFile], unit: Unit, read: Read
    ) -> tuple[Prediction, np.ndarray | None]:
        """Return a picture's answer and the network's own output."""
        made = Prediction(file=files[unit.parts[0]].name, parts=list(unit.parts), row=read.row, reason=read.reason)
        if read.pixels is None:
            return made, None
        made.notes = list(read.notes)
        answer = await asyncio.wrap_future(self._batches.ask(read.pixels))
        await asyncio.to_thread(filled, made, self._columns, answer, read.pixels, read.modality)
        return made, self._columns.output(answer) if not made.reason else None


def _shown(seen: Seen) -> Shown:
    told: dict[str, Any] = {name: value for name, value in seen.told.items() if name in Shown.model_fields}
    return Shown(**told, data=base64.b64encode(seen.content).decode())


def _shown_heat(heat: Plane) -> Shown:
    depth, height, width = heat.shares.shape
    data = base64.b64encode(heat.shares.tobytes()).decode()
    return Shown(depth=depth, height=height, width=width, channels=1, bits=8, data=data)
