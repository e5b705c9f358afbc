"""Twins, patients and studies of a table to what they do to its labels and to a split that the user gave."""

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from keras_med.data.findings import Finding, Severity, listed, several
from keras_med.data.split_division import groups_of
from keras_med.data.tables import SPLITS
from keras_med.data.twins import Twins, is_constant, known_patients

SIDES = ("train", "validation", "test")


_SEVERITY: dict[str, Severity] = {"group": "info", "drop": "info", "error": "red", "allow": "amber"}
_REMEDY = {
    "group": 'None needed: twins stay on one side of every split (data.duplicates="group").',
    "drop": 'None needed: one of each identical group is kept, near twins stay together (data.duplicates="drop").',
    "error": 'Remove the copies, or accept them with data.duplicates="group", "drop" or "allow".',
    "allow": 'Scores may be too good: data.duplicates="allow" lets copies lie on both sides of a split.',
}
_GIVEN = "The given split is kept as it is; twins on two sides of it are a finding of their own."
_SAME = ("has the pixels of another, also mirrored or turned", "have the pixels of others, also mirrored or turned")
_LIKE = "another after re-encoding, resizing, brightening or a small crop"


def twin_findings(table: pd.DataFrame, twins: Twins, duplicates: str, *, given: bool) -> list[Finding]:
    """Tell how many pictures are in the table twice, by how they were found; those of one patient are no finding."""
    patients = known_patients(table)
    first, second = twins.pairs["first"].to_numpy(int), twins.pairs["second"].to_numpy(int)
    pairs = twins.pairs[(patients[first] != patients[second]) | (patients[first] < 0)]
    near = pairs["kind"] == "near"
    found = []
    for name, some, what in (
        ("identical_images", pairs[~near], _SAME),
        ("near_twins", pairs[near], (f"looks like {_LIKE}", f"look like {_LIKE}")),
    ):
        if len(some):
            told = f"{several(len(some), 'picture')} {what[len(some) > 1]}"
            largest = int(np.bincount(twins.group).max())
            finding = Finding(
                name=name,
                severity=_SEVERITY[duplicates],
                sentence=f"{told}; the largest group of twins holds {largest}.",
                count=len(some),
                rows=listed(table["id"].iloc[some[["first", "second"]].to_numpy(int).reshape(-1)]),
                remedy=_GIVEN if given and duplicates == "group" else _REMEDY[duplicates],
                blocks=duplicates == "error",
            )
            found.append(finding)
    if twins.refused:
        found.append(_refused(table, twins.refused))
    return found


def _refused(table: pd.DataFrame, refused: tuple[NDArray[np.int64], ...]) -> Finding:
    rows = np.concatenate(refused)
    return Finding(
        name="twins_not_applied",
        severity="red",
        sentence=f"{several(len(refused), 'group')} of {several(len(rows), 'similar picture')} (the largest "
        f"{max(map(len, refused)):,}) would be over 5 % of the data or join more than 3 patients, so they were not "
        "grouped as twins: they may be copies of one picture or only look alike.",
        count=len(refused),
        rows=listed(table["id"].iloc[rows]),
        remedy='Look at these pictures. Remove true copies; accept the rest with data.duplicates="allow".',
    )


def conflict_findings(table: pd.DataFrame, twins: Twins, duplicates: str) -> list[Finding]:
    """Tell which pictures carry two labels; only equal pixels stop a run, near twins may differ for a reason."""
    conflicting = conflicts(table)
    found = []
    if conflicting.any():
        remedy = 'Correct the labels. data.duplicates="drop" leaves all of these out, "allow" keeps both labels.'
        found.append(
            Finding(
                name="label_conflicts",
                severity="red",
                sentence=f"{several(int(conflicting.sum()), 'picture')} with identical (or mirrored) pixels in "
                f"{several(table['flip_hash'][conflicting].nunique(), 'group')} have different labels.",
                count=int(conflicting.sum()),
                rows=listed(table["id"][conflicting]),
                remedy="They were left out of the data." if duplicates == "drop" else remedy,
                blocks=duplicates in ("group", "error"),
            )
        )
    near = twins.pairs[twins.pairs["kind"] == "near"][["first", "second"]].to_numpy(int)
    labels = table["label"].to_numpy(object)
    differ = [pair for pair in near if not pd.isna(labels[pair]).any() and labels[pair[0]] != labels[pair[1]]]
    if differ:
        found.append(
            Finding(
                name="near_twin_conflicts",
                severity="amber",
                sentence=f"{several(len(differ), 'pair')} of near twins with different labels.",
                count=len(differ),
                rows=listed(table["id"].iloc[np.concatenate(differ)]),
                remedy="Look at the pairs: one label may be wrong, or two examinations of one person look alike.",
            )
        )
    return found


def conflicts(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which rows share their pixels, flipped or not, with a row of another label."""
    labelled = table["label"].notna() & ~is_constant(table)
    labels = table["label"].where(labelled)
    return (labels.groupby(table["flip_hash"]).transform("nunique") > 1).to_numpy() & labelled.to_numpy()


def split_findings(table: pd.DataFrame, split: str, leaks: str, duplicates: str) -> list[Finding]:
    """Tell which patients, studies and twins lie on two sides of the split that the data came with."""
    places = sides(table, split)
    found = []
    for name, column, noun in (
        ("shared_patients", "patient", "patient"),
        ("shared_studies", "study", "study"),
        ("twins_across_splits", "group", "group of twins"),
    ):
        if column in table:
            key = table[column].astype(object).replace("", np.nan)
            accepted = leaks != "error" or (column == "group" and duplicates == "allow")
            leak = _leak(name, noun, key, places, table, accepted, kept=leaks == "allow")
            found += [leak] if leak else []
    return found


def _leak(
    name: str, noun: str, key: pd.Series, places: pd.Series, table: pd.DataFrame, accepted: bool, *, kept: bool
) -> Finding | None:
    """Tell what lies on two sides: it stops the run, is accepted, or is kept and stays red."""
    held = {side: set(key[(places == side) & key.notna()]) for side in SIDES}
    shared = {pair: held[pair[0]] & held[pair[1]] for pair in combinations(SIDES, 2)}
    names = set().union(*shared.values())
    if not names:
        return None
    told = ", ".join(f"{len(both)} in {one} and {other}" for (one, other), both in shared.items() if both)
    plural = {"study": "studies", "group of twins": "groups of twins"}.get(noun, "")
    return Finding(
        name=name,
        severity="amber" if accepted and not kept else "red",
        sentence=f"{several(len(names), noun, plural)} on two sides of the given split: {told}. "
        "A network may recognise them, so the score would be too good.",
        count=len(names),
        rows=listed(table["id"][key.isin(names)]),
        remedy=f"{several(len(leaked_ids(table, places)), 'row')} of the earlier sides must go: "
        'Column(..., leaks="drop_from_training") leaves them out.',
        blocks=not accepted,
    )


def leaked_ids(table: pd.DataFrame, places: pd.Series) -> list[str]:
    """Return the ids to leave out: of training what validation or test shares, of validation what test shares.

    Shared is a patient (else study, series) or a group of twins, also by a chain. `places` holds train, validation or
    test for each row, as `sides` returns it.
    """
    groups = pd.Series(groups_of(table), index=table.index)
    tested = groups.isin(groups[places == "test"])
    validated = groups.isin(groups[places == "validation"])
    leaked = ((places == "train") & (tested | validated)) | ((places == "validation") & tested)
    return [str(each) for each in table["id"][leaked]]


def sides(table: pd.DataFrame, split: str) -> pd.Series:
    """Return train, validation or test for each row of a given split; other words stay as they are."""
    words = table[split].map(lambda value: "" if pd.isna(value) else str(value).strip().lower())
    return words.map(lambda word: SPLITS.get(word, word))
