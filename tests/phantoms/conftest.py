"""How well something simple predicts the label of generated data: the measures of DECISIONS 15."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


@pytest.fixture(scope="session")
def r2_of() -> Callable[[np.ndarray, np.ndarray], float]:
    """The best cross-validated R2 that a linear, a boosted or a neighbour model reaches."""

    def best(features: np.ndarray, target: np.ndarray) -> float:
        folds = KFold(5, shuffle=True, random_state=0)
        models = [make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 6, 9))), KNeighborsRegressor(1)]
        if features.shape[1] <= 64:
            models.append(GradientBoostingRegressor(n_estimators=40, max_depth=2, random_state=0))
        return max(r2_score(target, cross_val_predict(model, features, target, cv=folds)) for model in models)

    return best


@pytest.fixture(scope="session")
def auroc_of() -> Callable[[np.ndarray, np.ndarray], float]:
    """The best cross-validated AUROC that a linear or a boosted model reaches."""

    def best(features: np.ndarray, positive: np.ndarray) -> float:
        folds = StratifiedKFold(5, shuffle=True, random_state=0)
        models = [make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))]
        if features.shape[1] <= 64:
            models.append(GradientBoostingClassifier(n_estimators=40, max_depth=2, random_state=0))
        scores = [
            cross_val_predict(model, features, positive, cv=folds, method="predict_proba")[:, 1] for model in models
        ]
        return max(roc_auc_score(positive, score) for score in scores)

    return best


@pytest.fixture(scope="session")
def summaries() -> Callable[[list[np.ndarray]], dict[str, np.ndarray]]:
    """Mean and deviation, histogram of 32 bins, and the size in pixels of each array on a 0-255 scale."""

    def of(pictures: list[np.ndarray]) -> dict[str, np.ndarray]:
        histograms = [np.histogram(picture, 32, (0, 256))[0] / picture.size for picture in pictures]
        return {
            "mean and deviation": np.array([[picture.mean(), picture.std()] for picture in pictures]),
            "histogram": np.array(histograms),
            "size": np.array([picture.shape[:2] for picture in pictures], float),
            "order": np.arange(len(pictures), dtype=float)[:, None],
        }

    return of


@pytest.fixture(scope="session")
def thumbnails() -> Callable[[list[np.ndarray]], np.ndarray]:
    """Each picture as a row of 32 x 32 pixels."""

    def of(pictures: list[np.ndarray]) -> np.ndarray:
        small = [cv2.resize(picture.astype(np.float32), (32, 32), interpolation=cv2.INTER_AREA) for picture in pictures]
        return np.stack([picture.ravel() for picture in small])

    return of
