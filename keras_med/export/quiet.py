"""TensorFlow without the lines it writes to stderr while it is imported, which no setting of its own keeps back.

And without its warning that an export holds no gradients: `savedmodel` leaves them out, and nobody asks for them.
"""

import importlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def tensorflow() -> Any:
    """Import TensorFlow; what goes wrong still raises, talk of absent CUDA and of oneDNN is dropped."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("absl").addFilter(_is_news)
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    with stderr_dropped():
        imported = importlib.import_module("tensorflow")
        imported.config.list_physical_devices("GPU")  # where there is none, the first question says so as an error
    return imported


def _is_news(record: logging.LogRecord) -> bool:
    return "unsaved custom gradients" not in str(record.msg)


@contextmanager
def stderr_dropped() -> Iterator[None]:
    """Send file descriptor 2 nowhere: the lines come from C++, which asks no log level."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
