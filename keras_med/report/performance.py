"""The figures of one split, its classes or decades, its slider and its subgroups, as the template shows them."""

from typing import Any

import pandas as pd

from keras_med.evaluation.aggregation import RULES
from keras_med.report.contents import Contents
from keras_med.report.decided import decided
from keras_med.report.figures import Drawing
from keras_med.report.operating import threshold_of
from keras_med.report.scored import Scored, judged
from keras_med.report.subgroups import subgroups
from keras_med.report.wording import DECADE, Entry, count, finite, interval, number, several, split_name

NAMES = {"regression": "MAE", "binary": "AUROC", "classes": "Accuracy"}


def performance(
    contents: Contents, examples: Scored, drawings: list[Drawing], points: pd.DataFrame | None
) -> dict[str, Any]:
    """Give everything that the section shows, or the sentence why there is nothing."""
    target, found = contents.target, judged(contents, examples)
    entries = (contents.metrics.get("splits") or {}).get(found.split) or {}
    unit = f" ({target.unit})" if target.unit else ""
    about = f"{split_name(found.split)}: {several(len(found.rows), found.case)}"
    if found.case == "patient":
        rule = RULES[contents.chosen("evaluate.combine", "mean")]
        about += f", each by {rule} for {several(len(examples.rows), 'example')}"
    return {
        "why": found.why,
        "gist": found.why or f"{len(drawings)} figures of the {split_name(found.split).lower()} split",
        "about": f"{about}.",
        "cases": contents.cases,
        "drawings": [drawing for drawing in drawings if points is None or drawing.name != "confusion"],
        "decided": decided(contents),
        "slider": None if points is None else _slider(contents, found, points),
        "classes": _classes(target.classes, entries) if target.kind == "classes" else [],
        "decades": _decades(entries),
        "decades_note": next((str(entries[name]["reason"]) for name in entries if _lacks_interval(name, entries)), ""),
        "unit": unit,
        "subgroups": subgroups(contents, examples),
        "subgroup_metric": NAMES[target.kind] + unit,
    }


def _slider(contents: Contents, found: Scored, points: pd.DataFrame) -> dict[str, Any]:
    threshold = threshold_of(contents.metrics, found.rows)
    place = int((points["threshold"] - threshold).abs().argmin())
    rows = [
        {name: float(value) if name == "threshold" else int(value) for name, value in row.items()}
        for row in points.to_dict("records")
    ]
    return {
        "rows": rows,
        "place": place,
        "start": rows[place],
        "shown": f"{threshold:.4g}",
        "positive": contents.target.positive,
        "negative": contents.target.classes[0],
        "split": f"{split_name(found.split).lower()} {found.case}s",
        "own": _own(contents, found),
    }


def _own(contents: Contents, found: Scored) -> str:
    """Say what the threshold at which the slider starts rests on."""
    said = contents.metrics.get("threshold") or {}
    if not finite(said.get("value")) or set(found.rows["fit"]) != {said["fit"]}:
        return "the run's own, 0.5, was chosen by nobody"
    part = split_name(str(said["part"])).lower()
    return f"the run's own was chosen on the {part} part" + (", which this is" if said["part"] == found.split else "")


def _classes(classes: tuple[str, ...], entries: dict[str, Entry]) -> list[tuple[str, ...]]:
    """The table that scikit-learn's classification_report prints, with intervals."""
    names = ("precision", "recall", "f1", "auroc")
    rows = [
        (name, *(_cell(entries.get(f"{each}_{name}")) for each in names), _support(entries, name)) for name in classes
    ]
    for average in ("macro", "weighted"):
        rows.append((f"{average} average", *(_cell(entries.get(f"{average}_{each}")) for each in names), ""))
    return [
        *rows,
        ("accuracy", "", "", _cell(entries.get("accuracy")), "", count((entries.get("accuracy") or {}).get("n"))),
    ]


def _support(entries: dict[str, Entry], name: str) -> str:
    said = entries.get(f"support_{name}") or entries.get(f"recall_{name}") or {}
    return count(said.get("value") if f"support_{name}" in entries else said.get("n"))


def _cell(entry: Entry | None) -> str:
    entry = entry or {}
    if not finite(entry.get("low")):
        return number(entry.get("value"))
    return f"{number(entry.get('value'))} ({interval(entry)})"


def _lacks_interval(name: str, entries: dict[str, Entry]) -> bool:
    return bool(DECADE.match(name) and entries[name].get("reason"))


def _decades(entries: dict[str, Entry]) -> list[tuple[str, ...]]:
    found = sorted((int(hit[1]), int(hit[2]), entries[name]) for name in entries if (hit := DECADE.match(name)))
    return [
        (
            f"{low} to {high}",
            number(entry.get("value"), str(entry.get("unit") or "")),
            interval(entry),
            count(entry.get("n")),
        )
        for low, high, entry in found
    ]
