"""What a user can cause, each with a remedy and the exit code that a command ends with."""


class UserError(Exception):
    """A fault that the user can mend, told in one to four lines and without a traceback.

    Args:
        what: what came and what was expected.
        where: the file, row or setting it came from, if there is one.
        remedy: what to do or to type.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    @property
    def sentence(self) -> str:
        """What came and what to do, in one line and without the place: the reason that a table has for a row."""
        what = self.what if self.what.endswith((".", "?")) else f"{self.what}."
        return " ".join(f"{what} {self.remedy}".split())

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.where, self.remedy) if line)

    def __reduce__(self) -> tuple[object, ...]:  # keyword-only arguments do not survive the default pickling
        return _rebuild, (type(self), self.what, self.where, self.remedy)


class RunFailed(UserError):
    """The run itself failed: a fit that diverged, a verification that did not match."""

    exit_code = 1


class RecipeError(UserError):
    """The recipe or the command line is wrong."""

    exit_code = 2


class DataError(UserError):
    """The data are missing, unreadable or contradict the recipe."""

    exit_code = 3


class EnvironmentProblem(UserError):
    """This machine lacks something: a device, weights, a package, disk space, a port."""

    exit_code = 4


def _rebuild(kind: type[UserError], what: str, where: str, remedy: str) -> UserError:
    return kind(what, where=where, remedy=remedy)


def five_of(rows: list[str]) -> str:
    """Join the first five rows and count the rest."""
    rest = len(rows) - 5
    return ", ".join(rows[:5]) + (f" and {rest} more" if rest > 0 else "")
