"""After each epoch of a fit: what is watched, the history, the checkpoint, and whether to go on."""

import time
from collections.abc import Callable

import keras
import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data import pipeline
from keras_med.data.pipeline import Rows
from keras_med.errors import RunFailed
from keras_med.recipe.train import Train
from keras_med.runfolder import FitFolder
from keras_med.training import averages, checkpoint, event_files, losses, schedules
from keras_med.training.checkpoint import State
from keras_med.training.deciding import Figures
from keras_med.training.folds import FitPlan

_LOOKED_AT = 25  # every so many steps' running loss, which stays no number once it is none
_QUICK = 0.2  # seconds: a checkpoint that takes no longer is written after every epoch
_SPARED = 9  # after a longer one, so many times its own time is trained before the next


class Watched:
    """What validation examples say, from predictions: Keras' own evaluation fails where replicas share no batch evenly.

    Args:
        classes: weight of each class in the loss.
        decide: turns labels and the network's output into figures that are followed beside the loss.
        shared_by: devices that can share whole batches only.
    """

    def __init__(
        self,
        rows: Rows,
        batch_size: int,
        classes: dict[int, float] | None = None,
        decide: Figures | None = None,
        *,
        shared_by: int = 1,
    ) -> None:
        self._rows = rows
        self._weights = losses.weights_of(rows.labels, classes)
        self._batches = pipeline.in_order(rows, batch_size, shared_by=shared_by)
        self._decide = decide

    def look(self, model: keras.Model) -> dict[str, float]:
        """Return the loss over all rows and the further figures, of the averaged weights where there are any."""
        with averages.averaged(model):
            output = model.predict(self._batches, verbose=0)[: len(self._rows)]
        loss = float(keras.ops.convert_to_numpy(model.loss(self._rows.labels, output, self._weights)))
        others = self._decide(self._rows.labels, output) if self._decide else {}
        return {f"validation_{name}": value for name, value in {"loss": loss, **others}.items()}


class Pace:
    """When a checkpoint is due: those of large networks take at most a tenth of a fit's time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = clock()

    def due(self) -> bool:
        """Tell whether it is time for the next."""
        return self._clock() >= self._next

    def timed(self, write: Callable[[], None]) -> None:
        """Write one, and go by what it took."""
        begun = self._clock()
        write()
        ended = self._clock()
        self._next = ended + (_SPARED * (ended - begun) if ended - begun > _QUICK else 0)


class Keeper(keras.callbacks.Callback):
    """After each epoch: the history, the best weights, the checkpoint if one is due, and whether to stop.

    One callback instead of four, because Keras' own forget on resume what they had seen.
    """

    def __init__(
        self, fit: FitFolder, plan: FitPlan, state: State, identity: str, watched: Watched, train: Train
    ) -> None:
        super().__init__()
        self._train = train
        self.state = state
        self._watched = watched
        self._fit = fit
        self._plan = plan
        self._identity = identity
        self._started = time.monotonic()
        self._pace = Pace()
        self._best: checkpoint.Arrays | None = None

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Begin the event file with the epochs of the checkpoint; those that a kill cost are trained again."""
        if self._train.tensorboard:
            event_files.begin(self._fit.tensorboard, self.state.history)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the epoch's clock."""
        self._started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Stop a fit that diverges within its epoch; looking at every step would make an accelerator wait for it."""
        if batch % _LOOKED_AT == 0 and not np.isfinite(float((logs or {})["loss"])):
            raise _diverged(f"at step {batch + 1} of epoch {self.state.epoch + 1}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Remember the epoch and write everything that a resume needs."""
        row = {"epoch": epoch + 1, "loss": float((logs or {})["loss"]), **self._watched.look(self.model)}
        if not np.isfinite([row["loss"], row["validation_loss"]]).all():
            raise _diverged(f"after epoch {epoch + 1}")
        rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        row |= {"learning_rate": rate, "seconds": round(time.monotonic() - self._started, 3)}
        self._remember(epoch, row)
        if self._train.schedule == "plateau":
            self.model.optimizer.learning_rate = schedules.rate_after(self._train, self.state.history)
        over = schedules.over(self._train, self._plan.patience, self.state.history)
        if over or self.state.epoch == self._plan.epochs or self._pace.due():
            self._pace.timed(self._save)
        elif self.state.best_epoch == epoch:
            self._best = checkpoint.weights_of(self.model)
        write_history(self._fit, self.state)
        if self._train.tensorboard:
            event_files.add(self._fit.tensorboard, row)
        if over:
            self.model.stop_training = True

    def _save(self) -> None:
        checkpoint.save(self._fit.checkpoint, self.model, self.state, self._identity, self._best)
        self._best = None

    def _remember(self, epoch: int, row: dict[str, float]) -> None:
        state = self.state
        state.epoch = epoch + 1
        state.history.append(row)
        if row["validation_loss"] < state.best_loss:
            state.best_epoch, state.best_loss = epoch, row["validation_loss"]


def _diverged(when: str) -> RunFailed:
    what = f"The loss is not a number {when}: training diverged."
    return RunFailed(what, remedy="Lower the learning rate, for example --set train.learning_rate=1e-4")


def write_history(fit: FitFolder, state: State) -> None:
    """Write history.csv as the state has it, so that both always agree."""
    runfolder.write_csv(fit.history, pd.DataFrame(state.history))
