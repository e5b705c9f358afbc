"""The word for a search: which settings are tried, with which values, and how the best is found."""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from keras_med.errors import RecipeError
from keras_med.recipe.checking import word
from keras_med.recipe.kinds import Count, Share, Within


@word
class Float:
    """Any number between two.

    log: draw its logarithm evenly, as learning rates need it
    """

    low: float = field(kw_only=False)
    high: float = field(kw_only=False)
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self)


@word
class Int:
    """Any whole number between two, both included.

    log: draw its logarithm evenly
    """

    low: int = field(kw_only=False)
    high: int = field(kw_only=False)
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self)


@word
class Round:
    """One round of a staged search.

    epochs: of each fit
    keep: how many trials go on to the next round
    examples: most training examples of each fit; none takes those of the recipe
    continues: go on with what the trial has learned in the round before, up to `epochs`; else begin anew
    """

    epochs: Count
    keep: Count = 1
    examples: Count | None = None
    continues: bool = False


@word
class Search:
    """Which settings are tried before the run trains with the best of them.

    Dotted names of settings stand in `over`, each with a list of values, a Float or an Int. `rounds` belongs to
    by="staged". `oracle` is a function that takes KerasTuner's HyperParameters, its Objective and a seed, and returns a
    KerasTuner Oracle of one's own, which is then asked instead.

    by: every combination, random ones, KerasTuner's Bayesian or Hyperband search, or rounds that keep the best
    trials: most trials; a grid or a Hyperband that would need more is refused
    folds: folds inside the training part for each trial; 1 is one validation part for all of them
    repeats: fits of each trial and fold, from other initial weights
    metrics: what is compared, the first deciding; none takes AUROC, or the mean absolute error of a number
    sensitivity: metrics that need a threshold are compared where a trial reaches this; none takes p = 0.5
    together: trials that by="bayesian" begins before it is told how they did
    """

    over: Mapping[str, Any]
    by: Literal["grid", "random", "bayesian", "hyperband", "staged"] = "grid"
    trials: Annotated[int, Within(1, 999)] = 30
    folds: Annotated[int, Within(1, 100)] = 1
    repeats: Annotated[int, Within(1, 100)] = 1
    metrics: tuple[str, ...] = ()
    sensitivity: Share | None = 0.95
    together: Count = 4
    rounds: tuple[Round, ...] = ()
    oracle: Callable[..., Any] | None = None


def _check_range(word: Float | Int) -> None:
    if not all(isinstance(one, int | float) for one in (word.low, word.high)):
        raise RecipeError(f"{type(word).__name__}({word.low!r}, {word.high!r}): expected two numbers.")
    if not word.low < word.high:
        raise RecipeError(f"{type(word).__name__}({word.low}, {word.high}): the first must be below the second.")
    if word.log and word.low <= 0:
        raise RecipeError(f"{type(word).__name__}({word.low}, {word.high}, log=True) needs numbers above 0.")
