"""What a run knows of the CLAIM checklist (Mongan 2020, item numbers as there), and what is left to its authors."""

from dataclasses import dataclass

from keras_med.report.contents import Contents
from keras_med.report.data_figures import parts_of
from keras_med.report.folds import ensemble_sentence
from keras_med.report.wording import (
    BY_CLASS_TABLE,
    DECADE,
    count,
    finite,
    interval,
    metric_name,
    number,
    several,
    split_name,
)

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
    words = " ".join(str(recipe.get("docstring") or "").split("\n\n")[0].split())
    return [Item(6, "Goal of the study", words[:400]), Item(7, "Data source", _source(contents))]


def _source(contents: Contents) -> str:
    if contents.demo:
        return "Generated demo data, no patients."
    return f"{count(len(contents.images))} examples; the recipe names the source." if len(contents.index) else ""


def _data(contents: Contents) -> list[Item]:
    splits, parts, some = contents.splits, parts_of(contents), len(contents.index) > 0
    sizes = parts["split"].value_counts()
    assigned = ", ".join(f"{split_name(str(name)).lower()} {count(size)}" for name, size in sizes.items())
    excluded = ""
    if "reason" in contents.excluded:
        reasons = contents.excluded["reason"].value_counts().head(6)
        excluded = "; ".join(f"{reason} ({count(number)})" for reason, number in reasons.items())
    level = "Patients and confirmed twins are kept on one side."
    shared = contents.metrics.get("shared_patients")
    if finite(shared) and shared:
        level = f"Not disjoint: {count(shared)} patients or groups of twins lie on two sides."
    elif not contents.metrics.get("patients_known"):
        level = "Confirmed twins are kept on one side; patients are not known."
    flow = f"{count(len(contents.images))} used, {count(len(contents.excluded))} excluded."
    return [
        Item(9, "Preprocessing", _settings(contents, "image.")),
        Item(10, "Selection of subsets", excluded or ("Nothing was excluded." if some else "")),
        Item(13, "Missing data", excluded or ("No example was left out." if some else "")),
        Item(20, "How data were assigned to partitions", assigned),
        Item(21, "Level at which partitions are disjoint", level if len(splits) else ""),
        Item(33, "Flow of examples", flow if some else ""),
        Item(
            34,
            "Characteristics in each partition",
            "Label histograms in Data; more is for the authors." if some else "",
        ),
    ]


def _settings(contents: Contents, prefix: str) -> str:
    chosen = contents.settings.get("settings") or {}
    return ", ".join(
        f"{name.removeprefix(prefix)} {value}" for name, value in chosen.items() if name.startswith(prefix)
    )


def _model(contents: Contents) -> list[Item]:
    packages = contents.environment.get("packages") or {}
    software = ", ".join(
        f"{name} {packages[name]}" for name in ("keras", "tensorflow", "jax", "torch", "keras-med") if name in packages
    )
    kept = "Best epoch by validation loss" if any("validation_loss" in fit.history for fit in contents.fits) else ""
    if any(fit.plan.get("keep") == "last" for fit in contents.fits):
        kept += ", in folds; the final network trains for their median best epoch"
    initial = "; ".join(f"{used.get('backbone')} {used.get('file') or 'random'}" for used in contents.weights)
    return [
        Item(22, "Model", f"recipe.py in the run folder holds it. {_settings(contents, 'model.')}".strip()),
        Item(23, "Software", software),
        Item(24, "How parameters were initialised", initial),
        Item(25, "Training", _settings(contents, "train.")),
        Item(26, "How the final model was chosen", f"{kept}; {several(len(contents.fits), 'fit')}." if kept else ""),
        Item(27, "Ensembling", ensemble_sentence(contents.metrics)),
    ]


def _results(contents: Contents) -> list[Item]:
    headline = contents.metrics.get("headline") or {}
    split, metric = str(headline.get("split")), str(headline.get("metric"))
    entry = ((contents.metrics.get("splits") or {}).get(split) or {}).get(metric) or {}
    unit = f" {entry['unit']}" if entry.get("unit") else ""
    value = f"{metric_name(metric)} {number(entry.get('value'), unit)}{unit}" if finite(entry.get("value")) else ""
    entries = (contents.metrics.get("splits") or {}).get(split) or {}
    told = [name for name in entries if not DECADE.match(name) and not BY_CLASS_TABLE.match(name)]
    named = ", ".join(metric_name(name) for name in told[:12])
    over = "patients" if contents.metrics.get("patients_known") else "images, because patients are not known"
    return [
        Item(28, "Metrics", named),
        Item(
            29,
            "Uncertainty",
            f"95 % intervals over {over}." if value else "",
        ),
        Item(30, "Robustness", ""),
        Item(31, "Explainability", ""),
        Item(35, "Performance", f"{value}, {split_name(split).lower()}" if value else ""),
        Item(36, "Estimates with intervals", f"{value} (95 % {interval(entry)})" if finite(entry.get("low")) else ""),
        Item(37, "Failure analysis", "Worst misses in Pictures." if value else ""),
    ]
