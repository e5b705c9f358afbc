"""What every test needs: memory that does not grow from test to test."""

import gc
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def networks_are_let_go() -> Iterator[None]:
    """Drop what Keras keeps of a test's networks; two workers must fit a laptop."""
    yield
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session()
        gc.collect()
