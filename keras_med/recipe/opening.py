"""A command line and its recipe to an opened run: a new folder, or one that is resumed with what it was begun with."""

import argparse
import shlex
import shutil
from dataclasses import dataclass, fields, replace
from itertools import takewhile, zip_longest
from pathlib import Path
from typing import Any

from keras_med import runfolder
from keras_med.errors import RecipeError
from keras_med.jobs.dask import check_address
from keras_med.recipe.consistency import check_settings
from keras_med.recipe.loading import LoadedRecipe, check_reference, load_recipe
from keras_med.recipe.searching import check_search
from keras_med.recipe.settings import assigned, changed, check_assignments, settings_of, values_of, with_values
from keras_med.recipe.words import Binary, Classes, KFold, Recipe, Regression
from keras_med.runfolder import RunFolder


@dataclass(frozen=True)
class Options:
    """What a command line asks for beside the recipe's settings.

    reference: FILE.py or FILE.py:name.
    fits_at_once: None for one, or one a core where all rest on kept features.
    resume: None for a new run, "" for the newest, else a run's name or folder.
    """

    reference: str
    assignments: tuple[str, ...] = ()
    data: Path | None = None
    weights: Path | None = None
    out: Path = Path("runs")
    cache: Path | None = None
    devices: str = "auto"
    fits_at_once: int | None = None
    on: str | None = None
    resume: str | None = None
    smoke: bool = False
    deterministic: bool = False
    no_test: bool = False

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> "Options":
        """Take the options that a command has parsed."""
        given = vars(arguments)
        named = {field.name: given[field.name] for field in fields(cls) if field.name in given}
        return cls(**{**named, "reference": given["recipe"], "assignments": tuple(given["assignments"])})


@dataclass(frozen=True)
class Opened:
    """A run that can begin or go on.

    settings: what settings.json holds, as far as it is known before the data are found.
    """

    run: RunFolder
    recipe: Recipe
    title: str
    settings: dict[str, Any]

    @property
    def resume_command(self) -> str:
        """What to type to continue."""
        reference, out = self.settings["recipe"]["reference"], str(self.run.path.parent.parent)
        words = ["python", "-m", "keras_med.run", reference, "--resume", self.run.path.name]
        return shlex.join([*words, *([] if out == "runs" else ["--out", out])])


def read_recipe(options: Options) -> LoadedRecipe:
    """Load the recipe with the command line's settings; what is wrong in any recipe is refused before it is run."""
    check_reference(options.reference)
    check_assignments(list(options.assignments))
    if options.on is not None:
        check_address(options.on)
    loaded = load_recipe(options.reference)
    recipe = assigned(loaded.recipe, list(options.assignments))
    check_settings(recipe)
    check_search(recipe)
    return replace(loaded, recipe=_smoked(recipe) if options.smoke else recipe)


def open_run(options: Options, loaded: LoadedRecipe, command: str) -> Opened:
    """Make a run folder with a copy of the recipe, or find the one to resume; a changed recipe is refused."""
    if options.resume is not None:
        return _resumed(options, loaded)
    run = runfolder.new_run(options.out, loaded.title)
    shutil.copyfile(loaded.path, run.recipe)
    settings = {
        "recipe": {
            "file": loaded.path.name,
            "name": loaded.name,
            "title": loaded.title,
            "reference": options.reference,
            "docstring": loaded.docstring,
        },
        "command": command,
        "settings": values_of(loaded.recipe),
        "target": _target(loaded.recipe),
        "seed": loaded.recipe.seed,
        "smoke": options.smoke,
        "no_test": options.no_test,
        "options": {
            "data": options.data and options.data.absolute(),
            "weights": options.weights and options.weights.absolute(),
            "cache": options.cache and options.cache.absolute(),
            "devices": options.devices,
            "deterministic": options.deterministic,
            "fits_at_once": options.fits_at_once,
            "on": options.on,
        },
    }
    runfolder.write_json(run.settings, settings)
    return Opened(run, loaded.recipe, loaded.title, runfolder.read_json(run.settings))


def _resumed(options: Options, loaded: LoadedRecipe) -> Opened:
    run = runfolder.find_run(options.out, loaded.title, options.resume or None)
    settings = runfolder.read_json(run.settings)
    if run.recipe.read_bytes() != loaded.path.read_bytes():
        remedy = f"Start a new run, or put {run.recipe} back in its place."
        other = first_difference(run.recipe.read_text(encoding="utf-8"), loaded.path.read_text(encoding="utf-8"))
        what = f"{loaded.path.name} has changed since the run began{other}."
        raise RecipeError(what, where=str(run.path), remedy=remedy)
    begun = load_recipe(f"{run.recipe}:{loaded.name}", called=loaded.path.name)
    recipe = with_values(begun.recipe, settings["settings"])
    if options.assignments:
        _refuse_other_settings(recipe, loaded.recipe)
    return Opened(run, recipe, loaded.title, settings)


def first_difference(before: str, now: str) -> str:
    """Say in which line two texts first differ, and how: of a long line what stands around the difference."""
    lines = zip_longest(before.splitlines(), now.splitlines(), fillvalue="")
    for number, (one, two) in enumerate(lines, 1):
        if one != two:
            at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False)))
            old, new = (line[max(0, at - 30) : at + 30].strip() for line in (one, two))
            return f": line {number} was {old or 'empty'}, now it is {new or 'empty'}"
    return ""


def _refuse_other_settings(begun: Recipe, asked: Recipe) -> None:
    before, now = settings_of(begun), settings_of(asked)
    other = [f"{name} was {before[name].value!r}" for name in before if before[name].value != now[name].value]
    if other:
        remedy = "Leave --set out to continue with them, or --resume to start a new run."
        raise RecipeError(f"The run began with other settings: {', '.join(other)}.", remedy=remedy)


def _smoked(recipe: Recipe) -> Recipe:
    """Return the recipe with one short epoch, small batches, two folds and two trials."""
    recipe = changed(changed(recipe, "train.epochs", 1), "train.warmup", 0)
    recipe = changed(recipe, "train.repeats", min(2, recipe.train.repeats))
    recipe = changed(recipe, "train.fine_tune_epochs", 1)
    recipe = changed(recipe, "train.batch_size", min(8, recipe.train.batch_size))
    if (search := recipe.search) is not None:
        recipe = changed(changed(recipe, "search.trials", 2), "search.repeats", 1)
        recipe = changed(recipe, "search.folds", min(2, search.folds))
    return changed(recipe, "split.folds", 2) if isinstance(recipe.split, KFold) else recipe


def _target(recipe: Recipe) -> dict[str, Any]:
    """Return the target as the report and the export read it."""
    target = recipe.target
    unit = target.unit if isinstance(target, Regression) else ""
    positive = target.positive if isinstance(target, Binary) else None
    names = list(target.names) if isinstance(target, Classes) else []
    return {"kind": target.kind, "unit": unit, "classes": names, "positive": positive}
