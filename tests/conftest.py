"""What every test needs: memory that does not grow from module to module."""

import gc
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def networks_are_let_go() -> Iterator[None]:
    """Drop what Keras keeps of a module's networks; two workers must fit a laptop."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session()
        gc.collect()
