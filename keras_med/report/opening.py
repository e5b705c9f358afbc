"""The first screen: verdict, headline, counts, red checks, three pictures or else three figures."""

from typing import Any

from keras_med.report.checks import Check
from keras_med.report.contents import Contents
from keras_med.report.figures import Drawing
from keras_med.report.pictures import Picture
from keras_med.report.scored import Scored, headline_split
from keras_med.report.wording import (
    NOT_AVAILABLE,
    Entry,
    count,
    finite,
    gain_sentence,
    interval,
    metric_name,
    number,
    several,
    split_name,
)

TONES = {"LEARNED": "good", "FAILED TO LEARN": "bad", "DID NOT GENERALISE": "bad", "TOO FEW CASES TO SAY": "open"}
NO_VERDICT = "This run was not judged: it scored no prediction."


def first_screen(
    contents: Contents, found: Scored, known: list[Check], three: list[Picture], drawings: dict[str, list[Drawing]]
) -> dict[str, Any]:
    """Give everything that is seen without scrolling."""
    split = headline_split(contents)
    metric, entry = _headline(contents, split)
    red = [check for check in known if check.severity == "red"]
    amber = sum(check.severity == "amber" for check in known)
    gain = contents.metrics.get("improvement") or {}
    loss = "mae" if contents.target.kind == "regression" else "log_loss"
    figures = [*drawings["performance"][:2], *drawings["training"][:1], *drawings["data"]]
    return {
        "verdict": _verdict(contents),
        "headline": {
            "name": metric_name(metric) if metric else "No metric",
            "split": split_name(split),
            "value": number(entry.get("value"), str(entry.get("unit") or "")),
            "unit": f" {entry['unit']}" if entry.get("unit") and finite(entry.get("value")) else "",
            "interval": _interval(entry),
        },
        "gain": gain_sentence(gain, loss),
        "counts": _counts(contents, found, entry, split),
        "red": red,
        "red_words": several(len(red), "red check"),
        "other_words": several(amber, "amber check") if amber else "All checks",
        "pictures": three,
        "drawings": [] if three else figures[:3],
    }


def _headline(contents: Contents, split: str) -> tuple[str, Entry]:
    entries = (contents.metrics.get("splits") or {}).get(split) or {}
    metric = str((contents.metrics.get("headline") or {}).get("metric") or next(iter(entries), ""))
    return metric, entries.get(metric) or {}


def _verdict(contents: Contents) -> dict[str, str]:
    said = contents.metrics.get("verdict") or {}
    name = str(said.get("name") or "NO VERDICT")
    tone = TONES.get(name, "open")
    if tone == "good" and headline_split(contents) in (contents.metrics.get("flattery") or {}):
        tone = "open"  # it was reached on examples that the network knew
    return {"name": name, "sentence": str(said.get("sentence") or NO_VERDICT), "tone": tone}


def _interval(entry: Entry) -> str:
    if finite(entry.get("low")) and finite(entry.get("high")):
        return f"95 % interval {interval(entry)}"
    return f"No interval: {str(entry.get('reason') or 'metrics.json has none').removeprefix('no interval: ')}"


def _counts(contents: Contents, found: Scored, entry: Entry, split: str) -> list[tuple[str, str, str]]:
    where = split_name(split).lower()
    images = count(len(contents.images)) if len(contents.index) else NOT_AVAILABLE
    scored = entry.get("n") if contents.case == "example" or found.why else found.rows["id"].nunique()
    rows = [("Images", images, f"{count(scored)} in {where}" if finite(scored) else "")]
    if contents.patients is None:
        return [*rows, ("Patients", "not known", "one person may lie on both sides of a split")]
    inside = f"{count(entry['patients'])} in {where}" if finite(entry.get("patients")) else ""
    return [*rows, ("Patients", count(contents.patients), inside)]
