"""A run folder to card.md: a model card with what the run knows, its limits, and what only its authors can say."""

import json
from pathlib import Path

from keras_med.report.checks import checks
from keras_med.report.contents import Contents, read
from keras_med.report.data_figures import parts_of
from keras_med.report.folds import ensemble_sentence
from keras_med.report.reproduce import data_hash
from keras_med.report.scored import headline_split, scored
from keras_med.report.wording import (
    BY_CLASS_TABLE,
    NOT_AVAILABLE,
    Entry,
    count,
    finite,
    interval,
    metric_name,
    number,
    several,
    split_name,
)
from keras_med.runfolder import RunFolder, write_text

TASKS = {"regression": "image-regression", "binary": "image-classification", "classes": "image-classification"}
DEMO = "**DEMO DATA**: trained on generated images. The numbers show that the program runs and nothing about medicine."
SMOKE = "**SMOKE RUN**: a few examples for a step or two. Every number below is meaningless."


def write_card(run: RunFolder) -> Path:
    """Write card.md, with the front matter that model hubs read."""
    contents = read(run)
    path = run.card
    parts = [
        _front_matter(contents),
        f"# {_plain(' '.join(contents.title.split()))}",
        *_warnings(contents),
        *_use(contents),
        *_data(contents),
    ]
    parts += [*_metrics(contents), *_limits(contents), *_making(contents)]
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")
    return path


def _front_matter(contents: Contents) -> str:
    """YAML whose values are JSON, so that no text can break out of it; demo figures go to no leaderboard."""
    split = headline_split(contents)
    lines = [
        "---",
        "library_name: keras",
        "tags:",
        "- medical-imaging",
        "- keras_med",
        f"- {TASKS[contents.target.kind]}",
    ]
    if contents.demo or contents.smoke:
        return "\n".join([*lines, "- demo", "---"])
    entries = (contents.metrics.get("splits") or {}).get(split) or {}
    told = {
        name: entry for name, entry in entries.items() if finite(entry.get("value")) and not BY_CLASS_TABLE.match(name)
    }
    if told:
        lines += ["model-index:", f"- name: {_quoted(contents.title)}", "  results:", "  - task:"]
        lines += [
            f"      type: {TASKS[contents.target.kind]}",
            "    dataset:",
            f"      name: {_quoted(contents.title)}",
        ]
        lines += [f"      type: {_quoted(contents.title)}", f"      split: {_quoted(split)}", "    metrics:"]
        for name, entry in told.items():
            lines += [f"    - type: {_quoted(name)}", f"      value: {_quoted(entry['value'])}"]
    return "\n".join([*lines, "---"])


def _warnings(contents: Contents) -> list[str]:
    return [text for text, holds in ((SMOKE, contents.smoke), (DEMO, contents.demo)) if holds]


def _use(contents: Contents) -> list[str]:
    target = contents.target
    what = f"a number ({target.unit})" if target.unit else "a number"
    if target.kind != "regression":
        what = "one of " + ", ".join(target.classes)
    return [
        "## Intended use",
        f"Research. From one image the network predicts {_plain(what)}. It is not a medical device: "
        "nobody has assessed it for clinical use.",
        _plain(str((contents.settings.get("recipe") or {}).get("docstring") or "").strip()),
        "Its authors say for whom and for which images it is meant, and for which it is not.",
    ]


def _data(contents: Contents) -> list[str]:
    parts = parts_of(contents)
    sizes = ", ".join(
        f"{split_name(str(name)).lower()} {count(size)}" for name, size in parts["split"].value_counts().items()
    )
    patients = "patients not known" if contents.patients is None else several(contents.patients, "patient")
    text = f"{several(len(contents.images), 'image')}, {patients}; {count(len(contents.excluded))} excluded."
    return [
        "## Data",
        text
        + (f" Parts: {sizes}." if sizes else "")
        + (f" Hash: {data_hash(contents)}." if data_hash(contents) else ""),
    ]


def _metrics(contents: Contents) -> list[str]:
    found: list[str] = ["## Metrics"]
    if of_ensemble := ensemble_sentence(contents.metrics):
        found.append(of_ensemble)
    said = contents.metrics.get("verdict") or {}
    if said:
        found.append(f"{_plain(str(said.get('name')))}: {_plain(str(said.get('sentence')))}")
    for split, entries in (contents.metrics.get("splits") or {}).items():
        rows = [_row(name, entry) for name, entry in entries.items() if not name.startswith("support_")]
        if rows:
            columns = f"| Metric | Value | 95 % interval | Unit | {contents.cases} |\n|---|---|---|---|---|\n"
            head = f"{split_name(split)}\n\n{columns}"
            found.append(head + "\n".join(rows))
    return found


def _row(name: str, entry: Entry) -> str:
    unit = str(entry.get("unit") or "")
    cells = (
        metric_name(name),
        number(entry.get("value"), unit),
        interval(entry),
        unit or NOT_AVAILABLE,
        count(entry.get("n")),
    )
    return "| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in cells) + " |"


def _limits(contents: Contents) -> list[str]:
    known = [check for check in checks(contents, scored(contents)) if check.severity != "info"]
    lines = [f"- {check.word}: {_plain(check.sentence)}" for check in known]
    lines.append(
        "- Nothing is known about images from other hospitals, machines or populations than those of the data above."
    )
    return ["## Limits", "\n".join(lines)]


def _making(contents: Contents) -> list[str]:
    packages = contents.environment.get("packages") or {}
    versions = ", ".join(f"{name} {packages[name]}" for name in ("keras", "tensorflow", "numpy") if name in packages)
    command = str(contents.settings.get("command") or "").replace("`", "'")
    seed = contents.settings.get("seed", NOT_AVAILABLE)
    return ["## How it was made", f"    {command}" if command else "", f"Seed {seed}. {versions}".strip()]


def _quoted(value: object) -> str:
    """Write a value as JSON, which is YAML too, without a bracket that a page could take for HTML."""
    return json.dumps(value).replace("<", "\\u003c")


def _plain(text: str) -> str:
    """Keep HTML in a text from being HTML where the card is shown."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
