"""The sections of the page that are tables and sentences, each as the plain values that its template shows."""

from typing import Any

import pandas as pd

from keras_med.evaluation.aggregation import RULES
from keras_med.report.checks import test_uses
from keras_med.report.contents import Contents, Fit
from keras_med.report.data_figures import parts_of, shown_fold
from keras_med.report.figures import Drawing
from keras_med.report.folds import ensemble_sentence
from keras_med.report.pictures import Picture, left_out, misses
from keras_med.report.scored import Scored, headline_split
from keras_med.report.wording import (
    ABOUT,
    BY_CLASS_TABLE,
    DECADE,
    NOT_AVAILABLE,
    Entry,
    count,
    duration,
    finite,
    interval,
    metric_name,
    number,
    several,
    split_name,
)

Values = dict[str, Any]

TITLES = ("Result", "Checks", "Data", "Training", "Performance", "Pictures", "Folds", "Reproduce")
WORST = 20


def headings(contents: Contents, values: Values) -> list[Values]:
    """Give the eight headings, each with what is under it in a few words."""
    headline, folds = values["first"]["headline"], values["folds"]["rows"]
    counts = [sum(check.severity == name for check in values["checks"]) for name in ("red", "amber")]
    gists = (
        f"{headline['name']} {headline['value']}{headline['unit']}",
        f"{counts[0]} red, {counts[1]} amber",
        f"{several(len(contents.images), 'image')} used, {count(len(contents.excluded))} excluded",
        several(len(contents.fits), "fit") if contents.fits else "no history",
        values["performance"]["gist"],
        "true against predicted, worst misses first",
        several(len(folds), "fold") if folds else "none",
        "command, versions, seed, CLAIM checklist",
    )
    return [{"name": title.lower(), "title": title, "gist": gist} for title, gist in zip(TITLES, gists, strict=True)]


def result(contents: Contents) -> Values:
    """Every metric of every scored split with its interval, the headline's split first."""
    splits, head = contents.metrics.get("splits") or {}, headline_split(contents)
    uses, sentences = test_uses(contents), []
    if uses:
        times = "once" if uses == 1 else f"{count(uses)} times"
        sentences.append(f"This test split has been scored {times}.")
    if contents.metrics.get("patients_known"):
        sentences.append("Intervals resample patients.")
    else:
        why = "patients are not known: with several images a patient they are too narrow"
        sentences.append(f"Intervals resample images, because {why}.")
    if contents.case == "patient":
        sentences.append(f"A case is a patient, predicted as {RULES[contents.chosen('evaluate.combine', 'mean')]}.")
    sentences += [said] if (said := ensemble_sentence(contents.metrics)) else []
    sentences += _simple(contents.metrics.get("linear"), contents.case)
    order = sorted(splits, key=lambda name: name != head)
    return {"parts": [_part(name, splits[name], contents) for name in order if splits[name]], "sentences": sentences}


def _simple(linear: Entry | None, case: str) -> list[str]:
    """Say what a linear model on thumbnails reaches on the same examples, and the difference."""
    if not linear:
        return []
    name, unit = metric_name(linear["metric"]), str(linear["gain"].get("unit") or "")
    told = f"A {linear['model']}, trained on the same examples: {name} {number(linear['linear']['value'], unit)}"
    told += f" on {several(linear['gain']['n'], case)}; the network {number(linear['network']['value'], unit)}"
    if not finite(linear["gain"].get("low")):
        return [f"{told}."]
    gain = number(linear["gain"]["value"], unit)
    return [f"{told}. The network is better by {gain} (95 % interval {interval(linear['gain'])})."]


def data(contents: Contents, drawings: list[Drawing]) -> Values:
    """What was found, what was excluded and why, and what each part holds."""
    used, excluded = len(contents.images), len(contents.excluded)
    without = len(contents.index) - used
    flow = [("Found", count(len(contents.index) + excluded)), ("Excluded", count(excluded)), ("Used", count(used))]
    flow += [("Without a label, only predicted", count(without))] if without else []
    flow.append(("Patients", "not known" if contents.patients is None else count(contents.patients)))
    columns, rows = _fold_table(contents.splits)
    hidden, sentences = left_out(contents), []
    if hidden:
        sentences.append(f"{several(hidden, 'image')} marked as holding burned-in text: never pictured.")
    if not len(parts_of(contents)):
        sentences.append("The labels of the parts are not known here.")
    return {
        "flow": flow,
        "excluded": _reasons(contents.excluded),
        "parts_columns": columns,
        "parts": rows,
        "parts_note": f"histograms show fold {shown_fold(contents.splits)}" if len(rows) > 1 else "",
        "drawings": drawings,
        "sentences": sentences,
    }


def training(contents: Contents, drawings: list[Drawing]) -> Values:
    """Learning curves and what each fit ended with."""
    return {"fits": [_fit_row(fit) for fit in contents.fits], "drawings": drawings}


def pictures(contents: Contents, found: Scored, shown: list[Picture], heat: list[str]) -> Values:
    """The gallery, and the worst misses as a table."""
    sentences = []
    if not contents.pictures:
        sentences.append("Pictures are left out: report.pictures is False.")
    elif not shown:
        sentences.append(found.why or "No picture can be shown: the prepared arrays are not where index.csv says.")
    worst = (-misses(found)).argsort(kind="stable")[:WORST]
    columns = {
        "regression": ["Example", "True", "Predicted", "Error"],
        "binary": ["Example", "True", f"p({contents.target.positive})"],
        "classes": ["Example", "True", "Called", "p(true class)"],
    }
    cases = len({picture.example for picture in shown})
    single = " Each is a single example; the figures above are of patients." if contents.case == "patient" else ""
    which = f"The {several(cases, 'prediction')} of the {split_name(found.split).lower()} split furthest off"
    return {
        "pictures": shown,
        "heat": heat if shown else [],
        "sentences": sentences,
        "misses": [_miss(contents, found, int(row)) for row in worst],
        "columns": columns[contents.target.kind],
        "about": f"{which}, as the network sees the images.{single}",
    }


def _part(name: str, entries: dict[str, Entry], contents: Contents) -> Values:
    """One split's table; decades and classes have their own under Performance."""
    shown = {key: each for key, each in entries.items() if not DECADE.match(key) and not BY_CLASS_TABLE.match(key)}
    shown |= {key: each for key, each in entries.items() if key.startswith(("macro_", "weighted_"))}
    known = contents.case == "example" and any(finite(each.get("patients")) for each in shown.values())
    rows, reasons = [], dict[str, list[str]]()
    for key, each in shown.items():
        unit = str(each.get("unit") or "")
        value = number(each.get("value"), unit) + (f" {unit}" if unit else "")
        people = (count(each.get("patients")),) if known else ()
        rows.append((metric_name(key), value, interval(each), count(each.get("n")), *people))
        if each.get("reason"):
            reasons.setdefault(str(each["reason"]), []).append(metric_name(key))
    return {
        "title": split_name(name),
        "about": ABOUT.get(name, ""),
        "columns": ["Metric", "Value", "95 % interval", contents.cases, *(["Patients"] if known else [])],
        "rows": rows,
        "reasons": [(", ".join(names), reason) for reason, names in reasons.items()],
    }


def _reasons(excluded: pd.DataFrame) -> list[tuple[str, str, str]]:
    if not {"id", "reason"} <= set(excluded.columns):
        return []
    groups = sorted(excluded.groupby("reason")["id"], key=lambda group: -len(group[1]))
    return [(str(reason), count(len(ids)), ", ".join(map(str, ids.head(5)))) for reason, ids in groups]


def _fold_table(splits: pd.DataFrame) -> tuple[list[str], list[tuple[str, ...]]]:
    if not {"id", "split"} <= set(splits.columns):
        return [], []
    folds = splits["fold"].fillna("all") if "fold" in splits else pd.Series("all", index=splits.index)
    table = pd.crosstab(folds, splits["split"])
    rows = [(str(fold), *map(count, row)) for fold, row in zip(table.index, table.to_numpy(), strict=True)]
    return ["Fold", *(split_name(str(name)) for name in table.columns)], rows


def _fit_row(fit: Fit) -> tuple[str, ...]:
    kept, history = fit.kept_epoch, fit.history.set_index("epoch")
    losses = history["validation_loss"].to_dict() if "validation_loss" in history else {}
    seconds = fit.done.get("seconds", float(history["seconds"].sum()) if "seconds" in history else None)
    return (
        fit.name,
        NOT_AVAILABLE if kept is None else str(kept),
        number(losses.get(kept)),
        count(fit.done.get("epochs", len(history))),
        duration(seconds),
        fit.ending,
    )


def _miss(contents: Contents, found: Scored, row: int) -> tuple[str, ...]:
    target, example = contents.target, str(found.rows["id"][row])
    if target.kind == "regression":
        true, guess = found.truth[row], found.p[row]
        return example, number(true, target.unit), number(guess, target.unit), number(guess - true, target.unit)
    place = int(found.truth[row])
    if target.kind == "binary":
        return example, target.classes[place], number(found.p[row])
    return example, target.classes[place], target.classes[int(found.p[row].argmax())], number(found.p[row, place])
