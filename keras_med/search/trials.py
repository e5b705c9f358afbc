"""A recipe's search to its trials' fits, to search.csv, and to the settings that the run goes on with.

What was asked and told stands in trials.json, batch after batch. A search that resumes tells it to a new oracle, which
must ask for the same again; fits of a batch that was not told are folders like all others: finished ones are skipped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from keras_med import runfolder
from keras_med.data.dataset import read_index
from keras_med.errors import EnvironmentProblem, RunFailed, UserError
from keras_med.evaluation import gathering
from keras_med.evaluation.summary import Scoring
from keras_med.jobs.job import Job
from keras_med.jobs.loop import run_jobs
from keras_med.recipe.search import Search
from keras_med.recipe.searching import candidate
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Recipe
from keras_med.runfolder import RunFolder
from keras_med.search import plans, ranking, table
from keras_med.search.oracles import Asked, Asker
from keras_med.search.ranking import Figures
from keras_med.terminal import Counter, say
from keras_med.training import folds, frozen_pass
from keras_med.training.folds import FitPlan
from keras_med.training.watching import EpochWatch

_SAME_FAILURES = 3
Entry = dict[str, Any]  # of trials.json: a trial in one of its rounds


@dataclass(frozen=True)
class Searching:
    """What a search needs to know of its run.

    common: what stands in every job's settings.
    fold: whose images give a backbone without weights its statistics.
    """

    run: RunFolder
    recipe: Recipe
    search: Search
    common: Mapping[str, Any]
    scoring: Scoring
    fold: str
    at_once: int = 1
    smoke: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are compared, the first one deciding."""
        return ranking.compared(self.search.metrics, self.scoring.kind)

    @property
    def ranked(self) -> bool:
        """Whether the oracle is told ranks, by which rounds keep their best, instead of the first metric."""
        return self.search.by in ("grid", "staged") and self.search.oracle is None


def search(place: Searching) -> dict[str, Any]:
    """Try all trials, write search.csv, and return the winner: its name, what it changes, and its features job."""
    best = "min" if place.ranked or place.metrics[0] in ranking.LOWER_IS_BETTER else "max"
    batches: list[list[Entry]] = _known(place.run)
    number = 0
    with Asker(place.search, best, place.recipe.train.epochs, seed_for(place.recipe.seed, "search")) as asker:
        while asked := asker.ask():
            if number == len(batches):
                batches.append(_tried(place, asked))
                runfolder.write_json(place.run.trials, {"batches": batches})
            _check_same(batches[number], asked, place.run)
            asker.tell([entry["score"] for entry in batches[number]])
            number += 1
    entries = [entry for batch in batches for entry in batch]
    return _winner(place, entries)


def _known(run: RunFolder) -> list[list[Entry]]:
    return runfolder.read_json(run.trials)["batches"] if run.trials.is_file() else []


def _check_same(batch: Sequence[Entry], asked: Sequence[Asked], run: RunFolder) -> None:
    before = [(entry["trial"], entry["round"], entry["changes"]) for entry in batch]
    now = [(one.trial, one.round, _plain(one.changes)) for one in asked]
    if before != now:
        differing = next((f"{one} before, {two} now" for one, two in zip(before, now, strict=False) if one != two), "")
        what = f"The search no longer asks for the trials that it began with: {differing or 'another number of them'}."
        raise RunFailed(what, where=str(run.trials), remedy="Install the packages of environment.json, or start anew.")


def _tried(place: Searching, asked: Sequence[Asked]) -> list[Entry]:
    """Train a batch of trials and return their entries, in the order in which they were asked for."""
    failures = Failures()
    jobs: dict[str, list[list[Job]]] = {one.trial: [[]] for one in asked}
    epochs: dict[Path, int] = {}
    for one in asked:
        try:
            made = _jobs(place, one, failures)
        except UserError as error:
            failures.note(one.trial, error)
            continue
        jobs[one.trial] = [list(stage) for stage in made]
        for stage in made:
            epochs |= {job.folder: most for job, most in stage.items()}
            failures.own(one.trial, stage)
    with Counter(f"search, {len(epochs)} fits", sum(epochs.values())) as counter:
        watch = EpochWatch(counter, epochs).see
        for number in range(max(map(len, jobs.values()))):  # of two stages, the second needs what the first left
            fits = [
                job for one, stages in jobs.items() if one not in failures.why for job in chain(*stages[number:][:1])
            ]
            run_jobs(fits, at_once=place.at_once, watch=watch, failed=failures.see)
    found = {one.trial: _figures(place, one, jobs[one.trial][-1], failures) for one in asked}
    order = ranking.order(found, place.metrics)
    entries = [_entry(place, one, jobs[one.trial], found[one.trial], order, failures) for one in asked]
    for entry in sorted(entries, key=lambda each: each["rank"]):
        say(table.line(entry, place.metrics[0]))
    return entries


def _jobs(place: Searching, one: Asked, failures: "Failures") -> list[dict[Job, int]]:
    """Write the folders of a trial's fits, after the frozen part that they rest on; return each stage's most epochs."""
    tried = plans.changes_of(one, place.search, smoke=place.smoke)
    recipe = candidate(place.recipe, tried)
    features = plans.features_name(one.changes)
    settings = {**place.common, "changes": tried, "features": features}
    job = frozen_pass.job(place.run, features, settings, place.fold)
    run_jobs([job])
    stages = plans.plans_of(one, recipe, place.search)
    return [{_written(place, name, plan, settings): plan.epochs for name, plan in stage.items()} for stage in stages]


def _written(place: Searching, name: str, plan: FitPlan, settings: Mapping[str, Any]) -> Job:
    made, tried = folds.write_fit(place.run, name, plan, settings), _plain(settings["changes"])
    before = runfolder.read_json(place.run.fit(name).settings)["changes"]
    if before != tried:
        what = f"{name} was begun with {before}; now it is to try {tried}."
        raise RunFailed(what, where=str(made.folder), remedy="Start a new run.")
    return made


def _figures(place: Searching, one: Asked, jobs: Sequence[Job], failures: "Failures") -> Figures | None:
    if one.trial in failures.why:
        return None
    rows = predictions(place.run, [job.folder.name for job in jobs])
    try:
        return ranking.figures(rows, place.metrics, place.scoring, place.search.sensitivity)
    except UserError as error:
        failures.note(one.trial, error)
        return None


def predictions(run: RunFolder, fits: Sequence[str]) -> pd.DataFrame:
    """Return what some fits predicted, with the patients where they are known."""
    rows = gathering.gathered({name: run.fit(name).predictions for name in fits})
    return gathering.with_patients(rows, read_index(run.index))


def _entry(
    place: Searching,
    one: Asked,
    stages: Sequence[Sequence[Job]],
    found: Figures | None,
    order: list[str],
    failures: "Failures",
) -> Entry:
    rank = order.index(one.trial) + 1
    entry: Entry = {
        "trial": one.trial,
        "round": one.round,
        "changes": _plain(one.changes),
        "epochs": plans.changes_of(one, place.search, smoke=place.smoke).get("train.epochs"),
        "fits": [job.folder.name for job in stages[-1]],
        "status": "done" if found else "failed",
        "why": failures.why.get(one.trial, ""),
        "rank": rank,
        "score": None,
        "figures": None,
        "seconds": None,
    }
    if found is not None:
        done = [runfolder.read_json(job.folder / "done.json")["seconds"] for job in chain(*stages)]
        score = float(rank) if place.ranked else found.values[place.metrics[0]]
        entry |= {"score": score, "figures": asdict(found), "seconds": round(sum(done), 3)}
    return entry


def _winner(place: Searching, entries: Sequence[Entry]) -> dict[str, Any]:
    """Write search.csv and return the best trial; there must be one that did not fail."""
    made = table.search_table(entries, place.metrics, by_epochs=place.search.by == "hyperband")
    last = {entry["trial"]: entry for entry in entries}
    best = last[str(made["trial"].iloc[0])]
    if best["status"] == "failed":
        what = f"All {len(made)} trials failed; the first: {entries[0]['why']}"
        raise RunFailed(what, where=str(place.run.fits), remedy="Look at the logs there, then --resume or start anew.")
    rows = predictions(place.run, best["fits"])
    gaps = {}
    for name in made.loc[made["stage"] == made["stage"].iloc[0], "trial"].iloc[1:]:
        if last[name]["status"] == "done":
            gaps[name] = ranking.behind(rows, predictions(place.run, last[name]["fits"]), place.scoring)
    made = table.with_gaps(made, gaps)
    runfolder.write_csv(place.run.search, made)
    shown = ", ".join(f"{name}={value}" for name, value in best["changes"].items())
    say(f"search: {len(made)} trials, the best is {best['trial']}: {shown}")
    close = list(made.loc[made["distinguishable"] == "no", "trial"])
    if close:
        say(f"search: not distinguishable from it: {', '.join(close)}")
    return {
        "trial": best["trial"],
        "changes": best["changes"],
        "features": plans.features_name(best["changes"]),
        "trials": len(made),
    }


class Failures:
    """Tells at once why a trial failed; the same cause in three trials in a row stops the search."""

    def __init__(self) -> None:
        self.why: dict[str, str] = {}
        self._trials: dict[Path, str] = {}
        self._streak: list[str] = []
        self._finished = 0

    def own(self, trial: str, jobs: Mapping[Job, int]) -> None:
        """Remember whose fits these are."""
        self._trials |= {job.folder: trial for job in jobs}

    def see(self, job: Job, error: UserError) -> None:
        """Take the failure of one fit."""
        self.note(self._trials[job.folder], error)

    def note(self, trial: str, error: UserError) -> None:
        """Take a failure; a full disk or an absent device is no fault of the trial and stops everything."""
        if isinstance(error, EnvironmentProblem):
            raise error
        if trial in self.why:
            return
        self.why[trial] = error.what
        say(f"{trial} failed: {error.what}\n{error.where}")
        finished = sum((folder / "done.json").is_file() for folder in self._trials)
        again = finished == self._finished and self._streak[-1:] == [error.what]
        self._streak, self._finished = [*(self._streak if again else []), error.what], finished
        if len(self._streak) >= _SAME_FAILURES:
            what = f"{len(self._streak)} trials in a row failed for the same reason: {error.what}"
            raise RunFailed(what, where=error.where, remedy=error.remedy or "Mend it, then --resume.")


def _plain(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes as they come back from a JSON file."""
    return dict(json.loads(json.dumps(changes)))
