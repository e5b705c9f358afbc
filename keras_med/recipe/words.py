"""The words a recipe is built of: frozen dataclasses of plain values, checked when they are made."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from keras_med.recipe.checking import word
from keras_med.recipe.kinds import Count, Seed, Share, ShareOrZero, Within
from keras_med.recipe.model import Model
from keras_med.recipe.search import Search
from keras_med.recipe.train import Train

Index = Callable[[Path], Any]  # a pandas.DataFrame, which a recipe that is only read does not need
Pair = tuple[float, float]
Axis = Literal["horizontal", "vertical", "depth"]


@word
class Binary:
    """Two classes.

    positive: the label that counts as positive, as it stands in the table
    """

    positive: str | int | bool = 1

    @property
    def kind(self) -> Literal["binary"]:
        return "binary"


@word
class Classes:
    """Several classes.

    names: all labels, in the order of the network's outputs
    """

    names: tuple[str | int, ...]

    @property
    def kind(self) -> Literal["classes"]:
        return "classes"


@word
class Regression:
    """A number.

    unit: what the number counts, for every page and line that shows it
    """

    unit: str = ""

    @property
    def kind(self) -> Literal["regression"]:
        return "regression"


@word
class Data:
    """Where the examples come from.

    duplicates: what happens to confirmed twins: kept on one side of a split, dropped, refused or left alone
    balance: undersample larger classes to the smallest: in training, or before the split, as some notebooks do
    mirror: add each picture's mirrored copy: in training alone, or before the split, as some notebooks do
    splits: a splits.csv of an earlier run that is used instead of a new division
    blocks: where patients are unknown, one more network, tested on whole blocks of consecutive files; this many blocks
    submission: a sample submission below the data folder; predictions of unlabelled rows are written in its form
    """

    index: Index = dataclasses.field(kw_only=False)
    unlabelled: Index | None = None
    phantom: str | Callable[..., None] | None = None
    duplicates: Literal["group", "drop", "error", "allow"] = "group"
    balance: Literal["undersample", "undersample_before_split"] | None = None
    mirror: Literal["training", "before_split"] | None = None
    splits: str | None = None
    blocks: Annotated[int, Within(10, 1000)] | None = None
    submission: str | None = None


@word
class Image:
    """How stored pixels become the network's input.

    size: rows and columns, or rows, columns and slices, after resizing
    values: windows [(centre, width), ...], "file", (low, high), "per_image" or "as_is": how stored values become 0-255
    channels: colour channels of the input; windows have one each
    store_as: also leave every prepared picture as a PNG file
    """

    size: tuple[Count, Count] | tuple[Count, Count, Count]
    values: tuple[Pair, ...] | Pair | Literal["file", "per_image", "as_is"] = "as_is"
    channels: Literal[1, 3] | None = None
    store_as: Literal["png"] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, channels last."""
        return (*self.size, self.channels or (len(self.values) if self.windows else 1))

    @property
    def windows(self) -> bool:
        """Whether `values` is a list of windows, one channel each."""
        return isinstance(self.values, tuple) and isinstance(self.values[0], tuple)


@word
class Holdout:
    """One split, by patient and by twins where they are known.

    validation: share of the examples for early stopping and the best weights
    test: share of the examples that is scored once, at the end
    by: what stays on one side: all of a patient and its twins, or each example alone, as some notebooks do
    """

    validation: Share = 0.15
    test: Share = 0.15
    by: Literal["patient", "example"] = "patient"


@word
class KFold:
    """Folds, by patient and by twins where they are known.

    folds: number of folds
    validation: share cut from the training side of each fold for early stopping; 0 uses the fold itself
    test: share set aside before the folds are made
    by: what stays on one side: all of a patient and its twins, or each example alone, as some notebooks do
    """

    folds: Annotated[int, Within(2, 100)] = 5
    validation: ShareOrZero = 0.1
    test: ShareOrZero = 0.15
    by: Literal["patient", "example"] = "patient"


@word
class Column:
    """The split that the data came with.

    name: the column with train, validation and test
    validation: share cut from the training side where the column has no validation rows
    leaks: refuse a split that shares patients or twins, drop the shared ones from training, or keep them, told in red
    watch: the part that chooses the best weights: validation, or the test split itself, as some notebooks do
    """

    name: str = dataclasses.field(default="split", kw_only=False)
    validation: Share = 0.15
    leaks: Literal["error", "drop_from_training", "allow"] = "error"
    watch: Literal["validation", "test"] = "validation"


@word
class Augment:
    """How training images are changed, anew in each epoch; what is not named is left alone.

    flip: mirror every second image, by chance, along each named axis
    rotate: most degrees of turning in the plane, either way
    shift: most shift in the plane, as a share of its size
    zoom: most enlarging or shrinking in the plane: 0.25 is from 1/1.25 to 1.25
    brightness: most that is added or taken away, as a share of the whole scale
    contrast: most strengthening or weakening of what differs from the image's mean: 0.25 is from 1/1.25 to 1.25
    gamma: most bending of the grey scale: 0.25 is from 1/1.25 to 1.25 as the exponent
    noise: largest deviation of the noise that is added, as a share of the whole scale
    """

    flip: Axis | tuple[Axis, ...] = ()
    rotate: Annotated[float, Within(0, 180)] = 0.0
    shift: ShareOrZero = 0.0
    zoom: ShareOrZero = 0.0
    brightness: ShareOrZero = 0.0
    contrast: ShareOrZero = 0.0
    gamma: ShareOrZero = 0.0
    noise: ShareOrZero = 0.0


@word
class Final:
    """What is exported after the folds: one more network, trained on nearly everything, or the mean of the folds' own.

    ensemble: train no other; export the mean of the folds' networks, of each its best epoch
    share: share of the examples outside the test split that it trains on; the rest is watched and never used
    start: from new weights, or from the fold with the best validation loss
    redraw: draw the watched rest from all labelled examples, test and training ones included, as some notebooks do
    calibration: share set aside first, on which the network's threshold and temperature are chosen
    """

    ensemble: bool = False
    share: Share = 0.97
    start: Literal["new", "best_fold"] = "new"
    redraw: bool = False
    calibration: ShareOrZero = 0.0


@word
class Evaluate:
    """How predictions become figures.

    unit: what one case is: an example, or a patient
    combine: how the predictions of one patient become one
    sensitivity: what the threshold of a binary target must reach; none calls positive from 0.5 on
    assurance: how sure that must be in new patients; none takes the threshold that reaches it on known ones
    """

    unit: Literal["example", "patient"] = "example"
    combine: Literal["mean", "max"] = "mean"
    sensitivity: Share | None = None
    assurance: Annotated[float, Within(0.5, 1, open_high=True)] | None = 0.95


@word
class Report:
    """What the report shows.

    pictures: show examples of the data
    heat: show beside them where the network's answer came from
    """

    pictures: bool = True
    heat: bool = True


@word
class Export:
    """What is made of the network that leaves the run, beside its SavedModel and .keras file.

    formats: also ONNX, LiteRT with float32 weights, or LiteRT with 8-bit weights
    """

    formats: tuple[Literal["onnx", "litert", "litert_int8"], ...] = ()


Target = Binary | Classes | Regression
Split = Holdout | KFold | Column


@word
class Recipe:
    """Everything a run needs to know.

    seed: from which every random step takes its own
    """

    target: Target
    data: Data
    image: Image
    split: Split
    model: Model
    train: Train = dataclasses.field(default_factory=Train)
    augment: Augment | None = None
    final: Final | None = None
    search: Search | None = None
    evaluate: Evaluate = dataclasses.field(default_factory=Evaluate)
    report: Report = dataclasses.field(default_factory=Report)
    export: Export = dataclasses.field(default_factory=Export)
    seed: Seed = 0
