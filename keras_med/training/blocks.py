"""Where frozen features lie: a folder of blocks, each with the features of so many rows."""

from pathlib import Path

ROWS = 1024  # of a block


def name(number: int) -> str:
    """Return the name of a block's file."""
    return f"block-{number:05d}.npy"


def count(rows: int) -> int:
    """Return how many blocks so many rows have."""
    return -(-rows // ROWS)


def missing(folder: Path, rows: int) -> list[int]:
    """Return the numbers of the blocks that do not stand yet."""
    return [number for number in range(count(rows)) if not (folder / name(number)).is_file()]
