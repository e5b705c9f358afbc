"""Pictures of many requests to few calls of the network: one thread takes what waits and answers it together."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np

MOST = 32  # pictures of one call, as `predict` has them
MOST_VALUES = 2**24  # and values, or a few volumes would fill the memory
_WAIT = 0.003  # seconds for others to come in: less than a call takes


class Batches:
    """A queue before the network.

    predict: takes a batch of prepared pictures, returns a row of outputs for each.
    """

    def __init__(self, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        self._predict = predict
        self._waiting: queue.SimpleQueue[tuple[np.ndarray, Future[np.ndarray]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="batches")
        self._thread.start()

    def ask(self, pixels: np.ndarray) -> "Future[np.ndarray]":
        """Return what will be the network's output on one picture."""
        answer: Future[np.ndarray] = Future()
        self._waiting.put((pixels, answer))
        return answer

    def close(self) -> None:
        """Answer what waits, and end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        last = False
        while not last:
            group, last = self._gathered()
            if group:
                self._answer(group)

    def _gathered(self) -> tuple[list[tuple[np.ndarray, "Future[np.ndarray]"]], bool]:
        """Wait for one picture and take the others that are there; whether it was the last time."""
        group, until, most = list[tuple[np.ndarray, Future[np.ndarray]]](), None, MOST
        while len(group) < most:
            try:
                found = self._waiting.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if found is None:
                return group, True
            group.append(found)
            if until is None:
                until = time.monotonic() + _WAIT
                most = min(MOST, max(1, MOST_VALUES // found[0].size))
        return group, False

    def _answer(self, group: list[tuple[np.ndarray, "Future[np.ndarray]"]]) -> None:
        asked = [(pixels, answer) for pixels, answer in group if answer.set_running_or_notify_cancel()]
        if not asked:
            return
        try:
            outputs = self._predict(np.stack([pixels for pixels, _ in asked]))
        except Exception as error:  # whoever asked must not wait for ever
            for _, answer in asked:
                answer.set_exception(error)
            return
        for (_, answer), output in zip(asked, outputs, strict=True):
            answer.set_result(output)
