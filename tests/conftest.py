"""What every test needs: memory that does not grow from module to module, and programs that hear Ctrl-C."""

import gc
import signal
import sys
from collections.abc import Iterator

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as shells start what runs in the background, and its children
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def networks_are_let_go() -> Iterator[None]:
    """Drop what Keras keeps of a module's networks; two workers must fit a laptop."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session()
        gc.collect()
