"""Plans of fits to what is ahead: their steps, and the time that they take with some workers."""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from keras_med.recipe.words import Recipe
from keras_med.training import folds
from keras_med.training.folds import FitPlan

START = 2.0  # seconds of a fit before its first step and after its last
Counts = Mapping[str, Mapping[str, int]]  # rows of each place of each fold


@dataclass(frozen=True)
class Fit:
    """A fit that trains all its epochs.

    stage: 0, or 1 where it goes on with one of stage 0.
    steps: of all epochs.
    passes: batches that are only predicted: the watched ones of each epoch, and at the end all that it predicts.
    """

    stage: int
    batch_size: int
    steps: int
    passes: int


@dataclass(frozen=True)
class Phase:
    """Fits that are trained side by side; the next phase waits for the last of them."""

    name: str
    fits: tuple[Fit, ...]


@dataclass(frozen=True)
class Cost:
    """Measured seconds of a step and of a pass.

    sizes: of the batches that were measured, the recipe's last.
    steps: seconds of a step with each.
    forward: seconds of the recipe's batch without training.
    """

    sizes: tuple[int, ...]
    steps: tuple[float, ...]
    forward: float

    def step(self, size: int) -> float:
        """Return the seconds of a step with another batch, on the line through those that were measured."""
        small, large, slow = self.sizes[0], self.sizes[-1], self.steps[-1]
        each = max(0.0, slow - self.steps[0]) / (large - small) if large > small else 0.0
        return max(slow + each * (size - large), min(self.steps))

    def seconds(self, fit: Fit) -> float:
        """Return the seconds of a whole fit."""
        of_pass = self.forward * fit.batch_size / self.sizes[-1]
        return START + fit.steps * self.step(fit.batch_size) + fit.passes * of_pass


def phases(
    recipe: Recipe, splits: pd.DataFrame, batches: Iterable[Mapping[str, Any]], *, with_test: bool
) -> list[Phase]:
    """Return everything that a run trains, in its order.

    Args:
        batches: of a search, as the forecast job found them.
    """
    counts, twice = counted(splits), copies(recipe)
    found = [
        Phase("search", tuple(_searched(fit, counts, twice, number) for fit in stage))
        for batch in batches
        for number, stage in enumerate(batch["stages"])
    ]
    plans = folds.fold_plans(recipe, splits, with_test=with_test)
    found += _stages("folds" if len(plans) > 1 else "fit", plans, recipe, counts, twice)
    if recipe.final is not None and not recipe.final.ensemble:
        found += _stages("final", _finals(plans, recipe, with_test=with_test), recipe, counts, twice)
    return found


def counted(splits: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count the rows of each place of each fold, in the table's order."""
    return {
        str(fold): {str(place): int(count) for place, count in rows["split"].value_counts().items()}
        for fold, rows in splits.groupby("fold", sort=False)
    }


def seconds_with(phases: Sequence[Phase], costs: Sequence[Cost], workers: int) -> float:
    """Return the time of all phases when so many workers take a fit each, the longest first."""
    total = 0.0
    for phase in phases:
        busy = [0.0] * workers
        for seconds in sorted((costs[fit.stage].seconds(fit) for fit in phase.fits), reverse=True):
            heapq.heapreplace(busy, busy[0] + seconds)
        total += max(busy)
    return total


def copies(recipe: Recipe) -> int:
    """Return how often a training picture is there: mirrored copies come with the pictures that are drawn."""
    return 2 if recipe.data.mirror == "training" else 1


def steps_of_epoch(count: int, examples: int | None, batch_size: int, copies: int = 1) -> int:
    """Return the steps of an epoch.

    Args:
        count: training rows, mirrored copies among them.
        examples: most pictures that are drawn; their copies come with them.
    """
    return min(count, copies * examples if examples else count) // batch_size


def _stages(name: str, plans: Mapping[str, FitPlan], recipe: Recipe, counts: Counts, copies: int) -> list[Phase]:
    batch = recipe.train.batch_size
    return [
        Phase(name, tuple(_fit(plan, counts, batch, copies, number) for plan in stage.values()))
        for number, stage in enumerate(folds.stages(plans, recipe))
    ]


def _finals(plans: Mapping[str, FitPlan], recipe: Recipe, *, with_test: bool) -> dict[str, FitPlan]:
    """Plan the final networks as if the folds were best in their last epoch."""
    first = next(iter(plans.values()))
    aside = ("calibration",) if recipe.final is not None and recipe.final.calibration else ()
    predict = ("validation", *aside, "unlabelled", *(("test",) if with_test else ()))
    made = replace(first, fold=folds.FINAL, validation="validation", predict=predict)
    return {f"{folds.fit_name(folds.FINAL)}{number}": made for number in range(recipe.train.repeats)}


def _searched(given: Mapping[str, Any], counts: Counts, copies: int, stage: int) -> Fit:
    plan = FitPlan(**{name: value for name, value in given.items() if name != "batch_size"})
    return _fit(plan, counts, int(given["batch_size"]), copies, stage)


def _fit(plan: FitPlan, counts: Counts, batch_size: int, copies: int, stage: int) -> Fit:
    rows = counts.get(plan.fold, {})
    steps = steps_of_epoch(rows.get("train", 0), plan.examples, batch_size, copies)
    watched = -(-rows.get(plan.validation, 0) // batch_size)
    predicted = sum(-(-rows.get(place, 0) // batch_size) for place in plan.predict)
    return Fit(stage, batch_size, plan.epochs * steps, plan.epochs * watched + predicted)
