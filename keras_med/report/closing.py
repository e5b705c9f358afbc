"""A finished run to what the terminal says last: the verdict, the headline, the gain, the files, the next command."""

import json
from typing import Any

from keras_med import runfolder
from keras_med.report import wording
from keras_med.report.decided import reached
from keras_med.report.folds import ensemble_sentence, repeat_sentences
from keras_med.runfolder import RunFolder


def result(run: RunFolder, *, as_json: bool) -> str:
    """Return the closing lines, or everything as JSON."""
    settings, metrics = runfolder.read_json(run.settings), runfolder.read_json(run.metrics)
    if as_json:
        files = {"run": run.path, "report": run.report, "export": settings.get("export")}
        content = {**metrics, "demo": settings["demo"], "smoke": settings["smoke"]}
        return json.dumps({**content, **{name: str(path) if path else None for name, path in files.items()}})
    case = (settings.get("settings") or {}).get("evaluate.unit", "example")
    lines = [*_warnings(settings), *_told(metrics, case)]
    lines += [f"{check['severity'].upper()}: {check['sentence']}" for check in metrics["checks"]]
    lines.append(f"report   {run.report}")
    export = settings.get("export")
    if export:
        lines.append(f"export   {export}")
        model = run.path if settings["demo"] else export
        lines.append(f"Next: open the report, then python -m keras_med.predict {model} FILE_OR_FOLDER")
    else:
        lines.append("Next: open the report.")
    return "\n".join(lines)


def _warnings(settings: dict[str, object]) -> list[str]:
    """Say what the numbers below are not."""
    told = []
    if settings["demo"]:
        told.append("DEMO DATA: generated images, not patients; these numbers show that the program runs.")
    if settings["smoke"]:
        told.append("SMOKE RUN: a few examples and one epoch; these numbers mean nothing.")
    return told


def _told(metrics: dict[str, Any], case: str) -> list[str]:
    headline, verdict = metrics["headline"], metrics["verdict"]
    if not headline:
        return ["Nothing was scored."]
    lines = [f"{verdict['name']}: {verdict['sentence']}"]
    for split, figures in metrics["splits"].items():
        entry = figures[headline["metric"]]
        cases = wording.several(entry["n"], case)
        if case == "example" and entry["patients"]:
            cases += f" of {wording.several(entry['patients'], 'patient')}"
        shown = f"{wording.number(entry['value'], entry['unit'])} {entry['unit']}".strip()
        lines.append(
            f"{wording.split_name(split)}: {wording.metric_name(headline['metric'])} {shown} "
            f"({wording.interval(entry)}), {cases}"
        )
    lines += repeat_sentences(metrics)
    own = [line for line in (reached(metrics), ensemble_sentence(metrics)) if line]
    return [*lines, wording.gain_sentence(metrics["improvement"], headline["metric"]), *own]
