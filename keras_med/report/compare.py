"""Two runs to the difference of their figures on the same examples, paired over patients."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_med.data.dataset import read_index
from keras_med.errors import DataError
from keras_med.evaluation import gathering
from keras_med.evaluation.comparisons import Entry, differences
from keras_med.evaluation.summary import Scoring, cases
from keras_med.recipe.seeds import seed_for
from keras_med.report import wording
from keras_med.report.load import Run, load_run
from keras_med.report.operating import threshold_of

_ROLES = ("test", "out_of_fold")
_SHOWN = ("auroc", "macro_auroc", "sensitivity", "specificity", "accuracy", "log_loss", "brier", "mae", "rmse", "bias")


@dataclass(frozen=True)
class Comparison:
    """The first run minus the second.

    role: the examples that both predict: the test split, else those out of fold.
    figures: value, low and high of each metric's difference.
    """

    first: str
    second: str
    role: str
    figures: dict[str, Entry]
    demo: bool

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(asdict(self), default=_plain)

    def lines(self) -> list[str]:
        """Return the differences for a reader, those whose interval excludes 0 marked as such."""
        told = ["DEMO DATA: generated images, not patients."] if self.demo else []
        told.append(f"{self.first} minus {self.second}, {wording.split_name(self.role).lower()}:")
        for name in (name for name in _SHOWN if name in self.figures):
            entry = self.figures[name]
            told.append(
                f"  {wording.metric_name(name):<28} {wording.number(entry['value'], str(entry['unit']))} "
                f"({wording.interval(dict(entry))}){_mark(entry)}"
            )
        return told


def compare(first: Path, second: Path) -> Comparison:
    """Compare two runs over the same examples; other targets, examples or labels are refused."""
    one, two = load_run(first), load_run(second)
    target = one.settings["target"]
    if any(two.settings["target"][name] != target[name] for name in ("kind", "unit", "classes")):
        raise DataError(f"{first} and {second} have different targets.", remedy="Compare runs on the same labels.")
    role = _role(one, two)
    unit, combine = _case(one, two)
    scoring = Scoring(target["kind"], target["unit"], target["classes"], seed_for(0, "compare"), unit, combine)
    tables = [_cases(run, role, scoring) for run in (one, two)]
    settings: dict[str, Any] = {"kind": scoring.kind, "seed": scoring.seed, "unit": scoring.unit}
    thresholds = (threshold_of(one.judged, tables[0]), threshold_of(two.judged, tables[1]))
    figures = differences(*tables, classes=scoring.classes, thresholds=thresholds, **settings)
    demo = bool(one.settings["demo"] or two.settings["demo"])
    return Comparison(str(first), str(second), role, figures, demo)


def _role(one: Run, two: Run) -> str:
    for role in _ROLES:
        if all((run.predictions["role"] == role).any() for run in (one, two)):
            return role
    raise DataError(
        f"{one.folder.path.name} and {two.folder.path.name} have no scored examples in common.",
        remedy="Both need a scored test split, or both folds.",
    )


def _case(one: Run, two: Run) -> tuple[Any, Any]:
    """Return unit and combine of a case, which both runs must share."""
    names = ("evaluate.unit", "evaluate.combine")
    first, second = (tuple(run.settings["settings"][name] for name in names) for run in (one, two))
    if first != second:
        raise DataError(
            f"One run counts cases by {' and '.join(first)}, the other by {' and '.join(second)}.",
            remedy="Set evaluate.unit and evaluate.combine alike.",
        )
    return first


def _cases(run: Run, role: str, scoring: Scoring) -> Any:
    rows = run.predictions[run.predictions["role"] == role]
    return cases(gathering.with_patients(rows, read_index(run.folder.index)), scoring).reset_index(drop=True)


def _mark(entry: Entry) -> str:
    low, high = entry["low"], entry["high"]
    if not (wording.finite(low) and wording.finite(high)):
        return ""
    return "  differs" if low > 0 or high < 0 else "  not distinguishable"


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
