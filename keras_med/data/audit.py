"""Prepared tables to what is wrong with the data, and to the groups that must not cross a split."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from keras_med.data.findings import Finding, listed, several
from keras_med.data.leaks import (
    SIDES,
    conflict_findings,
    conflicts,
    leaked_ids,
    sides,
    split_findings,
    twin_findings,
)
from keras_med.data.shortcuts import find_shortcuts
from keras_med.data.twins import find_twins, is_constant, known_patients
from keras_med.errors import DataError

__all__ = ["Audit", "Finding", "audit", "leaked_ids", "refuse", "sides", "to_json"]

WORKABLE = 20  # patients of a class: with fewer an interval says nothing
FEWEST = 5

_ORDER = {"red": 0, "amber": 1, "info": 2}


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What `audit` found.

    Attributes:
        table: the table with a column group, equal for confirmed twins; without the dropped rows.
        findings: red ones first.
        dropped: id and reason of the rows that data.duplicates="drop" left out.
        pairs: first, second (ids), kind ("identical", "mirrored", "near") and correlation of all twins.
    """

    table: pd.DataFrame
    findings: tuple[Finding, ...]
    dropped: pd.DataFrame
    pairs: pd.DataFrame

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """The findings that stop a run."""
        return tuple(finding for finding in self.findings if finding.blocks)


def audit(
    table: pd.DataFrame,
    *,
    thumbnails: np.ndarray | None,
    kind: Literal["regression", "binary", "classes"],
    duplicates: Literal["group", "drop", "error", "allow"] = "group",
    given_split: str | bool = False,
    leaks: Literal["error", "drop_from_training", "allow"] = "error",
    excluded: pd.DataFrame | None = None,
) -> Audit:
    """Look for what makes results wrong, and group confirmed twins.

    Args:
        table: what `prepare` returns; patient, study and a split where they are known.
        thumbnails: one a row of the table; without them near twins and noise are not looked for.
        given_split: the column with the split that the data came with ("split" for True).
        excluded: id and reason of the files that could not be read.
    """
    if table.empty:
        raise DataError("No example is left to audit.", remedy="See excluded.csv for the reasons.")
    table = table.reset_index(drop=True)
    split = "split" if given_split is True else given_split or ""
    if split and split not in table:
        raise DataError(f"The table has no column {split!r} with the given split.")
    twins = find_twins(table, thumbnails)
    ids = table["id"].astype(str).to_numpy(object)
    grouped = table.assign(group=ids[twins.group])
    dropped = _dropped(grouped, split) if duplicates == "drop" else grouped.iloc[:0][["id"]].assign(reason="")
    kept = grouped[~grouped["id"].isin(dropped["id"])].reset_index(drop=True)
    findings = [
        *twin_findings(table, twins, duplicates, given=bool(split)),
        *conflict_findings(table, twins, duplicates),
        *(split_findings(kept, split, leaks, duplicates) if split else []),
        *_picture_findings(table, thumbnails, excluded),
        *_label_findings(kept, kind, split),
        *find_shortcuts(kept, kind),
        *_patients_unknown(kept),
    ]  # fmt: skip
    pairs = twins.pairs.assign(first=ids[twins.pairs["first"]], second=ids[twins.pairs["second"]])
    return Audit(
        table=kept,
        findings=tuple(sorted(findings, key=lambda finding: (_ORDER[finding.severity], not finding.blocks))),
        dropped=dropped,
        pairs=pairs[["first", "second", "kind", "correlation"]],
    )


def refuse(found: Audit) -> None:
    """Raise a DataError when a finding blocks the run."""
    if found.blocking:
        first, rest = found.blocking[0], len(found.blocking) - 1
        more = f" ({several(rest, 'more such finding')})" if rest else ""
        rows = f"rows {', '.join(first.rows[:5])}" if first.rows else ""
        raise DataError(first.sentence + more, where=rows, remedy=first.remedy)


def to_json(found: Audit) -> dict[str, Any]:
    """Return what audit.json holds; patients are in it as counts only."""
    return {
        "format": 1,
        "examples": len(found.table),
        "dropped": len(found.dropped),
        "groups": int(found.table["group"].nunique()),
        "largest_group": int(found.table["group"].value_counts().max()) if len(found.table) else 0,
        "findings": [
            {**dataclasses.asdict(finding), "rows": list(finding.rows)} for finding in found.findings
        ],
    }  # fmt: skip


def _dropped(table: pd.DataFrame, split: str) -> pd.DataFrame:
    """Choose what goes: all copies that disagree on the label, else all but one, the test's copy staying first."""
    alive = table[~is_constant(table)]
    disagree = alive["id"].isin(table["id"][conflicts(table)])
    place = sides(alive, split).map({side: rank for rank, side in enumerate(reversed(SIDES))}) if split else 0
    ranked = alive.assign(_place=place, _labelled=alive["label"].isna())
    ranked = ranked[~disagree].sort_values(["_labelled", "_place"], kind="stable")
    copies = ranked["id"][ranked["flip_hash"].duplicated()]
    reasons = dict.fromkeys(copies, "identical to another picture")
    reasons |= dict.fromkeys(alive["id"][disagree], "identical to a picture with another label")
    return pd.DataFrame({"id": list(reasons), "reason": list(reasons.values())}, dtype=object)


def _picture_findings(
    table: pd.DataFrame, thumbnails: np.ndarray | None, excluded: pd.DataFrame | None
) -> list[Finding]:
    constant = is_constant(table)
    noise = noisy(thumbnails) & ~constant if thumbnails is not None else np.zeros(len(table), bool)
    found = []
    for name, rows, what in (
        ("constant_images", constant, "of one single grey value (an empty picture)"),
        ("noise_images", noise, "of noise instead of a picture, whole or in part"),
    ):
        if rows.any():
            sentence = f"{several(int(rows.sum()), 'image')} {what}."
            remedy = "Look at them; leave them out in index() unless they belong to the task."
            ids = listed(table["id"][rows])
            found.append(
                Finding(name=name, severity="amber", sentence=sentence, count=int(rows.sum()), rows=ids,
                        remedy=remedy)
            )  # fmt: skip
    return found + _excluded(excluded, len(table))


def _excluded(excluded: pd.DataFrame | None, left: int) -> list[Finding]:
    if excluded is None or excluded.empty:
        return []
    short = excluded["reason"].astype(str).str.contains("truncat|short|cut|incomplete|bytes", case=False, regex=True)
    share = len(excluded) / (len(excluded) + left)
    return [
        Finding(
            name="excluded_files",
            severity="red" if share > 0.05 else "amber",
            sentence=f"{several(len(excluded), 'row')} left out ({share:.1%}), "
            f"{int(short.sum())} of them because a file is cut short.",
            count=len(excluded),
            rows=listed(excluded["id"]),
            remedy="excluded.csv names the reason for each; what is missing for a reason can bias the results.",
        )
    ]


def noisy(thumbnails: np.ndarray) -> NDArray[np.bool_]:
    """Say which thumbnails, or which quarter of one, show neighbours that know nothing of each other."""
    found = np.zeros(len(thumbnails), bool)
    for start in range(0, len(thumbnails), 1024):
        bands = np.asarray(thumbnails[start : start + 1024], np.float32).reshape(-1, 4, 16, 64)
        bands = bands - bands.mean(axis=(2, 3), keepdims=True)
        spread = (bands**2).mean(axis=(2, 3))
        along = (bands[..., 1:] * bands[..., :-1]).mean(axis=(2, 3))
        down = (bands[..., 1:, :] * bands[..., :-1, :]).mean(axis=(2, 3))
        alike = np.maximum(along, down) / np.maximum(spread, 1e-9)
        found[start : start + 1024] = ((alike < 0.3) & (spread > 10**2)).any(axis=1)
    return found


def _label_findings(table: pd.DataFrame, kind: str, split: str) -> list[Finding]:
    """Tell which classes are too rare to learn or to be scored, as patients where those are known."""
    people, unit = _units(table)
    if kind == "regression":
        number = people[table["label"].notna()].nunique()
        return [_few(f"Only {several(number, unit)} with a label.", number)] if number < WORKABLE else []
    counts = people.groupby(table["label"]).nunique()
    found = [
        _few(f"Class {label}: only {several(int(number), unit)}.", int(number))
        for label, number in counts.items()
        if number < WORKABLE
    ]
    if split:
        held = pd.crosstab(table["label"], sides(table, split))
        missing = [f"{label} in {side}" for side in SIDES if side in held for label in held.index[held[side] == 0]]
        if missing:
            sentence = f"The given split lacks {several(len(missing), 'class', 'classes')}: {', '.join(missing[:5])}."
            remedy = "Scores of that side say nothing of the class; split again, or add examples."
            found.append(
                Finding(name="missing_class", severity="red", sentence=sentence, count=len(missing), remedy=remedy)
            )
    return found


def _few(sentence: str, number: int) -> Finding:
    return Finding(
        name="few_examples",
        severity="red" if number < FEWEST else "amber",
        sentence=f"{sentence} Below {WORKABLE} neither training nor an interval around a score can be relied on.",
        count=number,
        remedy="Gather more, join classes, or read the scores as counts only.",
    )


def _units(table: pd.DataFrame) -> tuple[pd.Series, str]:
    patients = known_patients(table)
    rows = -2 - np.arange(len(table))  # a picture without a patient stands for itself
    unit = "patient" if len(patients) and (patients >= 0).all() else "example"
    return pd.Series(np.where(patients >= 0, patients, rows), index=table.index), unit


def _patients_unknown(table: pd.DataFrame) -> list[Finding]:
    unknown = int((known_patients(table) < 0).sum())
    if not unknown:
        return []
    told = "The patients are unknown" if unknown == len(table) else f"{several(unknown, 'example')} without a patient"
    return [
        Finding(
            name="patients_unknown",
            severity="amber",
            sentence=f"{told}: pictures of one person may lie on both sides of a split, and scores may be too good.",
            count=unknown,
            rows=() if unknown == len(table) else listed(table["id"][known_patients(table) < 0]),
            remedy="Give index() a column patient if there is any way to know.",
        )
    ]
