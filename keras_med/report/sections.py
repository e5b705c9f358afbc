"""The eight sections of the page, each as the plain values that its template shows."""

from typing import Any

import pandas as pd

from keras_med.report.checks import Check, test_uses
from keras_med.report.contents import Contents
from keras_med.report.data_figures import parts_of, shown_fold
from keras_med.report.figures import Drawing
from keras_med.report.performance import performance as performance
from keras_med.report.pictures import Picture, left_out, misses
from keras_med.report.reproduce import reproduce as reproduce
from keras_med.report.scored import Scored, headline_split
from keras_med.report.training_figures import best_epoch
from keras_med.report.wording import (
    ABOUT,
    BY_CLASS_TABLE,
    DECADE,
    NOT_AVAILABLE,
    count,
    duration,
    finite,
    gain_sentence,
    interval,
    metric_name,
    number,
    several,
    split_name,
)

Values = dict[str, Any]

TONES = {"LEARNED": "good", "FAILED TO LEARN": "bad", "DID NOT GENERALISE": "bad", "TOO FEW CASES TO SAY": "open"}
WORST = 20


def headings(contents: Contents, values: Values) -> list[Values]:
    """Give the eight headings, each with what is under it in a few words."""
    known: list[Check] = values["checks"]
    counts = [f"{sum(check.severity == name for check in known)} {name}" for name in ("red", "amber")]
    fits = len(contents.fits)
    gists = {
        "result": f"{values['first']['headline']['name']} {values['first']['headline']['value']}{values['first']['headline']['unit']}",
        "checks": ", ".join(counts),
        "data": f"{several(len(contents.index), 'image')} used, {count(len(contents.excluded))} excluded",
        "training": several(fits, "fit") if fits else "no history",
        "performance": values["performance"]["gist"],
        "pictures": "true against predicted, worst misses first",
        "folds": f"{len(values['folds']['rows'])} folds" if values["folds"]["rows"] else "none",
        "reproduce": "command, versions, seed, CLAIM checklist",
    }
    titles = ("Result", "Checks", "Data", "Training", "Performance", "Pictures", "Folds", "Reproduce")
    return [{"name": name, "title": title, "gist": gists[name]} for name, title in zip(gists, titles, strict=True)]


def first(
    contents: Contents, found: Scored, known: list[Check], three: list[Picture], drawings: dict[str, list[Drawing]]
) -> Values:
    """The first screen: verdict, headline, counts, red checks, three pictures or else three figures."""
    metrics, split = contents.metrics, headline_split(contents)
    entries = (metrics.get("splits") or {}).get(split) or {}
    metric = str((metrics.get("headline") or {}).get("metric") or next(iter(entries), ""))
    entry = entries.get(metric) or {}
    said = metrics.get("verdict") or {}
    red = [check for check in known if check.severity == "red"]
    figures = [*drawings["performance"][:2], *drawings["training"][:1], *drawings["data"]][:3]
    gain = metrics.get("improvement") or {}
    return {
        "verdict": {
            "name": str(said.get("name") or "NO VERDICT"),
            "sentence": str(said.get("sentence") or "This run was not judged: metrics.json holds no verdict."),
            "tone": TONES.get(str(said.get("name")), "open"),
        },
        "headline": {
            "name": metric_name(metric) if metric else "No metric",
            "split": split_name(split),
            "value": number(entry.get("value"), str(entry.get("unit") or "")),
            "unit": f" {entry['unit']}" if entry.get("unit") and finite(entry.get("value")) else "",
            "interval": _interval_words(entry),
        },
        "gain": gain_sentence(
            gain, str(gain.get("metric") or ("mae" if contents.target.kind == "regression" else "log_loss"))
        ),
        "counts": _counts(contents, found, entry, split),
        "red": red,
        "red_words": several(len(red), "red check"),
        "other_words": several(sum(check.severity == "amber" for check in known), "amber one") + " to read.",
        "pictures": three,
        "drawings": [] if three else figures,
    }


def result(contents: Contents) -> Values:
    """Every metric of every scored split with its interval, the headline's split first."""
    splits, head = contents.metrics.get("splits") or {}, headline_split(contents)
    order = sorted(splits, key=lambda name: (name != head, list(splits).index(name)))
    uses, sentences = test_uses(contents), []
    if uses:
        sentences.append(
            f"The test split of this recipe has been scored {'once' if uses == 1 else f'{count(uses)} times'}."
        )
    sentences.append(
        "Intervals resample patients."
        if contents.metrics.get("patients_known")
        else "Intervals resample images, because patients are not known: with several images a patient they are too narrow."
    )
    return {"parts": [_part(name, splits[name]) for name in order if splits[name]], "sentences": sentences}


def data(contents: Contents, drawings: list[Drawing]) -> Values:
    """What was found, what was excluded and why, and what each part holds."""
    index, excluded, splits = contents.index, contents.excluded, contents.splits
    flow = [
        ("Found", count(len(index) + len(excluded))),
        ("Excluded", count(len(excluded))),
        ("Used", count(len(index))),
        (
            "Patients",
            count(index["patient"].nunique()) if "patient" in index and index["patient"].notna().any() else "not known",
        ),
    ]
    reasons = []
    if {"id", "reason"} <= set(excluded.columns):
        groups = sorted(excluded.groupby("reason")["id"], key=lambda group: -len(group[1]))
        reasons = [
            (str(reason), count(len(ids)), ", ".join(str(each) for each in ids.head(5))) for reason, ids in groups
        ]
    columns, rows = _fold_table(splits)
    hidden = left_out(contents)
    sentences = [f"{several(hidden, 'image')} marked as holding burned-in text: never pictured."] if hidden else []
    note = f"histograms show fold {shown_fold(splits)}" if len(rows) > 1 else ""
    return {
        "flow": flow, "excluded": reasons, "parts_columns": columns, "parts": rows, "parts_note": note,
        "drawings": drawings, "sentences": sentences if len(parts_of(contents)) else [*sentences, "Labels of the parts are not known here."],
    }  # fmt: skip


def training(contents: Contents, drawings: list[Drawing]) -> Values:
    """Learning curves and what each fit ended with."""
    rows = []
    for fit in contents.fits:
        kept = best_epoch(fit)
        losses = fit.history.set_index("epoch").get("validation_loss")
        value = losses.get(kept) if losses is not None and kept is not None else None
        seconds = fit.done.get("seconds", fit.history["seconds"].sum() if "seconds" in fit.history else None)
        stopped = fit.done.get("stopped_early")
        rows.append(
            (
                fit.name, NOT_AVAILABLE if kept is None else str(kept), number(float(value)) if value is not None else NOT_AVAILABLE,
                count(fit.done.get("epochs", len(fit.history))), duration(float(seconds) if seconds is not None else None),
                "not finished" if not fit.done else "early" if stopped else "after the last epoch",
            )
        )  # fmt: skip
    return {"fits": rows, "drawings": drawings}


def pictures(contents: Contents, found: Scored, shown: list[Picture]) -> Values:
    """The gallery, and the worst misses as a table."""
    sentences = []
    if not contents.pictures:
        sentences.append("Pictures are left out: report.pictures is False.")
    elif not shown:
        sentences.append(found.why or "No picture can be shown: the prepared arrays are not where index.csv says.")
    kind, rows = contents.target.kind, []
    if not found.why:
        for row in (-misses(found)).argsort(kind="stable")[:WORST]:
            rows.append(_miss(contents, found, int(row)))
    columns = {
        "regression": ["Example", "True", "Predicted", "Error"],
        "binary": ["Example", "True", f"p({contents.target.positive})"],
    }
    return {
        "pictures": shown, "sentences": sentences, "misses": rows,
        "columns": columns.get(kind, ["Example", "True", "Called", "p(true class)"]),
        "about": f"The {len(shown)} predictions of the {split_name(found.split).lower()} split that are furthest off, as the network sees the images.",
    }  # fmt: skip


def folds(contents: Contents) -> Values:
    """One row a fold with the figure that it reached on the examples it had not trained on."""
    from keras_med.report.folds import fold_table

    return fold_table(contents)


def _part(name: str, entries: dict[str, Values]) -> Values:
    told = {key: each for key, each in entries.items() if not DECADE.match(key) and not BY_CLASS_TABLE.match(key)}
    averages = {key: each for key, each in entries.items() if key.startswith(("macro_", "weighted_"))}
    rows = [
        (
            metric_name(key), number(each.get("value"), str(each.get("unit") or "")), interval(each),
            str(each.get("unit") or NOT_AVAILABLE), count(each.get("n")), count(each.get("patients")),
        )
        for key, each in {**told, **averages}.items()
    ]  # fmt: skip
    reasons: dict[str, list[str]] = {}
    for key, each in {**told, **averages}.items():
        if each.get("reason"):
            reasons.setdefault(str(each["reason"]), []).append(metric_name(key))
    return {
        "title": split_name(name), "about": ABOUT.get(name, ""), "rows": rows,
        "reasons": [(", ".join(names), reason) for reason, names in reasons.items()],
    }  # fmt: skip


def _counts(contents: Contents, found: Scored, entry: Values, split: str) -> list[tuple[str, str, str]]:
    here = f"{count(entry.get('n'))} in {split_name(split).lower()}" if finite(entry.get("n")) else ""
    rows = [("Images", count(len(contents.index)) if len(contents.index) else NOT_AVAILABLE, here)]
    index = contents.index
    if "patient" in index and index["patient"].notna().any():
        of = f"{count(entry.get('patients'))} in {split_name(split).lower()}" if finite(entry.get("patients")) else ""
        return [*rows, ("Patients", count(index["patient"].nunique()), of)]
    return [*rows, ("Patients", "not known", "images count as patients")]


def _interval_words(entry: Values) -> str:
    if finite(entry.get("low")) and finite(entry.get("high")):
        return f"95 % interval {interval(entry)}"
    return f"No interval: {str(entry.get('reason') or 'none in metrics.json').removeprefix('no interval: ')}"


def _fold_table(splits: pd.DataFrame) -> tuple[list[str], list[tuple[str, ...]]]:
    if not {"id", "split"} <= set(splits.columns):
        return [], []
    folded = splits["fold"].fillna("all") if "fold" in splits else pd.Series("all", index=splits.index)
    table = pd.crosstab(folded, splits["split"])
    rows = [
        (str(fold), *(count(int(each)) for each in row))
        for fold, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return ["Fold", *(split_name(str(name)) for name in table.columns)], rows


def _miss(contents: Contents, found: Scored, row: int) -> tuple[str, ...]:
    target, example = contents.target, str(found.rows["id"][row])
    if target.kind == "regression":
        true, guess = float(found.truth[row]), float(found.p[row])
        return example, number(true, target.unit), number(guess, target.unit), number(guess - true, target.unit)
    true_name = target.classes[int(found.truth[row])]
    if target.kind == "binary":
        return example, true_name, number(float(found.p[row]))
    called = int(found.p[row].argmax())
    return example, true_name, target.classes[called], number(float(found.p[row, int(found.truth[row])]))
