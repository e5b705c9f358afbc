"""A recipe's search to the trials that an oracle asks for, in batches, and back to it how they did.

Oracles are KerasTuner's, driven without its Tuner: that one keeps every network in one process and cannot resume. No
oracle is ever reloaded: a new one with the same seed, told the same, asks for the same.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import keras_tuner

from keras_med.errors import RecipeError
from keras_med.recipe.search import Float, Int, Search
from keras_med.recipe.searching import combinations
from keras_med.search.staged import StagedOracle

_SCORE = "score"
_MOST = 10_000  # trials asked for at once where the oracle itself says when it waits


@dataclass(frozen=True)
class Asked:
    """A trial in one of its rounds.

    trial: its name, the same in all rounds.
    round: counted from 0.
    changes: the settings that it tries.
    epochs: of this round, where the oracle decides about them.
    """

    trial: str
    round: int
    changes: Mapping[str, Any]
    epochs: int | None = None


class Asker:
    """Asks an oracle for trials in batches, and tells it their scores in the order in which it asked.

    Args:
        best: "max" or "min": which scores are better.
        epochs: most epochs of a fit, which Hyperband divides.
        seed: of the oracle's own choices.
    """

    def __init__(self, search: Search, best: str, epochs: int, seed: int) -> None:
        self._search = search
        self._held = ExitStack()
        objective = keras_tuner.Objective(_SCORE, best)
        self._oracle = _oracle(search, _space(search), objective, epochs, seed % 10_000 + 1)  # 0 means random to it
        self._oracle.verbose = 0  # or it prints to stdout
        self._oracle.max_consecutive_failed_trials = _MOST  # the search itself says when to stop
        # It insists on writing its state; nothing reads it.
        folder = self._held.enter_context(tempfile.TemporaryDirectory(prefix="keras_med-oracle-"))
        self._oracle._set_project_dir(folder, "search")
        self._names: dict[str, str] = {}
        self._pending: list[Any] = []

    def __enter__(self) -> "Asker":
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def ask(self) -> list[Asked]:
        """Return the next batch; an empty one when the search is over."""
        adaptive = self._search.by == "bayesian" or self._search.oracle is not None
        asked = []
        for number in range(self._search.together if adaptive else _MOST):
            trial = self._oracle.create_trial(f"place{number}")
            if trial.status != "RUNNING":
                break
            self._pending.append(trial)
            asked.append(self._read(trial))
        return asked

    def tell(self, scores: Sequence[float | None]) -> None:
        """Tell the scores of the last batch in its order; None for a trial that failed."""
        for trial, score in zip(self._pending, scores, strict=True):
            if score is not None:
                self._oracle.update_trial(trial.trial_id, {_SCORE: score})
            trial.status = "FAILED" if score is None else "COMPLETED"
            self._oracle.end_trial(trial)
        self._pending = []

    def _read(self, trial: Any) -> Asked:
        values = trial.hyperparameters.values
        earlier = values.get("tuner/trial_id")
        name = self._names[earlier] if earlier else f"t{len(set(self._names.values())) + 1:03d}"
        self._names[trial.trial_id] = name
        changes = {setting: _value(choices, values[setting]) for setting, choices in self._search.over.items()}
        return Asked(name, int(values.get("tuner/round", 0)), changes, values.get("tuner/epochs"))


def _space(search: Search) -> Any:
    """Describe the values; lists as indices, because a Choice refuses None, tuples and mixed types."""
    space = keras_tuner.HyperParameters()
    for name, values in search.over.items():
        if isinstance(values, Float):
            space.Float(name, values.low, values.high, sampling="log" if values.log else "linear")
        elif isinstance(values, Int):
            space.Int(name, values.low, values.high, sampling="log" if values.log else "linear")
        else:
            space.Choice(name, list(range(len(values))))
    return space


def _value(choices: object, found: Any) -> Any:
    if isinstance(choices, Float):
        return float(found)
    if isinstance(choices, Int):
        return int(found)
    return choices[int(found)]  # type: ignore[index]  # a list, as check_search has seen


def _oracle(search: Search, space: Any, objective: Any, epochs: int, seed: int) -> Any:
    given: dict[str, Any] = {"objective": objective, "hyperparameters": space, "seed": seed}
    if search.oracle is not None:
        made = search.oracle(space, objective, seed)
        if not isinstance(made, keras_tuner.Oracle):
            raise RecipeError(f"Search(oracle=...) returned {made!r}; expected a KerasTuner Oracle.")
        return made
    if search.by == "hyperband":
        return keras_tuner.oracles.HyperbandOracle(max_epochs=epochs, **given)
    if search.by in ("random", "bayesian"):
        kinds = keras_tuner.oracles
        kind = kinds.RandomSearchOracle if search.by == "random" else kinds.BayesianOptimizationOracle
        return kind(max_trials=search.trials, **given)
    listed = [_places(search, changes) for changes in combinations(search)][: search.trials]
    keep = [one.keep for one in search.rounds[:-1]]
    return StagedOracle(listed, keep, max_trials=None, **given)


def _places(search: Search, changes: Mapping[str, object]) -> dict[str, object]:
    return {name: search.over[name].index(value) for name, value in changes.items()}
