"""Training labels and thumbnails to what a constant and a linear model would have predicted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from keras_med.data.identifiers import label_text
from keras_med.errors import DataError
from keras_med.evaluation.intervals import Floats
from keras_med.evaluation.metrics import class_numbers
from keras_med.evaluation.scores import Kind

COMPONENTS = 50  # of the thumbnails: a linear model on more of them learns noise, and takes minutes
MOST_ROWS = 5000  # the linear model trains on at most so many examples


@dataclass(frozen=True)
class Constant:
    """What a predictor that never looks gives everyone.

    Attributes:
        value: the training labels' mean; of classes their training shares, in the order of the target.
    """

    value: float | tuple[float, ...]


def constant_of(labels: Sequence[object], *, kind: Kind, classes: Sequence[object] = ()) -> Constant:
    """Take the constant from the training labels; for a binary target (negative, positive) shares."""
    if not len(labels):
        raise DataError("No training example to take a constant from.")
    if kind == "regression":
        return Constant(float(np.mean(np.asarray(labels, dtype=np.float64))))
    numbers, names = _numbers(labels, kind, classes)
    return Constant(tuple(float(share) for share in np.bincount(numbers, minlength=names) / len(numbers)))


def constant_predictions(
    predictions: pd.DataFrame, constant: Constant, *, kind: Kind, classes: Sequence[object] = ()
) -> pd.DataFrame:
    """Give the same table as the constant predictor would have filled it."""
    value = np.broadcast_to(np.asarray(constant.value, dtype=np.float64), (len(predictions), np.size(constant.value)))
    return _filled(predictions, value, kind, classes)


def linear_predictions(
    predictions: pd.DataFrame,
    thumbnails: npt.ArrayLike,
    *,
    training: tuple[npt.ArrayLike, Sequence[object]],
    kind: Kind,
    classes: Sequence[object] = (),
    seed: int,
) -> pd.DataFrame:
    """Give the same table as ridge or logistic regression on 32x32 thumbnails would have filled it.

    Args:
        thumbnails: of the table's rows, in its order, any shape after the first axis.
        training: thumbnails and labels of the training side; at most 5,000 of them are drawn.
    """
    images, labels = _flat(training[0]), training[1]
    if len(images) != len(labels) or len(_flat(thumbnails)) != len(predictions):
        raise DataError("Thumbnails and rows differ in number.")
    if len(images) < 2:
        raise DataError(f"A linear baseline needs at least 2 training examples; here are {len(images)}.")
    kept = np.sort(np.random.default_rng(seed).permutation(len(images))[:MOST_ROWS])
    images, labels = images[kept], [labels[row] for row in kept]
    if not np.ptp(images, axis=0).any():
        constant = constant_of(
            labels, kind=kind, classes=classes
        )  # all thumbnails are the same: there is nothing to fit
        return constant_predictions(predictions, constant, kind=kind, classes=classes)
    parts = min(COMPONENTS, *images.shape)
    reduce = make_pipeline(PCA(parts, svd_solver="randomized", random_state=seed), StandardScaler())
    if kind == "regression":
        model = make_pipeline(reduce, Ridge(alpha=1.0)).fit(images, np.asarray(labels, dtype=np.float64))
        return _filled(predictions, model.predict(_flat(thumbnails))[:, None], kind, classes)
    numbers, names = _numbers(labels, kind, classes)
    present = np.unique(numbers)
    if len(present) == 1:
        return constant_predictions(
            predictions, constant_of(labels, kind=kind, classes=classes), kind=kind, classes=classes
        )
    model = make_pipeline(reduce, LogisticRegression(max_iter=5000)).fit(images, numbers)
    p = np.zeros((len(predictions), names))
    p[:, present] = model.predict_proba(_flat(thumbnails))
    return _filled(predictions, p, kind, classes)


def _numbers(labels: Sequence[object], kind: Kind, classes: Sequence[object]) -> tuple[npt.NDArray[np.int64], int]:
    texts = [label_text(label) for label in labels]
    if kind == "binary":
        return np.array([text == label_text(classes[-1]) for text in texts], dtype=np.int64), 2
    return class_numbers(texts, [label_text(name) for name in classes]), len(classes)


def _filled(predictions: pd.DataFrame, value: Floats, kind: Kind, classes: Sequence[object]) -> pd.DataFrame:
    if kind == "regression":
        return predictions.assign(predicted=value[:, 0])
    if kind == "binary":
        return predictions.assign(**{f"p_{label_text(classes[-1])}": value[:, -1]})
    return predictions.assign(**{f"p_{label_text(name)}": value[:, place] for place, name in enumerate(classes)})


def _flat(images: npt.ArrayLike) -> Floats:
    array = np.asarray(images, dtype=np.float64)
    return array.reshape(len(array), -1)
