"""The audit's findings, the run's own checks and what the report notices itself, worst first."""

from dataclasses import dataclass

from keras_med.report.contents import Contents
from keras_med.report.scored import Scored, disagreement
from keras_med.report.wording import count, finite

SEVERITIES = ("red", "amber", "info")
WORDS = {"red": "Red", "amber": "Amber", "info": "Note"}
SHOWN = 5
VERDICTS = {
    "FAILED TO LEARN": (
        "red",
        "The network failed to learn: no figure below is worth more than a constant's.",
        "Look at the learning curves, the labels and the pictures as the network sees them.",
    ),
    "DID NOT GENERALISE": (
        "red",
        "The network did not generalise: what it reached in validation does not hold on the test.",
        "Look whether both parts are alike; train less long, augment, or give it more patients.",
    ),
    "TOO FEW CASES TO SAY": (
        "amber",
        "The test has too few cases for a verdict.",
        "Set more patients aside for the test, or judge by folds.",
    ),
}


@dataclass(frozen=True)
class Check:
    """One thing to know before the numbers are believed.

    Attributes:
        severity: red (the numbers mislead), amber (read them with this in mind), info.
        remedy: what to do about it.
        rows: the first ids it is about.
        more: how many further ids there are.
    """

    severity: str
    sentence: str
    remedy: str = ""
    rows: tuple[str, ...] = ()
    more: int = 0

    @property
    def word(self) -> str:
        return WORDS[self.severity]


def checks(contents: Contents, found: Scored) -> list[Check]:
    """Collect every check, red first; equal sentences once."""
    said = [_check(row) for row in contents.metrics.get("checks") or []]
    audit = [_check(row) for row in contents.audit.get("findings") or []]
    unique = {check.sentence: check for check in reversed([*_own(contents, found), *said, *audit])}
    ordered = reversed(list(unique.values()))
    return sorted(ordered, key=lambda check: SEVERITIES.index(check.severity))


def _check(row: dict[str, object]) -> Check:
    severity = str(row.get("severity"))
    rows = row.get("rows")
    ids = [str(each) for each in rows] if isinstance(rows, list) else []
    total = row.get("count")
    number = max(int(total), len(ids)) if finite(total) else len(ids)
    return Check(
        severity=severity if severity in SEVERITIES else "amber",
        sentence=str(row.get("sentence") or row.get("name") or "A check without a sentence."),
        remedy=str(row.get("remedy") or ""),
        rows=tuple(ids[:SHOWN]),
        more=number - len(ids[:SHOWN]) if ids else 0,
    )


def _own(contents: Contents, found: Scored) -> list[Check]:
    metrics, made = contents.metrics, _of_verdict(contents)
    if contents.smoke:
        made.append(
            Check(
                "red",
                "This was a smoke run: a few examples, a step or two. Its numbers mean nothing.",
                "Run without --smoke.",
            )
        )
    mismatch = disagreement(contents, found)
    if mismatch:
        made.append(Check("red", f"The files are not of one run. {mismatch}", "Run again, or restore the run folder."))
    if contents.demo:
        made.append(
            Check(
                "amber",
                "Demo data: generated images, not patients. The numbers show that the program runs.",
                "Name your data with --data DIR.",
            )
        )
    random = [str(used.get("backbone")) for used in contents.weights if not used.get("file")]
    if random:
        what = f"No ImageNet weights were found: {', '.join(random)} kept random weights."
        made.append(Check("amber", what, "Name their folder with --weights DIR."))
    audited = {row.get("name") for row in contents.audit.get("findings") or []}
    if metrics.get("patients_known") is False and "patients_unknown" not in audited:
        made.append(
            Check(
                "amber",
                "Patients are not known: images of one patient may lie on both sides of a split, and intervals treat "
                "each image as its own patient.",
                "Add a patient column to the index.",
            )
        )
    uses = test_uses(contents)
    if uses and uses > 1:
        made.append(
            Check(
                "amber",
                f"This test split has been scored {count(uses)} times; a figure chosen among several flatters.",
                "Report the first.",
            )
        )
    made += [Check("info", sentence) for sentence in contents.absent]
    if found.why:
        made.append(Check("amber", found.why))
    return made


def _of_verdict(contents: Contents) -> list[Check]:
    """Repeat among the checks what the verdict warns of."""
    severity, sentence, remedy = VERDICTS.get(str((contents.metrics.get("verdict") or {}).get("name")), ("", "", ""))
    return [Check(severity, sentence, remedy)] if severity else []


def test_uses(contents: Contents) -> int | None:
    """Return how often the test split was scored; None where nobody counted."""
    said = contents.metrics.get("test_uses")
    if finite(said):
        return int(said)
    uses = contents.test_uses
    if not {"run", "test"} <= set(uses.columns):
        return None
    mine = uses.loc[uses["run"] == contents.run.path.name, "test"]
    return int(uses["test"].isin(mine).sum()) or None
