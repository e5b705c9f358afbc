"""What the server says, as JSON: the columns of predictions.csv under names of their own."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, Field

from keras_med.inference.columns import SPREAD, Columns


class Prediction(BaseModel):
    """One picture's answer."""

    file: str = Field(description="the file's name as it was sent; of a series that of its first file")
    parts: list[int] = Field(description="places in the request of the files it was made of, from 0")
    row: int | None = Field(default=None, description="of a stack, from 0")
    outputs: dict[str, float] = Field(default={}, description="p_<class>, or predicted: the network's own")
    calibrated: dict[str, float] = Field(default={}, description="calibrated_<class>, where the export has one")
    decision: str | None = Field(default=None, description="the class at the export's threshold, where it has one")
    spread: float | None = Field(
        default=None,
        description="between the members of an ensemble: the deviation of their p of its class, or of their number",
    )
    out_of_range: str | None = Field(
        default=None,
        description="what is unlike training; empty if nothing is, null if the export cannot tell",
    )
    notes: list[str] = Field(default=[], description="what was repaired or assumed while reading")
    reason: str = Field(default="", description="why the file could not be read; empty if it was")


class Answer(BaseModel):
    """The answer to one request."""

    model: str
    demo: bool = Field(description="the model was trained on generated data: no number means anything")
    predictions: list[Prediction]


class Refused(BaseModel):
    """A request that got no prediction."""

    detail: str
    predictions: list[Prediction] = Field(default=[], description="each file's reason")


class Health(BaseModel):
    """What is served."""

    status: str = "ok"
    model: str
    version: str
    demo: bool
    changed: list[str] = Field(description="files of the export that are not as they were written, and were trusted")
    kind: str = Field(description="binary, classes or regression")
    unit: str
    classes: list[str]
    size: list[int]
    threshold: float | None
    undecided: str = Field(description="why there is no decision although the export has a threshold")
    calibrated: bool
    largest: int = Field(description="bytes that one request may have")


class Shown(BaseModel):
    """Pixels for a page: (depth, height, width, channels), whole numbers, little-endian, base64."""

    depth: int
    height: int
    width: int
    channels: int
    bits: int
    low: float = Field(default=0.0, description="what 0 stands for")
    high: float = Field(default=255.0, description="what the largest number stands for")
    window: list[float] = Field(default=[0.0, 255.0], description="the lowest and highest value shown at first")
    unit: str = ""
    reduced: float = Field(default=1.0, description="its width by the file's own: large ones are made smaller")
    data: str


class Looked(BaseModel):
    """One picture to look at."""

    prediction: Prediction
    picture: Shown | None
    heat: Shown | None
    heat_of: str = Field(default="", description="the output that the heat speaks for")
    no_heat: str = Field(default="", description="why there is no heat")


def filled(prediction: Prediction, columns: Columns, answer: np.ndarray, pixels: np.ndarray, modality: str) -> None:
    """Put the network's answer on one picture in, as `predict` writes it into its row."""
    if not np.isfinite(answer).all():
        prediction.reason = "The network answers with numbers that are not finite."
        return
    found = dict(zip(columns.names, columns.values(answer, pixels, modality), strict=True))
    prediction.outputs = {name: _number(found.pop(name)) for name in columns.outputs}
    decision, spread, unlike = (found.pop(name, None) for name in ("decision", SPREAD, "out_of_range"))
    prediction.decision = None if decision is None else str(decision)
    prediction.spread = None if spread is None else _number(spread)
    prediction.out_of_range = None if unlike is None else str(unlike)
    prediction.calibrated = {name: _number(value) for name, value in found.items()}


def none_read(predictions: Sequence[Prediction]) -> Refused:
    """Say that no file could be read, and of each why."""
    first = predictions[0].reason
    many = f"None of the {len(predictions)} pictures can be read. The first: {first}"
    return Refused(detail=first if len(predictions) == 1 else many, predictions=list(predictions))


def _number(value: object) -> float:
    return float(value)  # type: ignore[arg-type]
