"""A batch of trials to their entries: their fits' folders and processes, and each trial's figures when it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from keras_med import runfolder
from keras_med.errors import RunFailed, UserError
from keras_med.jobs.job import Job
from keras_med.jobs.loop import run_jobs
from keras_med.recipe.searching import candidate
from keras_med.search import plans, ranking, table
from keras_med.search.board import Board
from keras_med.search.failures import Failures
from keras_med.search.oracles import Asked
from keras_med.search.place import Searching, plain
from keras_med.search.ranking import Figures
from keras_med.terminal import Counter, say
from keras_med.training import folds, frozen_pass
from keras_med.training.watching import EpochWatch

Entry = dict[str, Any]  # of trials.json: a trial in one of its rounds
Stages = list[dict[Job, int]]  # the fits of each stage with their most epochs


class Batch:
    """Trials that are trained side by side, in the order in which they were asked for.

    Args:
        before: entries of the trials before them.
    """

    def __init__(self, place: Searching, asked: Sequence[Asked], before: Sequence[Entry] = ()) -> None:
        self._place = place
        self._asked = asked
        self._failures = Failures([one.trial for one in asked], [entry["why"] for entry in before])
        self._found: dict[str, Figures] = {}
        self._stages: dict[str, Stages] = {one.trial: self._written(one) for one in asked}

    def train(self) -> list[Entry]:
        """Train every trial, tell how each did as soon as it has ended, and return their entries."""
        epochs = {job.folder: most for stages in self._stages.values() for fits in stages for job, most in fits.items()}
        board = Board(self._asked, self._stages, self._found, self._failures.why, self._place.metrics[0])
        with Counter(f"search, {len(epochs)} fits", sum(epochs.values()), board.table) as counter:
            watch = EpochWatch(counter, epochs)
            board.last = watch.last

            def see(folders: Sequence[Path]) -> None:
                watch.see(folders)
                self._look({folder.name.partition("-")[0] for folder in folders})

            self._look(set(self._stages))  # an earlier process may have ended some
            for number in range(max(map(len, self._stages.values()))):
                # Of two stages, the second needs what the first left.
                fits = [
                    job
                    for trial, stages in self._stages.items()
                    if trial not in self._failures.why
                    for job in chain(*stages[number:][:1])
                ]
                run_jobs(fits, at_once=self._place.at_once, watch=see, failed=self._failures.see)
            self._look(set(self._stages))
        order = ranking.order({one.trial: self._found.get(one.trial) for one in self._asked}, self._place.metrics)
        return [self._entry(one, order.index(one.trial) + 1) for one in self._asked]

    def _written(self, one: Asked) -> Stages:
        """Write the folders of a trial's fits, after the frozen part that they rest on; none if it cannot begin."""
        place = self._place
        tried = plans.changes_of(one, place.search, smoke=place.smoke)
        settings = {**place.common, "changes": tried, "features": plans.features_name(one.changes)}
        try:
            recipe = candidate(place.recipe, tried)
            frozen_pass.run(place.run, settings["features"], settings, place.fold, at_once=place.at_once)
            stages = [
                {_fit(place, name, plan, settings): plan.epochs for name, plan in stage.items()}
                for stage in plans.plans_of(one, recipe, place.search)
            ]
        except UserError as error:
            self._failures.note(one.trial, error)
            return [{}]
        self._failures.own(one.trial, chain(*stages))
        return stages

    def _look(self, trials: set[str]) -> None:
        """Tell how those of the trials did whose last fit has ended."""
        for one in self._asked:
            if one.trial not in trials or one.trial in self._found or one.trial in self._failures.why:
                continue
            last = self._stages[one.trial][-1]
            if not all(job.done for job in last):
                continue
            try:
                found = self._figures([job.folder.name for job in last])
            except UserError as error:
                self._failures.note(one.trial, error)
                continue
            self._found[one.trial] = found
            name = f"{one.trial} round {one.round + 1}" if one.round else one.trial
            say(table.line(name, one.changes, found, self._place.metrics[0]))

    def _figures(self, fits: Sequence[str]) -> Figures:
        place = self._place
        return ranking.figures(place.predictions(fits), place.metrics, place.scoring, place.search.sensitivity)

    def _entry(self, one: Asked, rank: int) -> Entry:
        place, stages, found = self._place, self._stages[one.trial], self._found.get(one.trial)
        entry: Entry = {
            "trial": one.trial,
            "round": one.round,
            "changes": plain(one.changes),
            "epochs": plans.changes_of(one, place.search, smoke=place.smoke).get("train.epochs"),
            "fits": [job.folder.name for job in stages[-1]],
            "status": "done" if found else "failed",
            "why": self._failures.why.get(one.trial, ""),
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


def _fit(place: Searching, name: str, plan: folds.FitPlan, settings: Mapping[str, Any]) -> Job:
    made, tried = folds.write_fit(place.run, name, plan, settings), plain(settings["changes"])
    before = runfolder.read_json(place.run.fit(name).settings)["changes"]
    if before != tried:
        what = f"{name} was begun with {before}; now it is to try {tried}."
        raise RunFailed(what, where=str(made.folder), remedy="Start a new run.")
    return made
