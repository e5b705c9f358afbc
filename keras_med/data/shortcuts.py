"""Folder, file name, size and other outer traits of a table to whether one of them alone predicts the label."""

import os
import re
from collections.abc import Callable
from pathlib import PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from keras_med.data.findings import Finding, Severity
from keras_med.data.split_division import groups_of

MOST_ROWS = 20_000  # more would only narrow an interval that is narrow enough
MOST_NAMES = 30  # values of a trait that are looked at one by one
RESAMPLES = 100

# A trait is a shortcut when even the lower bound of its score (one-sided 99 %, as several traits are tried on a table)
# passes the first figure; from the second on the label is all but written beside the picture.
_BARS = {"AUROC": (0.6, 0.8), "R2": (0.2, 0.5)}

_MEANING = {
    "folder": "the folder a file lies in; it may stand for a hospital, a scanner or a date",
    "name": "the file name (its letters, number, length or ending); the classes may come from different sources",
    "size": "width and height; the network sees traces of resizing and may learn those",
    "channels": "the number of channels; colour and grey files may come from different sources",
    "bits": "the bit depth; the classes may have been exported by different programs",
    "order": "the place in the table; file numbers or dates go with the label",
    "brightness": "mean, spread, darkest and brightest value; this may be the disease or the equipment",
}


def find_shortcuts(table: pd.DataFrame, kind: str) -> list[Finding]:
    """Return a finding for each trait that predicts the label by itself.

    Args:
        table: id, path, label, the columns that `prepare` adds and, where known, patient and group.
        kind: "binary", "classes" or "regression".
    """
    table = table[table["label"].notna()]
    if len(table) > MOST_ROWS:
        chosen = np.random.default_rng(0).choice(len(table), MOST_ROWS, replace=False)
        table = table.iloc[np.sort(chosen)]
    folders, own = _folders(table, kind)
    found = [_own_folder(table, own)] if own else []
    tables = {"folder": folders, **_traits(table, ordered=not own)}
    for trait, features in tables.items():
        score = trait_score(features, table, kind)
        finding = _finding(trait, score, "R2" if kind == "regression" else "AUROC")
        found += [finding] if finding else []
    return found


def trait_score(features: pd.DataFrame, table: pd.DataFrame, kind: str) -> tuple[float, float]:
    """Return AUROC (or R2) of a small tree on held-out groups, and its lower bound; nan where none is to be had.

    No patient and no twin is on both sides, so a name that holds the patient does not count as a shortcut by itself.
    """
    varying = features.loc[:, features.nunique() > 1].to_numpy(np.float32)
    groups = groups_of(table)
    if not varying.shape[1]:
        return np.nan, np.nan
    predicted = _numbers(varying, table, groups) if kind == "regression" else _classes(varying, table, groups)
    if predicted is None:
        return np.nan, np.nan
    score, truth, guess = predicted
    value = score(truth, guess)
    if value <= _BARS["R2" if kind == "regression" else "AUROC"][0]:
        return value, np.nan  # no bound below it can pass
    drawn = np.random.default_rng(0)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    scores = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[group] for group in drawn.integers(0, len(members), len(members))])
        scores.append(score(truth[rows], guess[rows]))
    return value, value - 2.33 * float(np.nanstd(scores))


Scored = tuple[Callable[[np.ndarray, np.ndarray], float], np.ndarray, np.ndarray]


def _classes(features: np.ndarray, table: pd.DataFrame, groups: NDArray[np.int64]) -> Scored | None:
    labels, names = pd.factorize(table["label"].astype(str), sort=True)
    people = pd.DataFrame({"label": labels, "group": groups}).groupby("label")["group"].nunique()
    folds = min(5, int(people.min())) if len(names) > 1 else 0
    if folds < 2:
        return None
    guess = np.zeros((len(table), len(names)))
    for train, held in StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(features, labels, groups):
        leaf = max(5, len(train) // 100)
        tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=leaf, class_weight="balanced", random_state=0)
        tree.fit(features[train], labels[train])
        guess[held[:, None], tree.classes_] = tree.predict_proba(features[held])
    return _auroc, labels, guess


def _numbers(features: np.ndarray, table: pd.DataFrame, groups: NDArray[np.int64]) -> Scored | None:
    folds = min(5, int(groups.max()) + 1)
    if folds < 2:
        return None
    labels = table["label"].to_numpy(float)
    guess = np.zeros(len(table))
    for train, held in GroupKFold(folds, shuffle=True, random_state=0).split(features, labels, groups):
        leaf = max(5, len(train) // 100)
        tree = DecisionTreeRegressor(max_depth=4, min_samples_leaf=leaf, random_state=0)
        guess[held] = tree.fit(features[train], labels[train]).predict(features[held])
    return _r2, labels, guess


def _auroc(labels: np.ndarray, guess: np.ndarray) -> float:
    """Return the mean over the classes of telling one from the rest; of two classes that is one figure."""
    scores = []
    for label in range(guess.shape[1]):
        own = labels == label
        number = int(own.sum())
        if 0 < number < len(own):
            higher = rankdata(guess[:, label])[own].sum() - number * (number + 1) / 2
            scores.append(higher / (number * (len(own) - number)))
    return float(np.mean(scores)) if scores else np.nan


def _r2(truth: np.ndarray, guess: np.ndarray) -> float:
    return float(1 - np.sum((truth - guess) ** 2) / max(np.sum((truth - truth.mean()) ** 2), 1e-12))


def _finding(trait: str, score: tuple[float, float], measure: str) -> Finding | None:
    value, low = score
    amber, red = _BARS[measure]
    if not low > amber:
        return None
    severity: Severity = "info" if trait == "brightness" else "red" if low > red else "amber"
    return Finding(
        name=f"shortcut_{trait}",
        severity=severity,
        sentence=f"The label can be guessed without looking at the picture ({measure} {value:.2f}, at least {low:.2f}) "
        f"from {_MEANING[trait]}.",
        count=1,
        remedy="Find out why before training; the report's subgroups by this trait show what a network makes of it.",
    )


def _own_folder(table: pd.DataFrame, own: str) -> Finding:
    return Finding(
        name="label_is_folder",
        severity="info",
        sentence=f"Each label has a folder or file of its own ({own}), as in tables made from folders: this is how the "
        "label is stored and does not count as a shortcut, so folders and order were not tested further.",
        count=table["label"].nunique(),
    )


def _folders(table: pd.DataFrame, kind: str) -> tuple[pd.DataFrame, str]:
    """Return the levels of the folders as columns without the one that is the label, and that one's names."""
    paths = table["path"].astype(str)
    stacked = "row" in table and table["row"].notna().all()
    parents = paths if stacked else paths.map(lambda path: str(PurePath(path).parent))
    shared = os.path.commonpath(list(parents)) if len(parents) and parents.map(os.path.isabs).nunique() == 1 else ""
    parts = parents.map(lambda path: PurePath(os.path.relpath(path, shared) if shared else path).parts)
    depth = int(parts.map(len).max()) if len(parts) else 0
    columns, own = [], ""
    for level in range(depth):
        names = parts.map(lambda each, level=level: each[level] if level < len(each) else "")
        pairs = pd.DataFrame({"name": names, "label": table["label"].astype(str)}).drop_duplicates()
        named = len(pairs) > 1 and pairs["name"].is_unique and pairs["label"].is_unique
        if named and kind != "regression":
            own = ", ".join(sorted(pairs["name"])[:5])
        else:
            columns.append(_one_column_each(names, f"level {level}"))
    return pd.concat([pd.DataFrame(index=table.index), *columns], axis=1), own


def _traits(table: pd.DataFrame, *, ordered: bool) -> dict[str, pd.DataFrame]:
    columns = {
        "size": ["width", "height"],
        "channels": ["channels"],
        "bits": ["bits"],
        "brightness": ["mean", "deviation", "minimum", "maximum"],
    }
    traits = {trait: table[names].astype(float) for trait, names in columns.items() if set(names) <= set(table)}
    if not ("row" in table and table["row"].notna().all()):  # rows of a stack have no names of their own
        traits["name"] = _names(table["path"].astype(str))
    if ordered:
        traits["order"] = pd.DataFrame({"order": np.arange(len(table))}, index=table.index)
    return traits


def _names(paths: pd.Series) -> pd.DataFrame:
    stems = paths.map(lambda path: PurePath(path).stem)
    number = stems.map(lambda stem: float((re.findall(r"\d+", stem) or ["-1"])[-1][:15]))
    shape = pd.DataFrame({"length": stems.str.len(), "digits": stems.str.count(r"\d"), "number": number})
    letters = stems.map(lambda stem: re.split(r"\d", stem)[0].lower())
    endings = paths.map(lambda path: PurePath(path).suffix)  # as written: .jpg and .JPG come from different programs
    return pd.concat([shape, _one_column_each(letters, "letters"), _one_column_each(endings, "ending")], axis=1)


def _one_column_each(values: pd.Series, name: str) -> pd.DataFrame:
    frequent = values.value_counts().index[:MOST_NAMES]
    return pd.DataFrame({f"{name} {value}": (values == value).astype(float) for value in frequent}, index=values.index)
