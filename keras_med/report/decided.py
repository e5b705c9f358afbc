"""metrics.json's threshold and calibration to what the page says of them: how they were chosen and what they do."""

from typing import Any

from keras_med.report.contents import Contents
from keras_med.report.wording import count, finite, interval, metric_name, number, percent, several, split_name

Values = dict[str, Any]


def decided(contents: Contents) -> Values:
    """Return sentences and the table of probabilities before and after calibration; both empty where nothing was."""
    threshold, calibration = (contents.metrics.get(name) or {} for name in ("threshold", "calibration"))
    sentences = [*_threshold(contents, threshold), *_calibration(contents, calibration)]
    return {"sentences": sentences, **_table(calibration, contents)}


def reached(metrics: Values) -> str:
    """Say in a line which threshold the network has and what it reached on the test; empty without one."""
    threshold = metrics.get("threshold") or {}
    if not finite(threshold.get("value")):
        return ""
    tested = (metrics.get("splits") or {}).get("test") or {}
    told = [f"{name} {_cell(tested[name])}" for name in ("sensitivity", "specificity") if name in tested]
    on = f"; on the test {', '.join(told)}" if told else ""
    return f"Threshold {number(threshold['value'])} for a sensitivity of {threshold['target']:g}{on}."


def _threshold(contents: Contents, said: Values) -> list[str]:
    if not said:
        return []
    if not finite(said.get("value")):
        return [f"No threshold: {said.get('sentence')} {said.get('remedy') or ''}".strip()]
    patients = several(int(said["positive_patients"]), "positive patient")
    if not contents.metrics.get("patients_known"):
        patients = several(int(said["positives"]), "positive example")
    chosen = f"The threshold was chosen on {patients} of {_part(said)}. "
    return [reached(contents.metrics), chosen + str(said["sentence"])]


def _part(said: Values) -> str:
    """Name where examples came from that the network did not know."""
    if said.get("part") == "out_of_fold":
        return "the folds, each predicted by the one member of the ensemble that did not train on it"
    return f"the {split_name(str(said.get('part'))).lower()} part, which the network did not train on"


def _calibration(contents: Contents, said: Values) -> list[str]:
    if not said:
        return []
    if not said.get("method"):
        return [str(said.get("sentence"))]
    told = f"Calibrated on {several(int(said['examples']), contents.case)} of {_part(said)}: "
    bent = said["method"] == "slope_intercept"
    told += f"slope {number(1 / said['temperature'])} and intercepts" if bent else ""
    told += "" if bent else f"temperature {number(said['temperature'])}"
    if said.get("priors"):
        natural, seen = said["priors"]
        name = contents.target.classes[-1]
        told += f", and the share of {name} from {percent(seen[-1])} in training to {percent(natural[-1])} in the data"
    return [told + ". The export says how; the figures above and below are of the network's own probabilities."]


def _table(said: Values, contents: Contents) -> Values:
    before, after = said.get("before") or {}, said.get("after") or {}
    rows = [
        (metric_name(name), _cell(before[name]), _cell(after.get(name) or {}), count(before[name].get("n")))
        for name in before
    ]
    return {"columns": ["Test", "As the network says", "Calibrated", contents.cases], "rows": rows}


def _cell(entry: Values) -> str:
    span = f" ({interval(entry)})" if finite(entry.get("low")) else ""
    return f"{number(entry.get('value'))}{span}"
