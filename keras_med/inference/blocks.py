"""One block of files to their rows of predictions.csv: prepared side by side, then answered in batches."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from keras_med.data.pixels import read_input
from keras_med.data.prepare import prepare
from keras_med.inference.answering import BATCH, Answering
from keras_med.inference.columns import Columns
from keras_med.inference.inputs import Input
from keras_med.inference.range import modality
from keras_med.recipe.words import Image

if TYPE_CHECKING:
    from keras_med.inference.heat_files import HeatFiles  # which imports Keras

HEAT = "heat"
BLOCK = 256  # pictures a process reads before the network sees them: what an interruption costs, and memory


@dataclass(frozen=True)
class Blocks:
    """What gives a block its rows.

    heat: draws where each answer came from, where that is wanted.
    """

    answering: Answering
    columns: Columns
    image: Image
    heat: "HeatFiles | None" = None

    @property
    def names(self) -> list[str]:
        """Name the columns of predictions.csv."""
        return ["path", "row", *self.columns.names, *([HEAT] if self.heat else []), "reason"]

    @property
    def size(self) -> int:
        """The pictures of one block."""
        return BLOCK * (os.cpu_count() or 1)

    def rows(self, block: Sequence[Input], start: int, folder: Path) -> list[list[object]]:
        """Return one row an input, in their order: readable ones with outputs, the others with their reason.

        Args:
            start: how many inputs came before.
            folder: where prepared pictures lie meanwhile.
        """
        table = pd.DataFrame(block, columns=["path", "row", "reason"])
        table["id"] = [f"{place:09d}" for place in range(len(table))]
        readable = table[table["reason"] == ""].drop(columns="reason")
        empty = [None] * (len(self.names) - 3)
        rows: list[list[object]] = [[one.path, one.row, *empty, one.reason] for one in block]
        if readable.empty:
            return rows
        prepared = prepare(readable, self.image, folder, at_once=os.cpu_count() or 1, none_readable="allow")
        for name, reason in zip(prepared.excluded["id"], prepared.excluded["reason"], strict=True):
            rows[int(name)][-1] = reason
        for place, told in self._told(prepared.table, block, start):
            rows[place] = [block[place].path, block[place].row, *told, ""]
        return rows

    def _told(self, found: pd.DataFrame, block: Sequence[Input], start: int) -> Iterator[tuple[int, list[object]]]:
        """Answer prepared pictures; return each one's place in the block and what stands in its own columns."""
        for begin in range(0, len(found), BATCH):
            part = found.iloc[begin : begin + BATCH]
            at = zip(part["array"], part["array_row"], part["stack"], strict=True)
            pixels = np.stack([read_input(array, int(row), bool(stack), self.image) for array, row, stack in at])
            answers, places = self.answering(pixels), [int(name) for name in part["id"]]
            told = [
                self.columns.values(answer, picture, self._modality(block[place]))
                for answer, picture, place in zip(answers, pixels, places, strict=True)
            ]
            if self.heat:
                outputs = np.stack([self.columns.output(answer) for answer in answers])
                drawn = self.heat.draw(
                    pixels, outputs, [start + place + 1 for place in places], list(part["burned_in"])
                )
                told = [[*values, name] for values, name in zip(told, drawn, strict=True)]
            yield from zip(places, told, strict=True)

    def _modality(self, one: Input) -> str:
        return modality(Path(one.path)) if self.columns.by_modality else ""
