"""Groups of examples to sides of wanted shares: no group is cut, and each class or range of labels is shared alike.

scikit-learn's StratifiedGroupKFold makes equal folds only, so a share of 15 % would be one fold of seven, and takes a
second a thousand groups. Here groups of several examples go, largest first, where their classes are missed most; single
examples then fill each class up to the share exactly.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from keras_med.errors import DataError

Integers = NDArray[np.int64]
_BINS = 10  # quantile bins of a regression label


@dataclass(frozen=True)
class Units:
    """What is divided: rows in groups that stay together, each with the number of its class or bin.

    names: what an error calls the classes; none for bins.
    known: how an error calls the groups.
    """

    groups: Integers
    strata: Integers
    names: tuple[str, ...] = ()
    known: str = "groups"

    def only(self, rows: NDArray[np.bool_]) -> "Units":
        """Return some of the rows."""
        groups = np.unique(self.groups[rows], return_inverse=True)[1]
        return Units(groups.astype(np.int64), self.strata[rows], self.names, self.known)


def groups_of(table: pd.DataFrame) -> Integers:
    """Number the groups of a table in the order of their first rows: what shares a patient or a twin, also by a chain.

    Where the patient is not known the study, then the series stands in for it.
    """
    rows = len(table)
    person = pd.Series(None, index=table.index, dtype=object)
    for column in ("patient", "study", "series"):
        if column in table:
            values = table[column].astype(object)
            known = person.isna() & values.notna() & (values != "")
            person = person.where(~known, column + " " + values.astype(str))
    twins = table["group"].astype(object).replace("", np.nan) if "group" in table else pd.Series(dtype=object)
    start, end, count = [], [], rows
    for link in (person, twins):
        codes, names = pd.factorize(link.to_numpy(dtype=object))
        start.append(np.flatnonzero(codes >= 0))
        end.append(codes[codes >= 0] + count)
        count += len(names)
    edges = (np.concatenate(start), np.concatenate(end))
    graph = coo_matrix((np.ones(len(edges[0]), np.int8), edges), shape=(count, count))
    component = connected_components(graph, directed=False)[1][:rows]
    return pd.factorize(component)[0].astype(np.int64)


def strata_of(labels: pd.Series, kind: str) -> tuple[Integers, tuple[str, ...]]:
    """Number the classes of the labels, or the quantile bins of a regression, and name the classes."""
    if kind == "regression":
        bins = max(1, min(_BINS, len(labels) // _BINS))
        ranks = labels.astype(float).rank(method="average")  # equal labels share a bin, in whatever order they stand
        return ((ranks - 0.5) * bins // len(labels)).to_numpy().astype(np.int64), ()
    codes, names = pd.factorize(labels.map(str), sort=True)
    return codes.astype(np.int64), tuple(names)


def divide(units: Units, shares: dict[str, float], seed: int) -> NDArray[np.object_]:
    """Give each row the name of its side.

    Every side gets at least one group, and one of each class where there are enough; a DataError says what is missing.

    Args:
        shares: of each side; together 1.
    """
    sides = list(shares)
    counts = _counts(units)
    if len(counts) < len(sides):
        raise DataError(
            f"{len(counts)} {units.known} are too few to divide into {len(sides)} sides ({', '.join(sides)}).",
            remedy="Use fewer folds or sides, or more data.",
        )
    wanted = np.outer(np.array(list(shares.values())), counts.sum(axis=0))
    rng = np.random.default_rng(seed)
    side = _place_groups(counts, wanted, rng)
    _place_singles(side, counts, wanted, rng)
    _fill_empty(side, counts.sum(axis=1), len(sides))
    if units.names:
        _cover_classes(side, counts, len(sides))
    return np.array(sides, dtype=object)[side[units.groups]]


def _counts(units: Units) -> Integers:
    """Count the rows of each group (rows) in each stratum (columns)."""
    shape = (int(units.groups.max()) + 1 if len(units.groups) else 0, int(units.strata.max(initial=0)) + 1)
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, (units.groups, units.strata), 1)
    return counts


def _place_groups(counts: Integers, wanted: NDArray[np.float64], rng: np.random.Generator) -> Integers:
    """Place the groups of several rows where they lower the squared distance to what is wanted most; -1: not placed.

    With w = 1 / rows of a stratum, so that a rare class weighs as much as a common one, the distance falls by
    sum(w * c * (2 * missing - c)) for a group of c rows; its last term is the same for every side.
    """
    sizes, totals = counts.sum(axis=1), counts.sum(axis=0)
    weights = 1 / np.maximum(totals, 1)
    missing = wanted.copy()
    side = np.full(len(counts), -1, np.int64)
    order = rng.permutation(len(counts))
    order = order[np.argsort(-sizes[order], kind="stable")]
    for group in order[sizes[order] > 1]:
        rows = counts[group]
        gain = missing @ (weights * rows) + missing.sum(axis=1) * (rows.sum() / totals.sum())
        best = np.flatnonzero(gain >= gain.max() - 1e-12)
        chosen = best[0] if len(best) == 1 else rng.choice(best)
        side[group] = chosen
        missing[chosen] -= rows
    return side


def _place_singles(side: Integers, counts: Integers, wanted: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Fill every stratum up with single rows, exactly but for rounding, which later strata make good."""
    free = side < 0
    strata = np.where(free, counts.argmax(axis=1), -1)
    carried = np.zeros(len(wanted))
    for stratum in range(counts.shape[1]):
        mine = rng.permutation(np.flatnonzero(strata == stratum))
        placed = np.bincount(side[side >= 0], weights=counts[side >= 0, stratum], minlength=len(wanted))
        room = np.maximum(wanted[:, stratum] - placed, 0)
        exact = room * (len(mine) / room.sum()) if room.sum() else np.zeros(len(wanted))
        each = np.floor(exact + 1e-9).astype(np.int64)
        rest = len(mine) - int(each.sum())
        ties = rng.permutation(len(wanted))
        urgent = ties[np.argsort(-(exact - each + carried)[ties], kind="stable")]
        each[urgent[:rest]] += 1
        carried += exact - each
        side[mine] = np.repeat(np.arange(len(wanted)), each)


def _fill_empty(side: Integers, sizes: Integers, sides: int) -> None:
    """Give a side without any group the smallest group of the side with the most."""
    for empty in range(sides):
        if not (side == empty).any():
            donor = np.bincount(side, minlength=sides).argmax()
            members = np.flatnonzero(side == donor)
            side[members[sizes[members].argmin()]] = empty


def _cover_classes(side: Integers, counts: Integers, sides: int) -> None:
    """Move the smallest groups that bring a class to a side without it, where its donor keeps one."""
    for stratum in np.argsort((counts > 0).sum(axis=0), kind="stable"):  # the rarest first
        holders = np.flatnonzero(counts[:, stratum] > 0)
        for lacking in range(sides):
            each = np.bincount(side[holders], minlength=sides)
            if each[lacking] or each.max(initial=0) < 2:
                continue
            members = holders[side[holders] == each.argmax()]
            members = members[~_needed(members, side, counts)]
            if len(members):
                side[members[counts[members].sum(axis=1).argmin()]] = lacking


def _needed(members: Integers, side: Integers, counts: Integers) -> NDArray[np.bool_]:
    """Tell which groups of one side are its only ones with some class."""
    there = (counts[side == side[members[0]]] > 0).sum(axis=0)
    return ((counts[members] > 0) & (there == 1)).any(axis=1)
