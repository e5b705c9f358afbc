"""A table to one that also holds each picture's mirrored copy: rows with ids of their own that are mirrored on read."""

from collections.abc import Collection

import pandas as pd

MARK = "~mirror"


def with_mirrored(table: pd.DataFrame, of: Collection[str] | None = None) -> pd.DataFrame:
    """Add a row for the mirrored copy of each picture: same file, label, patient and group; id "<id>~mirror".

    The column `mirrored` tells copies from pictures. Nothing is stored twice: a copy is mirrored when it is read.

    Args:
        of: the ids that get a copy; none for all.
    """
    pictures = table.assign(mirrored=False)
    chosen = pictures if of is None else pictures[pictures["id"].isin(set(of))]
    copies = chosen.assign(id=chosen["id"] + MARK, mirrored=True)
    if "pixel_hash" in copies:
        copies["pixel_hash"] = copies["pixel_hash"].astype(str) + MARK
    return pd.concat([pictures, copies], ignore_index=True)


def original(ids: pd.Series) -> pd.Series:
    """Return the id of the picture that each row is, or is the mirrored copy of."""
    return ids.str.removesuffix(MARK)
