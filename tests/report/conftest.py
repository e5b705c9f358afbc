"""Run folders as a run leaves them, made of simulated predictions with known answers."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, brier_score_loss, roc_auc_score

from keras_med.runfolder import RunFolder

CHROMIUM = Path("/usr/bin/chromium")
CLASSES = ("covid", "normal", "virus")


@pytest.fixture()
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Give the builder of a run folder below tmp_path."""
    return lambda **options: build(tmp_path / "runs" / "example" / "20261120T221530Z-a1b2", **options)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Give a headless chromium; skip where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.is_file():
        pytest.skip(f"{CHROMIUM} is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


def build(
    path: Path,
    *,
    kind: str = "regression",
    examples: int = 240,
    demo: bool = False,
    smoke: bool = False,
    pictures: bool = True,
    hostile: str = "",
    patients: bool = False,
    seed: int = 3,
) -> RunFolder:
    """Write a whole run folder; `hostile` replaces the id of the worst test prediction."""
    run, generator = RunFolder(path), np.random.default_rng(seed)
    path.mkdir(parents=True)
    index = _index(kind, examples, generator, patients)
    splits = _splits(index["id"].to_numpy(), generator)
    predictions = _predictions(kind, index, splits, generator)
    if hostile:
        worst = _worst(predictions, kind)
        for table in (index, splits, predictions):
            table["id"] = table["id"].replace({worst: hostile})
    _arrays(run, index, generator)
    index.to_csv(run.index, index=False)
    splits.to_csv(run.splits, index=False)
    predictions.to_csv(run.predictions, index=False)
    _write(run.settings, _settings(kind, demo=demo, smoke=smoke, pictures=pictures, seed=seed))
    _write(run.environment, ENVIRONMENT)
    _write(run.audit, AUDIT)
    _write(run.metrics, _metrics(kind, predictions, patients=patients))
    pd.DataFrame({"id": ["x1", "x2", "x3"], "reason": ["constant image", "constant image", "cannot be decoded"]}).to_csv(
        run.excluded, index=False
    )
    for name in ("base-fold0", "base-fold1", "base-fold2", "base-final"):
        _fit(run, name, generator)
    return run


def _index(kind: str, examples: int, generator: np.random.Generator, patients: bool) -> pd.DataFrame:
    ids = [f"{place:06d}" for place in range(examples)]
    labels: Any = np.round(generator.uniform(18, 89, examples), 1)
    if kind == "binary":
        labels = (generator.random(examples) < 0.3).astype(int)
    elif kind == "classes":
        labels = generator.choice(CLASSES, examples, p=(0.25, 0.39, 0.36))
    index = pd.DataFrame(
        {
            "id": ids,
            "path": [f"/private/place/{name}.png" for name in ids],
            "label": labels,
            "sex": generator.choice(["F", "M"], examples),
            "array": "shard.npy",
            "array_row": np.arange(examples) % 16,
            "pixel_hash": [f"{generator.integers(2**60):015x}" for _ in ids],
            "mean": generator.uniform(90, 140, examples),
            "deviation": generator.uniform(30, 60, examples),
        }
    )
    return index.assign(patient=[f"secret-{place // 2}" for place in range(examples)]) if patients else index


def _splits(ids: np.ndarray, generator: np.random.Generator) -> pd.DataFrame:
    order = generator.permutation(len(ids))
    test, rest = order[: int(0.3 * len(ids))], order[int(0.3 * len(ids)) :]
    parts = []
    for fold in (*map(str, range(3)), "final"):
        where = np.full(len(ids), "train", dtype=object)
        if fold == "final":
            where[rest[: len(rest) // 33 + 1]] = "watched"
        else:
            where[rest[int(fold) :: 3]] = "out_of_fold"
            where[rest[(int(fold) + 1) % 3 :: 9]] = "validation"
        where[test] = "test"
        parts.append(pd.DataFrame({"id": ids, "group": ids, "split": where, "fold": fold}))
    return pd.concat(parts, ignore_index=True)


def _predictions(kind: str, index: pd.DataFrame, splits: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    parts = []
    for fold in (*map(str, range(3)), "final"):
        for role in ("test",) if fold == "final" else ("validation", "out_of_fold"):
            chosen = splits[(splits["fold"] == fold) & (splits["split"] == role)]["id"]
            rows = index[index["id"].isin(chosen)]
            said = pd.DataFrame(
                {"id": rows["id"], "fit": f"base-{'final' if fold == 'final' else 'fold' + fold}", "role": role, "label": rows["label"]}
            )
            parts.append(said.assign(**_said(kind, rows["label"].to_numpy(), generator)))
    return pd.concat(parts, ignore_index=True)


def _said(kind: str, labels: np.ndarray, generator: np.random.Generator) -> dict[str, np.ndarray]:
    if kind == "regression":
        return {"predicted": 53 + 0.7 * (labels - 53) + generator.normal(0, 7, len(labels))}
    if kind == "binary":
        return {"p_1": 1 / (1 + np.exp(-(2.2 * labels - 1.9 + generator.normal(0, 1.3, len(labels)))))}
    score = generator.normal(0, 1, (len(labels), 3)) + 2.4 * (labels[:, None] == np.array(CLASSES)[None, :])
    p = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    return {f"p_{name}": p[:, place] for place, name in enumerate(CLASSES)}


def _worst(predictions: pd.DataFrame, kind: str) -> str:
    test = predictions[predictions["role"] == "test"]
    miss = (test["predicted"] - test["label"]).abs() if kind == "regression" else (test.iloc[:, 4] - 0.5).abs()
    return str(test["id"][miss.idxmax()])


def _arrays(run: RunFolder, index: pd.DataFrame, generator: np.random.Generator) -> None:
    """Sixteen chests of a sort: two dark ovals, ribs and noise, stored as 16 bits."""
    y, x = np.mgrid[-1:1:160j, -1:1:160j]
    images = []
    for _ in range(16):
        lungs = sum(np.exp(-(((x - side * 0.42) / 0.3) ** 4 + ((y + 0.05) / generator.uniform(0.55, 0.7)) ** 4)) for side in (-1, 1))
        ribs = 0.5 + 0.5 * np.sin(18 * (y + 0.25 * np.abs(x)))
        body = np.exp(-((x / 0.9) ** 8))
        images.append(np.clip(body * (190 - 130 * lungs + 14 * ribs * lungs) + generator.normal(0, 5, x.shape), 0, 255))
    np.save(run.path / "shard.npy", (np.array(images)[..., None] * 257).astype(np.uint16))


def _settings(kind: str, *, demo: bool, smoke: bool, pictures: bool, seed: int) -> dict[str, Any]:
    target = {
        "regression": {"kind": "regression", "unit": "years"},
        "binary": {"kind": "binary", "classes": [0, 1], "positive": 1},
        "classes": {"kind": "classes", "classes": list(CLASSES)},
    }[kind]
    return {
        "recipe": {
            "file": "spr_age.py",
            "name": "recipe",
            "title": "spr_age",
            "docstring": "Age from a chest X-ray.\n\nProtocol: 15 % test first, five folds in the rest, then a final network on 97 % of it.",
        },
        "command": "python -m keras_med.run recipes/spr_age.py --set train.learning_rate=1e-3",
        "settings": {
            "image.size": [160, 160],
            "image.values": "as_is",
            "train.epochs": 20,
            "train.learning_rate": 0.001,
            "model.frozen": True,
            "report.pictures": pictures,
        },
        "target": target,
        "demo": demo,
        "smoke": smoke,
        "seed": seed,
        "data": "spr_age",
    }


def _metrics(kind: str, predictions: pd.DataFrame, *, patients: bool) -> dict[str, Any]:
    score = {"regression": _regression, "binary": _binary, "classes": _several}[kind]
    splits = {role: score(predictions[predictions["role"] == role]) for role in ("test", "out_of_fold", "validation")}
    sentence = "On the test patients the predictions are closer to the truth than the training constant."
    return {
        "splits": splits,
        "headline": {"split": "test", "metric": {"regression": "mae", "binary": "auroc", "classes": "accuracy"}[kind]},
        "improvement": {"value": 0.52, "low": 0.44, "high": 0.59, "unit": "", "n": 72, "patients": None},
        "verdict": {"name": "LEARNED", "sentence": sentence},
        "checks": [{"severity": "amber", "sentence": "The validation figure is better than the test's by 1.2 years.", "remedy": "Quote the test's."}],
        "test_uses": 3,
        "shared_patients": 0,
        "patients_known": patients,
        "times": {"prepare": 12.5, "fits": 260.0},
    }


def _regression(rows: pd.DataFrame) -> dict[str, Any]:
    error = (rows["predicted"] - rows["label"]).to_numpy()
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
        inside = (rows["label"] // 10 * 10 == ten).to_numpy()
        if inside.any():
            entries[f"mae_{ten}_to_{ten + 10}"] = _entry(np.abs(error[inside]).mean(), int(inside.sum()), "years")
    return entries


def _binary(rows: pd.DataFrame) -> dict[str, Any]:
    truth, p = rows["label"].to_numpy(), rows["p_1"].to_numpy()
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
    half = 0.12 * abs(value) + 0.01
    high = value + half if unit else min(value + half, 1.0)
    return {"value": float(value), "low": float(value - half), "high": float(high), "unit": unit, "n": n, "patients": None}


def _fit(run: RunFolder, name: str, generator: np.random.Generator) -> None:
    fit = run.fit(name)
    fit.path.mkdir(parents=True)
    epochs = np.arange(1, 21)
    loss = 90 + 2400 * np.exp(-epochs / 2.2) + generator.normal(0, 4, 20)
    validation = loss * 1.08 + 1.1 * np.maximum(epochs - 12, 0) ** 1.5 + generator.normal(0, 6, 20)
    mae = np.sqrt(loss) * 0.8
    history = pd.DataFrame({"epoch": epochs, "loss": loss, "mae": mae, "validation_loss": validation, "validation_mae": np.sqrt(validation) * 0.8})
    history.assign(learning_rate=1e-3, seconds=3.1).to_csv(fit.history, index=False)
    best = int(epochs[validation.argmin()])
    _write(fit.done, {"best_epoch": best, "epochs": 20, "seconds": 62.0, "stopped_early": False})


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps({"format": 1, **content}), encoding="utf-8")


ENVIRONMENT = {
    "python": "3.11.9",
    "packages": {"keras": "3.15.1", "tensorflow": "2.21.0", "numpy": "2.4.6"},
    "processor": "x86-64",
    "cores": 2,
    "threads": 2,
    "memory_gib": 23.4,
    "platform": "Linux",
    "backend": "tensorflow",
    "devices": ["CPU:0"],
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
