"""Hashes and thumbnails of a table to the pairs that show the same picture, and the groups they form.

A hash alone joins strangers, so a near twin takes two steps: the perceptual hash proposes pairs, and a pair counts
when the band-passed thumbnails, laid over each other as well as possible, correlate at `CORRELATION` or more.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from keras_med.data.hashes import THUMBNAIL, turned
from keras_med.data.neighbours import propose

CORRELATION = 0.95  # strangers within 12 bits reach 0.92 on head CT and 0.88 on chest X-rays; copies stay above 0.97
LARGEST_SHARE = 0.05  # a larger group is more likely a mistake of the method than one picture
SMALL_GROUP = 10  # in a small table, where 5 % is a picture or two, a group of this size is still believed
MOST_PATIENTS = 3

_COARSE = 16  # pixels along a side of the picture that a pair is first compared on
_COARSE_CORRELATION = 0.92
_SCALES = (0.94, 0.97, 1.0, 1.03, 1.06)
_MARGIN = 4  # thumbnail pixels by which the fine comparison may shift


@dataclass(frozen=True, kw_only=True)
class Twins:
    """What `find_twins` found.

    Attributes:
        pairs: first, second (positions in the table), kind ("identical", "mirrored" or "near"), turn (see
            `hashes.turned`; of near pairs), correlation. Near pairs of one patient are left out.
        group: for each row the position of the first row of its group, its own where it has no twin.
        refused: groups, as positions, that are too large or join too many patients to be believed.
    """

    pairs: pd.DataFrame
    group: NDArray[np.int64]
    refused: tuple[NDArray[np.int64], ...]


def find_twins(table: pd.DataFrame, thumbnails: np.ndarray | None) -> Twins:
    """Find pictures that are in the table more than once, whole or mirrored, re-encoded, resized or brightened.

    Args:
        table: columns pixel_hash, flip_hash, perceptual_hash, deviation and, if known, patient.
        thumbnails: one 64 x 64 picture a row, in the order of the table; without them near twins are not looked for.
    """
    alive = np.flatnonzero(~is_constant(table))
    same = _same_pixels(table, alive)
    near = _pairs_of([], [], [], [], [])
    if thumbnails is not None:
        first_of_each = alive[~table["flip_hash"].iloc[alive].duplicated().to_numpy()]
        near = _near(table, thumbnails, first_of_each)
    group, refused = _groups(table, same, near)
    return Twins(pairs=pd.concat([same, near], ignore_index=True), group=group, refused=refused)


def is_constant(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which images hold one grey value only; two of them are equal without being twins."""
    return table["deviation"].to_numpy(float) < 1e-3


def known_patients(table: pd.DataFrame) -> NDArray[np.int64]:
    """Number the patients; unknown ones are -1."""
    if "patient" not in table:
        return np.full(len(table), -1)
    return pd.factorize(table["patient"].astype(object).replace("", np.nan))[0].astype(np.int64)


def _same_pixels(table: pd.DataFrame, alive: NDArray[np.int64]) -> pd.DataFrame:
    """Pair each picture with the first that has the same pixels, flipped or not."""
    flip, pixel = table["flip_hash"].to_numpy(str)[alive], table["pixel_hash"].to_numpy(str)[alive]
    _, earliest, which = np.unique(flip, return_index=True, return_inverse=True)
    first = earliest[which]
    copies = np.flatnonzero(first != np.arange(len(alive)))
    kind = np.where(pixel[copies] == pixel[first[copies]], "identical", "mirrored")
    nothing = np.zeros(len(copies), int)
    return _pairs_of(alive[first[copies]], alive[copies], kind, nothing, nothing + 1.0)


def _near(table: pd.DataFrame, thumbnails: np.ndarray, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Find the confirmed pairs among `rows`, those of one patient aside."""
    codes = np.array([int(code, 16) for code in table["perceptual_hash"].iloc[rows]], np.uint64)
    patients = known_patients(table)[rows]
    coarse = _coarse(thumbnails, rows)
    confirmed: list[tuple[int, int, int, float]] = []
    for proposals in propose(codes):
        first, second, _ = proposals.T
        strangers = (patients[first] != patients[second]) | (patients[first] < 0)
        for one, other, turn in _coarsely_alike(thumbnails, rows, coarse, proposals[strangers]):
            correlation = aligned_correlation(thumbnails[rows[one]], turned(thumbnails[rows[other]], turn))
            if correlation >= CORRELATION:
                confirmed.append((int(rows[one]), int(rows[other]), turn, correlation))
    best = pd.DataFrame(confirmed, columns=["first", "second", "turn", "correlation"])
    best = (
        best.sort_values("correlation", ascending=False)
        .drop_duplicates(["first", "second"])
        .sort_values(["first", "second"], ignore_index=True)
    )
    return _pairs_of(best["first"], best["second"], ["near"] * len(best), best["turn"], best["correlation"])


def aligned_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the best correlation of two band-passed thumbnails over scales of 6 % and shifts of 4 pixels."""
    template = _band(first, 1, 4)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    if template.std() < 1e-6:
        return 0.0
    pictures = (_band(_scaled(second, scale), 1, 4) for scale in _SCALES)
    return max(float(cv2.matchTemplate(picture, template, cv2.TM_CCOEFF_NORMED).max()) for picture in pictures)


def _coarsely_alike(
    thumbnails: np.ndarray, rows: NDArray[np.int64], coarse: NDArray[np.float32], proposals: NDArray[np.int32]
) -> list[tuple[int, int, int]]:
    """Keep the proposals whose 16 x 16 pictures correlate: cheap, and 9 of 10 strangers go (1 of 100 copies)."""
    if not len(proposals):
        return []
    proposals = proposals[np.lexsort((proposals[:, 2], proposals[:, 0]))]
    changes = np.flatnonzero(np.diff(proposals[:, 0], prepend=-1))
    kept: list[tuple[int, int, int]] = []
    for part in np.split(proposals, changes[1:]):
        bank = _bank(thumbnails[rows[part[0, 0]]])
        for turn in np.unique(part[:, 2]):
            others = part[part[:, 2] == turn, 1]
            back = turn if turn < 4 else 4 + (turn & 1) * 2 + (turn >> 1 & 1)
            templates = turned(bank, int(back)).reshape(_COARSE * _COARSE, -1)
            alike = others[(coarse[others] @ templates).max(axis=1) >= _COARSE_CORRELATION]
            kept += [(int(part[0, 0]), int(other), int(turn)) for other in alike]
    return kept


def _coarse(thumbnails: np.ndarray, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the normalised, band-passed 16 x 16 picture of each row, flat."""
    made = np.empty((len(rows), _COARSE * _COARSE), np.float32)
    for place, row in enumerate(rows):
        made[place] = _cells([_band(thumbnails[row], 1.5, 4)], (0,)).reshape(-1)
    return made


def _bank(thumbnail: np.ndarray) -> NDArray[np.float32]:
    """Return, as (16, 16, pictures), the coarse pictures of one thumbnail in every scale and small shift."""
    picture = _band(thumbnail, 1.5, 4)
    return np.moveaxis(_cells([_scaled(picture, scale) for scale in _SCALES], (-2, 0, 2)), 0, -1)


def _cells(pictures: list[NDArray[np.float32]], shifts: tuple[int, ...]) -> NDArray[np.float32]:
    """Average pictures, shifted by at most two pixels, over cells and bring them to mean 0 and length 1."""
    size = THUMBNAIL // _COARSE
    padded = [cv2.copyMakeBorder(picture, 2, 2, 2, 2, cv2.BORDER_CONSTANT) for picture in pictures]
    boxes = [cv2.blur(picture, (size, size)) for picture in padded]
    cells = [
        box[size + d :: size, size + a :: size][:_COARSE, :_COARSE] for box in boxes for d in shifts for a in shifts
    ]
    flat = np.stack(cells).reshape(len(cells), -1)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.sqrt(np.einsum("pc,pc->p", flat, flat)), 1e-9)[:, None]
    return flat.reshape(-1, _COARSE, _COARSE)


def _band(thumbnail: np.ndarray, fine: float, broad: float) -> NDArray[np.float32]:
    picture = np.asarray(thumbnail, np.float32)
    return cv2.GaussianBlur(picture, (0, 0), fine) - cv2.GaussianBlur(picture, (0, 0), broad)


def _scaled(picture: np.ndarray, scale: float) -> NDArray[np.float32]:
    middle = (THUMBNAIL - 1) / 2
    move = cv2.getRotationMatrix2D((middle, middle), 0, scale)
    size = (THUMBNAIL, THUMBNAIL)
    return cv2.warpAffine(np.asarray(picture, np.float32), move, size, borderMode=cv2.BORDER_REPLICATE)


def _groups(
    table: pd.DataFrame, same: pd.DataFrame, near: pd.DataFrame
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int64], ...]]:
    """Join the pairs to groups; in a group that cannot be believed only equal pixels stay together, if those can."""
    patients = known_patients(table)
    group = _components(len(table), pd.concat([same, near], ignore_index=True))
    refused = _unbelievable(group, patients)
    doubtful = np.isin(group, [members[0] for members in refused])
    by_pixels = _components(len(table), same)
    group[doubtful] = by_pixels[doubtful]
    for members in _unbelievable(group, patients):
        group[members] = members
    return group, refused


def _components(rows: int, pairs: pd.DataFrame) -> NDArray[np.int64]:
    """Return for each row the smallest row it is connected to."""
    first, second = pairs["first"].to_numpy(int), pairs["second"].to_numpy(int)
    _, labels = connected_components(coo_matrix((np.ones(len(pairs)), (first, second)), (rows, rows)), directed=False)
    _, smallest = np.unique(labels, return_index=True)
    return smallest[labels]


def _unbelievable(group: NDArray[np.int64], patients: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    most = max(SMALL_GROUP, LARGEST_SHARE * len(group))
    values, counts = np.unique(group, return_counts=True)
    large = [np.flatnonzero(group == value) for value in values[counts > MOST_PATIENTS]]
    return tuple(
        members for members in large
        if len(members) > most or len({patient for patient in patients[members] if patient >= 0}) > MOST_PATIENTS
    )  # fmt: skip


def _pairs_of(first: object, second: object, kind: object, turn: object, correlation: object) -> pd.DataFrame:
    columns = {"first": first, "second": second, "kind": kind, "turn": turn, "correlation": correlation}
    made = pd.DataFrame({name: pd.Series(value, dtype=object) for name, value in columns.items()})
    return made.astype({"first": int, "second": int, "kind": str, "turn": int, "correlation": float})
