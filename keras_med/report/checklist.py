"""What a run knows of the CLAIM checklist (Mongan 2020, item numbers as there), and what is left to its authors."""

from dataclasses import dataclass

from keras_med.report.contents import Contents
from keras_med.report.data_figures import parts_of
from keras_med.report.wording import count, finite, interval, metric_name, number, several, split_name

AUTHORS = (
    (1, "Title or abstract names the kind of study"),
    (2, "Structured summary"),
    (3, "Clinical background"),
    (4, "Objectives and hypotheses"),
    (5, "Prospective or retrospective"),
    (8, "Eligibility: how, where and when patients were found"),
    (11, "Definitions of data elements"),
    (12, "De-identification"),
    (14, "Reference standard"),
    (15, "Why this reference standard"),
    (16, "Who annotated, with what qualification"),
    (17, "Annotation tools"),
    (18, "Variability between and within readers"),
    (19, "Intended sample size"),
    (32, "Test on external data"),
    (38, "Limitations"),
    (39, "Implications for practice"),
    (40, "Registration"),
    (41, "Where the protocol can be read"),
    (42, "Funding"),
)


@dataclass(frozen=True)
class Item:
    """One item: its number, what it asks, and what this run knows; empty where it knows nothing."""

    number: int
    asks: str
    known: str


def checklist(contents: Contents) -> list[Item]:
    """Fill in what the run folder says."""
    parts = [_study(contents), _data(contents), _model(contents), _results(contents)]
    known = [item for part in parts for item in part if item.known]
    unknown = [Item(item.number, item.asks, "") for part in parts for item in part if not item.known]
    left = [Item(place, asks, "") for place, asks in AUTHORS]
    return sorted([*known, *unknown, *left], key=lambda item: item.number)


def _study(contents: Contents) -> list[Item]:
    recipe = contents.settings.get("recipe") or {}
    words = " ".join(str(recipe.get("docstring") or "").split())
    return [Item(6, "Goal of the study", words[:400]), Item(7, "Data source", _source(contents))]


def _source(contents: Contents) -> str:
    if contents.demo:
        return "Generated demo data, no patients."
    return f"{count(len(contents.index))} examples; the recipe names the source." if len(contents.index) else ""


def _data(contents: Contents) -> list[Item]:
    splits, parts = contents.splits, parts_of(contents)
    sizes = {} if not len(parts) else parts["split"].value_counts().to_dict()
    prepared = [
        f"{name.removeprefix('image.')} {value}"
        for name, value in (contents.settings.get("settings") or {}).items()
        if name.startswith("image.")
    ]
    reasons = contents.excluded["reason"].value_counts() if "reason" in contents.excluded else {}
    excluded = "; ".join(f"{reason} ({count(int(number))})" for reason, number in list(reasons.items())[:6])
    level = (
        "patient"
        if contents.metrics.get("patients_known")
        else "image, with confirmed twins kept together; patients are not known"
    )
    by = ("Group of patients and confirmed twins. " if "group" in splits else "") + f"Lowest level kept apart: {level}."
    return [
        Item(9, "Preprocessing", ", ".join(prepared)),
        Item(10, "Selection of subsets", excluded or ("Nothing was excluded." if len(contents.index) else "")),
        Item(13, "Missing data", excluded or ("No example was left out." if len(contents.index) else "")),
        Item(20, "How data were assigned to partitions", _sizes(sizes)),
        Item(21, "Level at which partitions are disjoint", by if len(splits) else ""),
        Item(
            33,
            "Flow of examples",
            f"{count(len(contents.index))} used, {count(len(contents.excluded))} excluded."
            if len(contents.index)
            else "",
        ),
        Item(
            34,
            "Characteristics in each partition",
            "Label histograms in Data; demographics are for the authors." if sizes else "",
        ),
    ]


def _sizes(sizes: dict[str, int]) -> str:
    return ", ".join(f"{split_name(str(name)).lower()} {count(size)}" for name, size in sizes.items())


def _model(contents: Contents) -> list[Item]:
    packages = contents.environment.get("packages") or {}
    software = ", ".join(
        f"{name} {packages[name]}" for name in ("keras", "tensorflow", "jax", "torch", "keras_med") if name in packages
    )
    chosen = contents.settings.get("settings") or {}
    training = ", ".join(
        f"{name.removeprefix('train.')} {value}" for name, value in chosen.items() if name.startswith("train.")
    )
    network = ", ".join(
        f"{name.removeprefix('model.')} {value}" for name, value in chosen.items() if name.startswith("model.")
    )
    kept = "Best epoch by validation loss" if any("validation_loss" in fit.history for fit in contents.fits) else ""
    return [
        Item(22, "Model", f"recipe.py in the run folder holds it. {network}".strip()),
        Item(23, "Software", software),
        Item(24, "How parameters were initialised", str(contents.settings.get("weights") or "")),
        Item(25, "Training", training),
        Item(26, "How the final model was chosen", f"{kept}; {several(len(contents.fits), 'fit')}." if kept else ""),
        Item(27, "Ensembling", ""),
    ]


def _results(contents: Contents) -> list[Item]:
    headline = contents.metrics.get("headline") or {}
    split, metric = str(headline.get("split")), str(headline.get("metric"))
    entry = ((contents.metrics.get("splits") or {}).get(split) or {}).get(metric) or {}
    unit = f" {entry['unit']}" if entry.get("unit") else ""
    value = f"{metric_name(metric)} {number(entry.get('value'), unit)}{unit}" if finite(entry.get("value")) else ""
    named = ", ".join(metric_name(name) for name in list((contents.metrics.get("splits") or {}).get(split) or {})[:8])
    return [
        Item(28, "Metrics", named),
        Item(
            29,
            "Uncertainty",
            "95 % intervals over patients (over images where patients are not known)." if value else "",
        ),
        Item(30, "Robustness", ""),
        Item(31, "Explainability", ""),
        Item(35, "Performance", f"{value}, {split_name(split).lower()}" if value else ""),
        Item(36, "Estimates with intervals", f"{value} (95 % {interval(entry)})" if finite(entry.get("low")) else ""),
        Item(37, "Failure analysis", "Worst misses in Pictures." if value else ""),
    ]
