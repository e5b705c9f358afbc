"""Predictions, some of whose examples the network knew, to how much they flatter: the same network on the others alone.

The known examples are those with a twin, patient or copy in training or in what chose the weights. The difference of
two figures of one network says what knowing is worth; another network would differ for other reasons too.
"""

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import pandas as pd

from keras_med.evaluation.comparisons import minus
from keras_med.evaluation.intervals import RESAMPLES, interval, resample
from keras_med.evaluation.scores import Entry, described, entry
from keras_med.evaluation.summary import HEADLINE, Scoring, cases
from keras_med.evaluation.weighted import Patients

FEWEST_GROUPS = 30
PARTS = {"test": "test split", "out_of_fold": "folds", "validation": "validation part"}
_SHOWN = {
    "regression": {"mae": "mean absolute error"},
    "binary": {"auroc": "AUROC", "accuracy": "accuracy", "sensitivity": "sensitivity"},
    "classes": {"macro_auroc": "mean AUROC", "accuracy": "accuracy"},
}
_SOUND = "Run the recipe's sound protocol with the same seed; it trains another network, which differs by chance too."


def flattery(
    predictions: pd.DataFrame,
    groups: pd.Series,
    known: Mapping[str, Set[str]],
    scoring: Scoring,
    *,
    resamples: int = RESAMPLES,
) -> dict[str, Any] | None:
    """Compare the figures of one part with those of its examples that the network had no chance to know.

    None where it knew none. `figures` holds for each metric published, unknown (the figure on those examples alone)
    and flatters: by how much the published one is better, with an interval from resampled groups. There are none where
    fewer than 30 groups are left.

    Args:
        predictions: of one role, as `summarise` takes them.
        groups: of patients, twins and copies; by id.
        known: of each fit, the groups in its training or in what chose its weights.
    """
    rows = predictions.assign(group=predictions["id"].map(groups))
    seen = np.array([group in known[fit] for group, fit in zip(rows["group"], rows["fit"], strict=True)], bool)
    if not seen.any():
        return None
    left = int(rows.loc[~seen, "group"].nunique())
    role = str(rows["role"].iloc[0])
    found: dict[str, Any] = {
        "role": role,
        "examples": len(rows),
        "known": int(seen.sum()),
        "unknown_groups": left,
        "figures": _figures(rows, seen, scoring, resamples) if left >= FEWEST_GROUPS else {},
    }
    return found | {"sentence": _sentence(found, scoring), "remedy": _SOUND if not found["figures"] else ""}


def _figures(rows: pd.DataFrame, seen: np.ndarray, scoring: Scoring, resamples: int) -> dict[str, dict[str, Any]]:
    whole, rest = cases(rows, scoring), cases(rows[~seen], scoring)
    every = _grouped(whole, rows, scoring)
    codes = pd.Series(every.codes, index=_keys(whole))
    some = Patients(codes[_keys(rest)].to_numpy(), every.count, known=True)
    one, two = (
        described(
            table,
            patients,
            kind=scoring.kind,
            unit=scoring.unit,
            classes=scoring.classes,
            threshold=scoring.threshold_for(rows),
        )
        for table, patients in ((whole, every), (rest, some))
    )
    drawn = resample(minus(one.statistic, two.statistic), every.count, seed=scoring.seed, resamples=resamples)
    better = -1 if scoring.kind == "regression" else 1
    table = {}
    for name in _SHOWN[scoring.kind]:
        gap, basis = better * (one.values[name] - two.values[name]), two.bases[name]
        found = interval(
            gap,
            better * drawn.replicates[name],
            better * drawn.jackknife[name],
            patients=some.among(basis.rows),
            smaller=basis.smaller(some),
        )
        table[name] = {
            "published": one.values[name],
            "unknown": two.values[name],
            "flatters": entry(gap, found, n=len(rest), patients=some.among(basis.rows), unit=basis.unit),
        }
    return table


def _grouped(whole: pd.DataFrame, rows: pd.DataFrame, scoring: Scoring) -> Patients:
    """Number the groups of the cases; all examples of a patient are of one group."""
    of = rows["patient"] if scoring.case == "patient" else rows["id"]
    group = pd.Series(rows["group"].to_numpy(), index=of.astype(str).to_numpy())
    codes, names = pd.factorize(whole["id"].astype(str).map(group[~group.index.duplicated()]))
    return Patients(codes.astype(np.int64), len(names), known=True)


def _keys(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([table["fit"].astype(str), table["id"].astype(str)])


def _sentence(found: dict[str, Any], scoring: Scoring) -> str:
    part = PARTS.get(found["role"], found["role"])
    share = 100 * found["known"] / found["examples"]
    told = (
        f"{found['known']} of the {found['examples']} examples of the {part} ({share:.0f} %) have a twin, patient or "
        "copy in training or in what chose the weights"
    )
    if not found["figures"]:
        left = f"{found['unknown_groups']} groups" if found["unknown_groups"] else "none"
        return f"{told}; {left} of the others are left, too few to say by how much the figure flatters (30 are needed)."
    name = HEADLINE[scoring.kind]
    figure = found["figures"][name]
    words, unit = _SHOWN[scoring.kind][name], f" {scoring.unit}" if scoring.unit else ""
    return (
        f"{told}. On the others ({found['unknown_groups']} groups) the {words} of the same network is "
        f"{_number(figure['unknown'], unit)}{unit} instead of {_number(figure['published'], unit)}{unit}: "
        f"{_difference(figure['flatters'], unit)}."
    )


def _difference(gap: Entry, unit: str) -> str:
    value, low, high = (gap[name] for name in ("value", "low", "high"))
    if not isinstance(value, float):
        return "the difference is not defined"
    said = f"the published figure {'flatters' if value >= 0 else 'is worse'} by {_number(abs(value), unit)}{unit}"
    if not isinstance(low, float) or not isinstance(high, float):
        return f"{said} ({gap.get('reason', 'no interval')})"
    if low <= 0 <= high:
        return f"no difference can be told from none ({_number(low, unit)} to {_number(high, unit)}{unit}, 95 %)"
    return f"{said} (95 % interval {_number(low, unit)} to {_number(high, unit)})"


def _number(value: float, unit: str = "") -> str:
    return f"{value:.{2 if unit else 3}f}".replace("-", "\u2212")
