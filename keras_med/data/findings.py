"""What an audit says: one finding, and how its rows are counted and told."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

LISTED = 20

Severity = Literal["red", "amber", "info"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that the data show.

    Attributes:
        name: what it is called in audit.json.
        severity: red (results would mislead), amber (read results with this in mind), info.
        sentence: what was found and how many, for a reader who does not program.
        count: of what the sentence counts first.
        rows: ids it is about, at most 20.
        remedy: what to do or to type; empty where there is nothing to do.
        blocks: whether the run stops until the user has changed the data or accepted this by name.
    """

    name: str
    severity: Severity
    sentence: str
    count: int
    rows: tuple[str, ...] = ()
    remedy: str = ""
    blocks: bool = False


def listed(ids: Iterable[object]) -> tuple[str, ...]:
    """Return the first ids, as many as a finding lists."""
    return tuple(str(each) for _, each in zip(range(LISTED), ids, strict=False))


def several(count: int, noun: str, plural: str = "") -> str:
    """Write a count with its noun."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
