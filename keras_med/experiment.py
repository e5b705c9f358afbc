"""The order of a run's phases, and nothing else: what each does lies in the room of its name."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from keras_med import engines, runfolder
from keras_med.data import audit, augmentation
from keras_med.data.dataset import read_index
from keras_med.data.dividing import divide_index
from keras_med.data.examine import examine
from keras_med.data.location import Location, default_cache, locate
from keras_med.evaluation import decision, gathering, submission
from keras_med.export import formats
from keras_med.export.quiet import stderr_dropped
from keras_med.inference.exporting import exporting
from keras_med.jobs import cluster
from keras_med.jobs.job import DONE
from keras_med.jobs.local import LocalRunner, warm_up
from keras_med.jobs.loop import run_jobs
from keras_med.recipe.loading import LoadedRecipe
from keras_med.recipe.opening import Opened, Options, open_run, read_recipe
from keras_med.recipe.searching import candidate
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Recipe
from keras_med.report.card import write_card
from keras_med.report.explaining import explain
from keras_med.report.page import write_report
from keras_med.runfolder import RunFolder
from keras_med.terminal import Counter, check_backend, resumable, say, told_in
from keras_med.training import folds, frozen_pass, preflight, room, runtime, scoring
from keras_med.training.runtime import Runtime
from keras_med.training.watching import EpochWatch

_PRELOADED = ("keras_med.data.prepare", "keras_med.training.extract", "keras_med.training.assemble")
_READING = ("keras_med.data.dicom_index",)  # what this machine does itself when a cluster does the jobs


@dataclass
class Experiment:
    """A run on its way through the phases.

    at_once: fits side by side, known once the features are.
    seconds: of each phase that this process went through.
    """

    opened: Opened
    cache: Path
    machine: Runtime
    at_once: int = 1
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def run(self) -> RunFolder:
        return self.opened.run

    @property
    def recipe(self) -> Recipe:
        return self.opened.recipe

    @property
    def settings(self) -> dict[str, Any]:
        return self.opened.settings

    @property
    def with_test(self) -> bool:
        return not self.settings["no_test"]

    def remember(self, **found: Any) -> None:
        """Add to settings.json what a phase found out."""
        self.settings.update(found)
        runfolder.write_json(self.run.settings, self.settings)


def run_recipe(options: Options, command: str) -> RunFolder:
    """Go through all phases; those that an earlier process finished are skipped."""
    begun = _begin(options, loaded := read_recipe(options), command)
    with told_in(begun.run.log), resumable(begun.opened.resume_command):
        say(f"{begun.opened.title}: {begun.run.path}")
        with _timed(begun, "data"):
            _data(begun, loaded)
        with _timed(begun, "features"):
            _features(begun)
        with _timed(begun, "preflight"):
            _preflight(begun)
        with _timed(begun, "search"):
            _search(begun)
        with _timed(begun, "fits"):
            names = _fits(begun)
        with _timed(begun, "figures"):
            _figures(begun, names)
        with _timed(begun, "export"):
            _export(begun)
        with _timed(begun, "report"):
            explain(begun.run, begun.recipe, _common(begun), say)
            write_report(begun.run)
            write_card(begun.run)
        parts = ", ".join(f"{phase} {seconds:.0f}" for phase, seconds in begun.seconds.items())
        say(f"finished in {sum(begun.seconds.values()):.0f} s: {parts}")
    return begun.run


def _begin(options: Options, loaded: LoadedRecipe, command: str) -> Experiment:
    backend = check_backend()
    augmentation.check_views(loaded.recipe.train.views, loaded.recipe.augment)
    if loaded.recipe.augment is not None:
        augmentation.check(loaded.recipe.augment, loaded.recipe.image.shape)
    machine = Runtime(backend, options.devices, loaded.recipe.train.threads, options.deterministic)
    if options.resume is None:
        runtime.check(machine, loaded.recipe.train.batch_size, loaded.recipe.train.precision)
        engines.check(loaded.recipe.train.engine, loaded.recipe.train.engine_precision, backend)
        formats.check(loaded.recipe.export.formats)
    opened = open_run(options, loaded, command)
    given = opened.settings["options"]
    machine = Runtime(backend, given["devices"], opened.recipe.train.threads, given["deterministic"])
    cache = (Path(given["cache"]) if given["cache"] else default_cache()).absolute()
    variables, address = runtime.environment(machine), options.on or given.get("on")
    warm_up(_READING if address else _PRELOADED, variables)
    if address:
        written = [opened.run.path.absolute(), cache]
        cluster.join(address, _PRELOADED, variables, written, gpu=machine.gpu, say=say)
    return Experiment(opened, cache, machine)


def _data(begun: Experiment, loaded: LoadedRecipe) -> None:
    """Files to index.csv, excluded.csv, audit.json and splits.csv."""
    run, recipe = begun.run, begun.recipe
    location = _located(begun, loaded)
    if location.demo:
        say("DEMO DATA: generated images, not patients")
    cluster.check_seen([location.root])
    if run.splits.is_file():
        return
    examined = examine(recipe, location.root, begun.cache, smoke=begun.settings["smoke"])
    say(f"prepared {len(examined.index)} images, {len(examined.excluded)} left out")
    runfolder.write_csv(run.excluded, examined.excluded)
    runfolder.write_json(run.audit, audit.to_json(examined.audit))
    for finding in examined.audit.findings:
        if finding.severity != "info":
            say(f"audit, {finding.severity}: {finding.sentence}")
    audit.refuse(examined.audit)
    begun.remember(target={**begun.settings["target"], **examined.classes(recipe)})
    _split(begun, examined.index)


def _located(begun: Experiment, loaded: LoadedRecipe) -> Location:
    if "demo" in begun.settings:
        return Location(Path(begun.settings["data"]), begun.settings["demo"])
    given = begun.settings["options"]["data"]
    location = locate(begun.recipe.data, loaded.path.stem, Path(given) if given else None, begun.cache, say)
    begun.remember(data=str(location.root), demo=location.demo)
    return location


def _split(begun: Experiment, index: pd.DataFrame) -> None:
    fold = folds.exported_fold(begun.recipe)
    division = divide_index(index, begun.recipe, fold=fold, partial=begun.settings["smoke"])
    runfolder.write_csv(begun.run.index, division.index, private=True)
    runfolder.write_csv(begun.run.splits, division.splits)
    for line in (*division.lines, *decision.too_few(division.splits, division.index, fold, begun.recipe)):
        say(line)
    begun.remember(patients_known=division.patients_known, shared_patients=division.shared)


def _features(begun: Experiment) -> None:
    """Say what the machine is, then put every image through the frozen part of the network once."""
    run, recipe = begun.run, begun.recipe
    asked = {"batch_size": recipe.train.batch_size, "precision": recipe.train.precision}
    probe = {"runtime": begun.machine.settings(), **asked}
    run_jobs([folds.write_job(run, "environment", folds.RUN_PROBE, probe)])
    say(runfolder.read_json(run.environment)["line"])
    fold, passes = folds.exported_fold(recipe) or "0", 1 + (recipe.train.views or 0)
    with Counter("frozen features", passes * len(read_index(run.index))) as counter:
        asked = begun.settings["options"]["fits_at_once"]
        job = frozen_pass.run(run, "features", _common(begun), fold, at_once=asked or 1, reach=counter.reach)
    frozen_pass.tell(job, say)
    begun.at_once = room.side_by_side(run, recipe, asked)


def _preflight(begun: Experiment) -> None:
    """Look at the network before hours go into it; a smoke run trains too little to be warned."""
    if begun.settings["smoke"]:
        return
    run, recipe = begun.run, begun.recipe
    plans = folds.plans_of(run, recipe, with_test=begun.with_test)
    run_jobs([preflight.job(run, recipe, folds.stages(plans, recipe), _common(begun))])
    preflight.tell(run, say)


def _search(begun: Experiment) -> None:
    """Try settings, if the recipe asks for it; the run goes on with those of the best trial."""
    recipe = begun.recipe
    if recipe.search is None:
        return
    if "winner" not in begun.settings:
        with stderr_dropped():  # KerasTuner loads TensorFlow
            from keras_med.search.trials import Searching, search

        scored = scoring.scoring_of(recipe, begun.settings["target"])
        fold, smoke = folds.exported_fold(recipe) or "0", begun.settings["smoke"]
        at = (begun.run, recipe, recipe.search, _common(begun), scored, fold, begun.at_once, smoke)
        begun.remember(winner=search(Searching(*at)))
    begun.opened = replace(begun.opened, recipe=candidate(recipe, begun.settings["winner"]["changes"]))


def _fits(begun: Experiment) -> list[str]:
    """Train the folds, then the final networks, which need to know their best epochs, or else take the folds' mean."""
    run, recipe = begun.run, begun.recipe
    plans = folds.plans_of(run, recipe, with_test=begun.with_test)
    scored = _train(begun, folds.stages(plans, recipe))
    if recipe.final is None:
        return scored
    if recipe.final.ensemble:
        means = folds.ensemble_plans(recipe, scored, with_test=begun.with_test)
        run_jobs([folds.write_fit(run, name, plan, _common(begun)) for name, plan in means.items()])
        return [*scored, *means]
    last = folds.final_stages(recipe, recipe.final, run, scored, with_test=begun.with_test)
    return [*scored, *_train(begun, last)]


def _train(begun: Experiment, stages: list[dict[str, folds.FitPlan]]) -> list[str]:
    """Train one stage after the other; return the fits of the last, whose predictions are scored."""
    for word, plans in zip(("training", "fine-tuning"), stages, strict=False):
        jobs = [folds.write_fit(begun.run, name, plan, _common(begun)) for name, plan in plans.items()]
        epochs = {job.folder: plan.epochs for job, plan in zip(jobs, plans.values(), strict=True)}
        with Counter(f"{word} {len(jobs)} fits" if len(jobs) > 1 else word, sum(epochs.values())) as counter:
            run_jobs(jobs, at_once=begun.at_once, watch=EpochWatch(counter, epochs).see)
    return list(stages[-1])


def _common(begun: Experiment) -> dict[str, Any]:
    """Return what stands in every job's settings."""
    winner = begun.settings.get("winner") or {}
    return {
        "changes": winner.get("changes") or {},
        "features": winner.get("features") or "features",
        "runtime": begun.machine.settings(),
        "weights": begun.settings["options"]["weights"],
        "demo": begun.settings["demo"],
        "weights_seed": seed_for(begun.recipe.seed, "weights"),
        "cache": str(begun.cache),
    }


def _figures(begun: Experiment, names: list[str]) -> None:
    """Predictions to predictions.csv, metrics.json and submission.csv."""
    run, recipe = begun.run, begun.recipe
    found = {
        **scoring.figures(run, recipe, names, scoring.scoring_of(recipe, begun.settings["target"])),
        "patients_known": begun.settings["patients_known"],
        "shared_patients": begun.settings["shared_patients"],
        "times": {name: round(seconds, 1) for name, seconds in begun.seconds.items()},
    }
    runfolder.write_json(run.metrics, found)
    if "test" in found["splits"] and (fold := folds.exported_fold(recipe)) is not None:
        parts = pd.read_csv(run.splits, dtype=str, keep_default_na=False)
        uses = gathering.count_test_use(run.test_uses, parts, fold, run.path.name)
        say(f"this test split has been scored by {uses} {'run' if uses == 1 else 'runs'}")
    sample = None if begun.settings["smoke"] else recipe.data.submission  # a smoke run predicts too few rows for one
    if sample and (rows := submission.write(run, Path(begun.settings["data"]) / sample)):
        say(f"submission.csv: {rows} rows, as {Path(sample).name} asks")


def _export(begun: Experiment) -> None:
    """Put the network together and export it; folds without a final network have none to export."""
    run, recipe = begun.run, begun.recipe
    fit = folds.exported_fit(recipe)
    if fit is None:
        say("no model is exported: folds describe a procedure; give the recipe final=Final() to train one")
        return
    run_jobs([folds.write_job(run, "model", folds.RUN_ASSEMBLY, {**_common(begun), "fit": fit})])
    job = exporting(run, recipe, begun.opened.title, begun.settings)
    run_jobs([job], runner=LocalRunner())
    made = runfolder.read_json(job.folder / DONE)["path"]
    begun.remember(export=made)
    say(f"exported and verified in a fresh process: {made}")


@contextmanager
def _timed(begun: Experiment, phase: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    begun.seconds[phase] = time.monotonic() - started
