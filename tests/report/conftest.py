"""Run folders as a run leaves them, made of simulated predictions with known answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, brier_score_loss, roc_auc_score

from keras_med.report.page import write_report
from keras_med.runfolder import RunFolder

RUN = "20261120T221530Z-a1b2"
CLASSES = ("covid", "normal", "virus")
TARGETS: dict[str, dict[str, Any]] = {
    "regression": {"kind": "regression", "unit": "years", "classes": []},
    "binary": {"kind": "binary", "unit": "", "classes": ["0", "1"], "positive": "1"},
    "classes": {"kind": "classes", "unit": "", "classes": list(CLASSES)},
}
HEADLINES = {"regression": "mae", "binary": "auroc", "classes": "accuracy"}


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Give the builder of a run folder below tmp_path."""
    return lambda recipe="example", **options: build(tmp_path / "runs" / recipe / RUN, **options)


@pytest.fixture(scope="session")
def report_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunFolder]:
    """Give runs whose report is written, each made once; they must not be changed."""
    made: dict[tuple[tuple[str, Any], ...], RunFolder] = {}

    def give(**options: Any) -> RunFolder:
        key = tuple(sorted(options.items()))
        if key not in made:
            made[key] = build(tmp_path_factory.mktemp("runs") / RUN, **options)
            write_report(made[key])
        return made[key]

    return give


def build(
    path: Path,
    *,
    kind: str = "regression",
    examples: int = 240,
    demo: bool = False,
    smoke: bool = False,
    pictures: bool = True,
    patients: bool = False,
    worst_id: str = "",
    seed: int = 3,
) -> RunFolder:
    """Write a whole run folder; `worst_id` replaces the id of the worst test prediction, everywhere."""
    run, generator = RunFolder(path), np.random.default_rng(seed)
    path.mkdir(parents=True)
    index = _index(kind, examples, generator, patients)
    splits = _splits(index, generator)
    predictions = _predictions(kind, index, splits, generator)
    if worst_id:
        worst = _worst(predictions, kind)
        index, splits, predictions = (
            table.replace({"id": {worst: worst_id}}) for table in (index, splits, predictions)
        )
    _arrays(run, generator)
    index.to_csv(run.index, index=False)
    splits.to_csv(run.splits, index=False)
    predictions.to_csv(run.predictions, index=False)
    excluded = {"id": ["x1", "x2", "x3"], "reason": ["constant image", "constant image", "cannot be decoded"]}
    pd.DataFrame(excluded).to_csv(run.excluded, index=False)
    used = {"when": "2026-11-20T22:20:00Z", "run": ["earlier", path.name, "other"], "test": ["t1", "t1", "t2"]}
    pd.DataFrame(used).to_csv(run.test_uses, index=False)
    write(run.settings, _settings(kind, demo=demo, smoke=smoke, pictures=pictures, seed=seed))
    write(run.environment, ENVIRONMENT)
    write(run.audit, AUDIT)
    write(run.metrics, _metrics(kind, predictions, patients=patients))
    for name in ("t000-fold0", "t000-fold1", "t000-fold2", "t000-final"):
        _fit(run, name, generator)
    return run


def write(path: Path, content: dict[str, Any]) -> None:
    """Write JSON as the program does."""
    path.write_text(json.dumps({"format": 1, **content}), encoding="utf-8")


def _index(kind: str, examples: int, generator: np.random.Generator, patients: bool) -> pd.DataFrame:
    """Labelled rows, and a tenth more without a label."""
    rows = examples + examples // 10
    labels: Any = {
        "regression": np.round(generator.uniform(18, 89, rows), 1),
        "binary": (generator.random(rows) < 0.3).astype(int),
        "classes": generator.choice(CLASSES, rows, p=(0.25, 0.39, 0.36)),
    }[kind]
    index = pd.DataFrame(
        {
            "id": [f"{place:06d}" for place in range(rows)],
            "path": [f"/private/place/{place}.png" for place in range(rows)],
            "label": [str(label) for label in labels],
            "labelled": np.arange(rows) < examples,
            "sex": generator.choice(["F", "M"], rows),
            "array": "shard.npy",
            "array_row": np.arange(rows) % 16,
            "pixel_hash": [f"{generator.integers(2**60):015x}" for _ in range(rows)],
        }
    )
    index.loc[~index["labelled"], "label"] = ""
    return index.assign(patient=[f"secret-{place // 2}" for place in range(rows)]) if patients else index


def _splits(index: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    ids = index.loc[index["labelled"], "id"].to_numpy()
    order = generator.permutation(len(ids))
    test, rest = order[: int(0.3 * len(ids))], order[int(0.3 * len(ids)) :]
    parts = []
    for fold in ("0", "1", "2", "final"):
        where = np.full(len(ids), "train", dtype=object)
        if fold == "final":
            where[rest[: len(rest) // 33 + 1]] = "validation"
        else:
            where[rest[int(fold) :: 3]] = "out_of_fold"
            where[rest[(int(fold) + 1) % 3 :: 9]] = "validation"
        where[test] = "test"
        parts.append(pd.DataFrame({"id": ids, "group": ids, "split": where, "fold": fold}))
    without = index.loc[~index["labelled"], ["id"]].assign(group="", split="unlabelled", fold="final")
    return pd.concat([*parts, without], ignore_index=True)


def _predictions(kind: str, index: pd.DataFrame, splits: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    parts = []
    for fold in ("0", "1", "2", "final"):
        for role in ("validation", "test", "unlabelled") if fold == "final" else ("validation", "out_of_fold"):
            chosen = splits[(splits["fold"] == fold) & (splits["split"] == role)]["id"]
            rows = index[index["id"].isin(chosen)]
            fit = "t000-final" if fold == "final" else f"t000-fold{fold}"
            said = pd.DataFrame({"id": rows["id"], "fit": fit, "role": role, "label": rows["label"]})
            parts.append(said.assign(**_said(kind, rows["label"].to_numpy(), generator)))
    return pd.concat(parts, ignore_index=True)


def _said(kind: str, labels: np.ndarray, generator: np.random.Generator) -> dict[str, np.ndarray]:
    if kind == "regression":
        known = np.array([float(label or 50) for label in labels])
        return {"predicted": 53 + 0.7 * (known - 53) + generator.normal(0, 7, len(labels))}
    if kind == "binary":
        score = 2.2 * (labels == "1") - 1.9 + generator.normal(0, 1.3, len(labels))
        return {"p_1": 1 / (1 + np.exp(-score))}
    score = generator.normal(0, 1, (len(labels), 3)) + 2.4 * (labels[:, None] == np.array(CLASSES)[None, :])
    p = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    return {f"p_{name}": p[:, place] for place, name in enumerate(CLASSES)}


def _worst(predictions: pd.DataFrame, kind: str) -> str:
    test = predictions[predictions["role"] == "test"]
    if kind == "regression":
        return str(test["id"][(test["predicted"] - test["label"].astype(float)).abs().idxmax()])
    return str(test["id"][(test["p_1"] - test["label"].astype(float)).abs().idxmax()])


def _arrays(run: RunFolder, generator: np.random.Generator) -> None:
    """Sixteen chests of a sort: two dark ovals, ribs and noise, stored as 16 bits."""
    y, x = np.mgrid[-1:1:160j, -1:1:160j]
    images = []
    for _ in range(16):
        height = generator.uniform(0.55, 0.7)
        lungs = sum(np.exp(-(((x - side * 0.42) / 0.3) ** 4 + ((y + 0.05) / height) ** 4)) for side in (-1, 1))
        ribs = 0.5 + 0.5 * np.sin(18 * (y + 0.25 * np.abs(x)))
        body = np.exp(-((x / 0.9) ** 8)) * (190 - 130 * lungs + 14 * ribs * lungs)
        images.append(np.clip(body + generator.normal(0, 5, x.shape), 0, 255))
    np.save(run.path / "shard.npy", (np.array(images)[..., None] * 257).astype(np.uint16))


def _settings(kind: str, *, demo: bool, smoke: bool, pictures: bool, seed: int) -> dict[str, Any]:
    docstring = "Age from a chest X-ray.\n\nProtocol: 15 % test first, five folds in the rest, a final network on 97 %."
    return {
        "recipe": {"file": "spr_age.py", "name": "recipe", "title": "spr_age", "docstring": docstring},
        "command": "python -m keras_med.run recipes/spr_age.py --set train.learning_rate=1e-3",
        "settings": {
            "image.size": [160, 160],
            "image.values": "as_is",
            "train.epochs": 20,
            "train.learning_rate": 0.001,
            "model.frozen": True,
            "report.pictures": pictures,
            "evaluate.unit": "example",
            "evaluate.combine": "mean",
        },
        "target": TARGETS[kind],
        "demo": demo,
        "smoke": smoke,
        "seed": seed,
        "data": "/private/place",
    }


def _metrics(kind: str, predictions: pd.DataFrame, *, patients: bool) -> dict[str, Any]:
    score = {"regression": _regression, "binary": _binary, "classes": _several}[kind]
    roles = ("test", "out_of_fold", "validation")
    by_fold = predictions[predictions["role"] == "out_of_fold"].groupby("fit")
    folds = {str(fit): score(rows)[HEADLINES[kind]]["value"] for fit, rows in by_fold}
    values = list(folds.values())
    warning = "The validation figure is better than the test's by 1.2 years."
    return {
        "splits": {role: score(predictions[predictions["role"] == role]) for role in roles},
        "headline": {"split": "test", "metric": HEADLINES[kind]},
        "improvement": {"value": 0.52, "low": 0.44, "high": 0.59, "unit": "", "n": 72, "patients": None},
        "verdict": {
            "name": "LEARNED",
            "sentence": "On cases held back from training the predictions are closer to the truth than the training "
            "constant.",
        },
        "folds": {
            "metric": HEADLINES[kind],
            "values": folds,
            "mean": float(np.mean(values)),
            "deviation": float(np.std(values, ddof=1)),
        },
        "checks": [{"severity": "amber", "sentence": warning, "remedy": "Quote the test's."}],
        "shared_patients": 0,
        "patients_known": patients,
        "times": {"data": 12.5, "fits": 260.0},
    }


def _regression(rows: pd.DataFrame) -> dict[str, Any]:
    labels = rows["label"].astype(float).to_numpy()
    error = rows["predicted"].to_numpy() - labels
    bias, half = error.mean(), 1.96 * error.std(ddof=1)
    table = {
        "mae": np.abs(error).mean(),
        "rmse": np.sqrt((error**2).mean()),
        "bias": bias,
        "limit_low": bias - half,
        "limit_high": bias + half,
    }
    entries = {name: _entry(value, len(rows), "years") for name, value in table.items()}
    for ten in range(10, 90, 10):
        inside = labels // 10 * 10 == ten
        if inside.any():
            entries[f"mae_{ten}_to_{ten + 10}"] = _entry(np.abs(error[inside]).mean(), int(inside.sum()), "years")
    return entries


def _binary(rows: pd.DataFrame) -> dict[str, Any]:
    truth, p = rows["label"].astype(int).to_numpy(), rows["p_1"].to_numpy()
    table = {
        "sensitivity": (p[truth == 1] >= 0.5).mean(),
        "specificity": (p[truth == 0] < 0.5).mean(),
        "auroc": roc_auc_score(truth, p),
        "average_precision": average_precision_score(truth, p),
        "brier": brier_score_loss(truth, p),
    }
    return {name: _entry(value, len(rows)) for name, value in table.items()}


def _several(rows: pd.DataFrame) -> dict[str, Any]:
    p, truth = rows[[f"p_{name}" for name in CLASSES]].to_numpy(), rows["label"].to_numpy()
    called = np.array(CLASSES)[p.argmax(axis=1)]
    entries = {"accuracy": _entry(accuracy_score(truth, called), len(rows))}
    for name in CLASSES:
        entries[f"precision_{name}"] = _entry((truth[called == name] == name).mean(), int((called == name).sum()))
        entries[f"recall_{name}"] = _entry((called[truth == name] == name).mean(), int((truth == name).sum()))
    return entries


def _entry(value: float, n: int, unit: str = "") -> dict[str, Any]:
    """An interval of a plausible width; nothing here depends on it."""
    half = 0.12 * abs(value) + 0.01
    high = value + half if unit else min(value + half, 1.0)
    return {
        "value": float(value),
        "low": float(value - half),
        "high": float(high),
        "unit": unit,
        "n": n,
        "patients": None,
    }


def _fit(run: RunFolder, name: str, generator: np.random.Generator) -> None:
    fit, last = run.fit(name), name.endswith("final")
    fit.path.mkdir(parents=True)
    epochs = np.arange(1, 15 if last else 21)
    loss = 0.35 + 0.9 * np.exp(-epochs / 3) + generator.normal(0, 0.008, len(epochs))
    validation = loss * 1.12 + 0.012 * np.maximum(epochs - 12, 0) + generator.normal(0, 0.012, len(epochs))
    history = pd.DataFrame({"epoch": epochs, "loss": loss, "validation_loss": validation})
    history.assign(learning_rate=1e-3, seconds=3.1).to_csv(fit.history, index=False)
    best = int(epochs[validation.argmin()])
    write(fit.settings, {"plan": {"epochs": 14 if last else 40, "keep": "last" if last else "best"}})
    write(fit.done, {"best_epoch": best, "epochs": len(epochs), "seconds": 62.0})


ENVIRONMENT = {
    "python": "3.11.9",
    "packages": {"keras": "3.15.1", "tensorflow": "2.21.0", "numpy": "2.4.6"},
    "processor": "x86-64",
    "cores": 2,
    "threads": 2,
    "memory_gib": 23.4,
    "platform": "Linux",
    "backend": "tensorflow",
    "devices": "auto",
    "line": "batch 32 = 1 x 32, float32, 1 x CPU, 2 threads",
}
AUDIT = {
    "findings": [
        {
            "name": "duplicates",
            "severity": "red",
            "sentence": "4 images are identical to others of another label.",
            "count": 4,
            "rows": ["000001", "000002", "000007", "000009"],
            "remedy": "Mend the labels, or drop the images.",
        },
        {
            "name": "sizes",
            "severity": "info",
            "sentence": "Images come in 3 sizes.",
            "count": 3,
            "rows": [],
            "remedy": "",
        },
    ]
}
