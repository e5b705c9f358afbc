"""Rounds of trials as a KerasTuner Oracle: all of the first, then the best of each for the next; a grid is one round.

KerasTuner's own grid cannot resume and lets workers idle; this one has no state but what it was told.
"""

from collections.abc import Sequence
from typing import Any

import keras_tuner

Response = dict[str, Any]


class StagedOracle(keras_tuner.Oracle):
    """Gives the listed values in their order, then keeps the best trials of each round.

    Later rounds name the trial they go on from in "tuner/trial_id" and their number in "tuner/round", as KerasTuner's
    Hyperband does.

    Args:
        listed: the values of each trial of the first round.
        keep: how many trials go on after each round; one number fewer than there are rounds.
    """

    def __init__(self, listed: Sequence[dict[str, object]], keep: Sequence[int], **given: Any) -> None:
        super().__init__(**given)
        self._keep = list(keep)
        self._round = 0
        self._ids: list[str] = []
        self._waiting = [dict(values) for values in listed]

    def populate_space(self, trial_id: str) -> Response:
        """Give the next values; IDLE while a round is not told completely, STOPPED after the last."""
        if not self._waiting and not self._next_round():
            return {"status": "IDLE" if self.ongoing_trials else "STOPPED"}
        self._ids.append(trial_id)
        return {"status": "RUNNING", "values": self._waiting.pop(0)}

    def _next_round(self) -> bool:
        """Queue the best of the round that has ended, in their old order."""
        if self.ongoing_trials or self._round == len(self._keep):
            return False
        done = [self.trials[name] for name in self._ids if self.trials[name].status == "COMPLETED"]
        best = sorted(done, key=lambda trial: trial.score, reverse=self.objective.direction == "max")
        names = {trial.trial_id for trial in best[: self._keep[self._round]]}
        self._round += 1
        self._waiting = [self._again(trial) for trial in done if trial.trial_id in names]
        self._ids = []
        return bool(self._waiting)

    def _again(self, trial: Any) -> dict[str, object]:
        return {**trial.hyperparameters.values, "tuner/trial_id": trial.trial_id, "tuner/round": self._round}
