"""A recipe's search to its candidates, each a complete recipe that is checked as if its file had said so."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from keras_med.errors import RecipeError
from keras_med.recipe.consistency import check_settings
from keras_med.recipe.search import Float, Int, Search
from keras_med.recipe.settings import changed
from keras_med.recipe.words import KFold, Recipe

SEARCHED = ("train.", "model.", "augment.")
_FIXED = (
    "train.threads",
    "train.engine",
    "train.engine_precision",
    "train.precision",
)  # of the processes, which all trials share
METRICS = {
    "regression": ("mae", "rmse", "r2"),
    "binary": (
        "sensitivity", "specificity", "precision", "npv", "accuracy", "balanced_accuracy", "f1",
        "auroc", "average_precision", "brier", "log_loss",
    ),
    "classes": ("accuracy", "macro_recall", "macro_precision", "macro_f1", "macro_auroc", "log_loss"),
}  # fmt: skip


def candidate(recipe: Recipe, changes: Mapping[str, object]) -> Recipe:
    """Return the recipe with some settings changed; a RecipeError says what does not fit or contradicts."""
    for name, value in changes.items():
        recipe = changed(recipe, name, value)
    check_settings(recipe)
    return recipe


def combinations(search: Search) -> Iterator[dict[str, object]]:
    """Return every combination of listed values, the last setting changing fastest."""
    return (dict(zip(search.over, values, strict=True)) for values in itertools.product(*search.over.values()))


def check_search(recipe: Recipe) -> None:
    """Refuse a search that cannot be done, before anything is read."""
    search = recipe.search
    if search is None:
        return
    if not search.over:
        raise RecipeError("Search(over={}) has nothing to try.", remedy='over={"train.learning_rate": [1e-3, 1e-4]}')
    if isinstance(recipe.split, KFold) and not recipe.split.test:
        what = "Search and folds share their examples; without a test part nothing is left that chose nothing."
        raise RecipeError(what, remedy="--set split.test=0.15")
    _check_way(search)
    _check_rounds(recipe, search)
    _check_metrics(search, recipe.target.kind)
    for name, values in search.over.items():
        _check_values(recipe, search, name, values)
    if search.oracle is None and search.by in ("grid", "staged"):
        _check_combinations(recipe, search)
    elif search.oracle is None and search.by == "hyperband":
        _check_brackets(recipe, search)


def _check_way(search: Search) -> None:
    if bool(search.rounds) != (search.by == "staged"):
        what = "by='staged' needs rounds=" if search.by == "staged" else f"rounds= do not go with by={search.by!r}"
        raise RecipeError(f"Search: {what}.", remedy="rounds=(Round(epochs=10, keep=3), Round(epochs=30))")
    if search.by in ("staged", "hyperband") and "train.epochs" in search.over:
        raise RecipeError(f"by={search.by!r} sets the epochs itself.", remedy="Leave train.epochs out of over=.")
    if any(one.examples for one in search.rounds) and "train.examples" in search.over:
        raise RecipeError("The rounds set the examples themselves.", remedy="Leave train.examples out of over=.")


def _check_rounds(recipe: Recipe, search: Search) -> None:
    """Refuse a round that cannot go on with the one before."""
    for before, now in itertools.pairwise([None, *search.rounds]):
        if now is None or not now.continues:
            continue
        if before is None:
            raise RecipeError("The first round has none to continue.", remedy="Round(..., continues=False)")
        if now.epochs <= before.epochs:
            what = f"A round that continues one of {before.epochs} epochs needs more; this one has {now.epochs}."
            raise RecipeError(what, remedy="epochs counts those of the round before too.")
        if recipe.train.fine_tune_from is not None:
            raise RecipeError("Rounds of two stages cannot continue each other.", remedy="train.fine_tune_from=None")


def _check_metrics(search: Search, kind: str) -> None:
    for name in search.metrics:
        if name not in METRICS[kind]:
            raise RecipeError(f"A search cannot compare {name!r} here.", remedy=f"One of {', '.join(METRICS[kind])}.")


def _check_values(recipe: Recipe, search: Search, name: str, values: object) -> None:
    where = f"Search(over={{{name!r}: ...}})"
    if isinstance(values, (Float, Int)):
        if search.by in ("grid", "staged") and search.oracle is None:
            raise RecipeError(f"by={search.by!r} needs a list of values.", where=where, remedy='Or by="random".')
        tried: list[Any] = [values.low, values.high]
    elif isinstance(values, (list, tuple)) and values:
        tried = list(values)
    else:
        raise RecipeError(f"{values!r} is no list of values, Float or Int.", where=where, remedy="[1e-3, 1e-4]")
    try:
        for value in tried:
            changed(recipe, name, value)
    except RecipeError as error:
        error.where = where
        raise
    if not name.startswith(SEARCHED) or name in _FIXED:
        remedy = "A search tries settings of train, model and augment; data and pixels are the same for all trials."
        raise RecipeError(f"{name} cannot be searched.", where=where, remedy=remedy)
    if len({repr(value) for value in tried}) < len(tried):
        raise RecipeError(f"A value stands twice in {values!r}.", where=where)


def _check_combinations(recipe: Recipe, search: Search) -> None:
    count = 1
    for values in search.over.values():
        count *= len(values)
    if count > search.trials:
        what = f"The search has {count} combinations; search.trials allows {search.trials}."
        raise RecipeError(what, remedy=f'--set search.trials={count}, or by="random" to try {search.trials} of them.')
    for changes in combinations(search):
        candidate(recipe, changes)


def _check_brackets(recipe: Recipe, search: Search) -> None:
    if (count := hyperband_trials(recipe.train.epochs)) > search.trials:
        what = (
            f"Hyperband begins {count} trials for {recipe.train.epochs} epochs; search.trials allows {search.trials}."
        )
        raise RecipeError(what, remedy=f"--set search.trials={count}, or fewer train.epochs.")


def hyperband_trials(epochs: int, factor: int = 3) -> int:
    """Return how many trials KerasTuner's Hyperband begins, its brackets together."""
    brackets = 1 + next(number for number in itertools.count() if epochs < factor ** (number + 1))
    last = math.ceil(1 + math.log(epochs, factor))  # trials that the first bracket, which drops none, trains
    return sum(math.ceil(last / (number + 1) * factor**number) for number in range(brackets))
