"""Out-of-fold predictions to one figure a fold, and their mean."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from keras_med.report.contents import Contents, Target, as_text
from keras_med.report.wording import NOT_AVAILABLE, count, finite, interval, number

NAMES = {"regression": "MAE", "binary": "AUROC", "classes": "Accuracy"}


def fold_table(contents: Contents) -> dict[str, Any]:
    """Give one row a fold, computed from predictions.csv, and what the mean over folds means."""
    rows, target = contents.predictions, contents.target
    if not {"fit", "role", "label"} <= set(rows.columns):
        return {"rows": [], "why": "No out-of-fold predictions."}
    rows = rows[(rows["role"] == "out_of_fold") & rows["label"].notna()]
    if not len(rows):
        return {"rows": [], "why": "This recipe does not use folds."}
    figures = {str(name): _figure(part, target) for name, part in rows.groupby("fit")}
    values = np.array([figure for figure in figures.values() if np.isfinite(figure)])
    sizes = rows["fit"].value_counts()
    unit = target.unit if target.kind == "regression" else ""
    table = [(name, count(int(sizes[name])), number(figure, unit)) for name, figure in figures.items()]
    sentences = []
    if len(values):
        spread = f" ± {number(float(values.std(ddof=1)), unit)} (standard deviation)" if len(values) > 1 else ""
        sentences.append(
            f"Mean over {len(values)} folds: {number(float(values.mean()), unit)}{spread}{' ' + unit if unit else ''}."
        )
    pooled = ((contents.metrics.get("splits") or {}).get("out_of_fold") or {}).get(
        {"regression": "mae", "binary": "auroc", "classes": "accuracy"}[target.kind]
    ) or {}
    if finite(pooled.get("value")):
        span = interval(pooled)
        said = f" (95 % interval {span})" if span != NOT_AVAILABLE else ""
        sentences.append(f"Pooled over all out-of-fold predictions: {number(pooled['value'], unit)}{said}.")
    sentences.append(
        "These describe the procedure; the exported network is another one. Choosing the best fold would flatter."
    )
    name = NAMES[target.kind] + (f" ({unit})" if unit else "")
    return {
        "rows": table,
        "metric": name,
        "note": "each predicted by a network that had not trained on it",
        "sentences": sentences,
    }


def _figure(rows: pd.DataFrame, target: Target) -> float:
    columns = {"regression": ["predicted"], "binary": [f"p_{target.positive}"]}.get(
        target.kind, [f"p_{name}" for name in target.classes]
    )
    if not set(columns) <= set(rows.columns):
        return float("nan")
    p = rows[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    if target.kind == "regression":
        return float(np.abs(p[:, 0] - pd.to_numeric(rows["label"], errors="coerce").to_numpy()).mean())
    names = rows["label"].map(as_text).to_numpy()
    if not np.isfinite(p).all():
        return float("nan")
    if target.kind == "binary":
        positive = names == target.positive
        return float(roc_auc_score(positive, p[:, 0])) if 0 < positive.sum() < len(positive) else float("nan")
    return float((np.array(target.classes)[p.argmax(axis=1)] == names).mean())
