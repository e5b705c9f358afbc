"""A recipe's search to its trials, to search.csv, and to the settings that the run goes on with.

What was asked and told stands in trials.json, batch after batch. A search that resumes tells it to a new oracle, which
must ask for the same again; fits of a batch that was not told are folders like all others: finished ones are skipped.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from keras_med import runfolder
from keras_med.errors import RunFailed
from keras_med.recipe.seeds import seed_for
from keras_med.runfolder import RunFolder
from keras_med.search import hparams, plans, ranking, table
from keras_med.search.batch import Batch, Entry
from keras_med.search.oracles import Asked, Asker
from keras_med.search.place import Searching, plain
from keras_med.terminal import say


def search(place: Searching) -> dict[str, Any]:
    """Try all trials, write search.csv, and return the winner: its name, what it changes, and its features job."""
    best = "min" if place.ranked or place.metrics[0] in ranking.LOWER_IS_BETTER else "max"
    batches: list[list[Entry]] = _known(place.run)
    number = 0
    with Asker(place.search, best, place.recipe.train.epochs, seed_for(place.recipe.seed, "search")) as asker:
        while asked := asker.ask():
            if number == len(batches):
                batches.append(Batch(place, asked, list(chain(*batches))).train())
                runfolder.write_json(place.run.trials, {"batches": batches})
            _check_same(batches[number], asked, place.run)
            asker.tell([entry["score"] for entry in batches[number]])
            number += 1
    return _winner(place, list(chain(*batches)))


def _known(run: RunFolder) -> list[list[Entry]]:
    return runfolder.read_json(run.trials)["batches"] if run.trials.is_file() else []


def _check_same(batch: Sequence[Entry], asked: Sequence[Asked], run: RunFolder) -> None:
    before = [(entry["trial"], entry["round"], entry["changes"]) for entry in batch]
    now = [(one.trial, one.round, plain(one.changes)) for one in asked]
    if before != now:
        differing = next((f"{one} before, {two} now" for one, two in zip(before, now, strict=False) if one != two), "")
        what = f"The search no longer asks for the trials that it began with: {differing or 'another number of them'}."
        raise RunFailed(what, where=str(run.trials), remedy="Install the packages of environment.json, or start anew.")


def _winner(place: Searching, entries: Sequence[Entry]) -> dict[str, Any]:
    """Write search.csv and return the best trial; there must be one that did not fail."""
    made = table.search_table(entries, place.metrics, by_epochs=place.search.by == "hyperband")
    last = {entry["trial"]: entry for entry in entries}
    best = last[str(made["trial"].iloc[0])]
    if best["status"] == "failed":
        place.run.trials.unlink()  # or a search that resumes would believe in their failures
        what = f"All {len(made)} trials failed; the first: {entries[0]['why']}"
        raise RunFailed(what, where=str(place.run.fits), remedy="Look at the logs there, then --resume or start anew.")
    rows = place.predictions(best["fits"])
    gaps = {}
    for name in made.loc[made["stage"] == made["stage"].iloc[0], "trial"].iloc[1:]:
        if last[name]["status"] == "done":
            gaps[name] = ranking.behind(rows, place.predictions(last[name]["fits"]), place.scoring)
    made = table.with_gaps(made, gaps)
    runfolder.write_csv(place.run.search, made)
    hparams.write(place.run, entries, place.metrics)
    say(f"search: {len(made)} trials, the best is {best['trial']}: {table.shown(best['changes'])}")
    close = list(made.loc[made["distinguishable"] == "no", "trial"])
    if close:
        say(f"search: not distinguishable from it: {', '.join(close)}")
    return {
        "trial": best["trial"],
        "changes": best["changes"],
        "features": plans.features_name(best["changes"]),
        "trials": len(made),
    }
