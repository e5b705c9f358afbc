"""Fits of two stages to a check where the second made worse what it watched."""

from collections.abc import Mapping

from keras_med import runfolder
from keras_med.evaluation.protocol import Check
from keras_med.runfolder import RunFolder
from keras_med.training.folds import FitPlan


def checks(run: RunFolder, plans: Mapping[str, FitPlan]) -> list[Check]:
    """Return one amber check if the best validation loss of a second stage is above that of its first."""
    worse = []
    for name, plan in plans.items():
        if plan.head is not None and plan.keep == "best":
            before, after = (runfolder.read_json(run.fit(each).done)["best_loss"] for each in (plan.head, name))
            if after > before:
                worse.append(f"{before:.3g} to {after:.3g} in {name}")
    if not worse:
        return []
    what = f"Fine-tuning made the validation loss worse: {', '.join(worse)}."
    return [
        {"severity": "amber", "sentence": what, "remedy": "Set train.fine_tune_rate lower, or fine_tune_from to none."}
    ]
