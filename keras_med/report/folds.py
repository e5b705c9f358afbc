"""The figures of folds and of repeated networks, as metrics.json has them, to a table and what their mean means."""

from typing import Any

from keras_med.report.contents import Contents
from keras_med.report.wording import NOT_AVAILABLE, count, finite, interval, metric_name, number, several, split_name


def fold_table(contents: Contents) -> dict[str, Any]:
    """Give one row a fold, and sentences on mean and pooled figure."""
    told = contents.metrics.get("folds") or {}
    values = told.get("values") or {}
    if not values:
        return {"rows": [], "why": "This run did not use folds.", "repeats": repeat_sentences(contents.metrics)}
    metric = str(told.get("metric"))
    pooled = ((contents.metrics.get("splits") or {}).get("out_of_fold") or {}).get(metric) or {}
    unit = str(pooled.get("unit") or "")
    sizes = _sizes(contents)
    rows = [(str(fit), count(sizes.get(str(fit))), number(value, unit)) for fit, value in values.items()]
    return {
        "rows": rows,
        "metric": metric_name(metric) + (f" ({unit})" if unit else ""),
        "note": "each predicted by a network that had not trained on it",
        "sentences": [*_sentences(told, pooled, unit, len(values)), _exported(contents.metrics)],
        "repeats": repeat_sentences(contents.metrics),
    }


def ensemble_sentence(metrics: dict[str, Any]) -> str:
    """Say that the exported network is the folds' mean, and its size; nothing of any other network."""
    told = metrics.get("ensemble")
    if not told:
        return ""
    members, shared = len(told["members"]), told["shared"]
    part = f"{count(shared)} of them in the frozen part, which they share" if shared else "for they share none"
    size = f"{count(told['parameters'])} parameters, {part}"
    own = " The figures of the test are its own." if "test" in (metrics.get("splits") or {}) else ""
    return f"The exported network is the mean of the {members} folds' networks: {size}.{own}"


def _exported(metrics: dict[str, Any]) -> str:
    if metrics.get("ensemble"):
        return f"These are of single members. {ensemble_sentence(metrics)}"
    return "These describe the procedure; an exported network is another one. Choosing the best fold would flatter."


def repeat_sentences(metrics: dict[str, Any]) -> list[str]:
    """Say what networks of several seeds have in the mean: the headline, and the accuracy of a classifier."""
    told, headline = metrics.get("repeats") or {}, str((metrics.get("headline") or {}).get("metric"))
    return [
        _repeat(place, found["count"], name, found["figures"][name])
        for place, found in told.items()
        for name in (headline, "accuracy")
        if name in found["figures"]
    ]


def _repeat(place: str, count: int, metric: str, figure: dict[str, Any]) -> str:
    unit = str(figure["unit"] or "")
    spread = f", ± {number(figure['deviation'], unit)} between them" if finite(figure["deviation"]) else ""
    value = f"{number(figure['value'], unit)} {unit}".strip()
    return f"{split_name(place)}, mean of {count} seeds: {metric_name(metric)} {value} ({interval(figure)}{spread})"


def _sizes(contents: Contents) -> dict[str, int]:
    rows = contents.predictions
    if not {"fit", "role"} <= set(rows.columns):
        return {}
    return {str(fit): int(size) for fit, size in rows[rows["role"] == "out_of_fold"]["fit"].value_counts().items()}


def _sentences(told: dict[str, Any], pooled: dict[str, Any], unit: str, folds: int) -> list[str]:
    sentences, word = [], f" {unit}" if unit else ""
    if finite(told.get("mean")):
        spread = f" ± {number(told['deviation'], unit)}" if finite(told.get("deviation")) else ""
        said = " (standard deviation)" if spread else ""
        sentences.append(f"Mean over {several(folds, 'fold')}: {number(told['mean'], unit)}{spread}{word}{said}.")
    if finite(pooled.get("value")):
        span = interval(pooled)
        limits = f" (95 % interval {span})" if span != NOT_AVAILABLE else ""
        sentences.append(f"Pooled over all out-of-fold predictions: {number(pooled['value'], unit)}{word}{limits}.")
    return sentences
