"""What large files leave behind goes back to the system: the C library would keep it for the next one."""

import asyncio
import ctypes
import gc
from collections.abc import Mapping
from contextlib import suppress

from keras_med.serving.guard import App, Message, Receive, Send

LARGE = 2**23  # bytes of a request from which on few of them are taken at once, and their memory is given back
_LATER = 0.5  # seconds after an answer, when its connection is forgotten too


def is_large(headers: Mapping[str, str]) -> bool:
    """Say whether a request has many bytes, or does not say how many."""
    return stated_size(headers, unstated=LARGE) >= LARGE


def stated_size(headers: Mapping[str, str], *, unstated: int = 0) -> int:
    """Return the bytes that a request says it has."""
    told = headers.get("content-length", "")
    return int(told) if told.isdecimal() else unstated


class GivesBack:
    """Wraps an application: when a large request is answered and forgotten, its memory is returned."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, and then tidy up."""
        await self._app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
        if scope.get("method") == "POST" and is_large(headers):
            loop = asyncio.get_running_loop()
            loop.call_later(_LATER, loop.run_in_executor, None, give_back)


def give_back() -> None:
    """Collect what nobody holds and let the C library return it."""
    gc.collect()
    with suppress(OSError, AttributeError):  # where the C library is not glibc
        ctypes.CDLL(None).malloc_trim(0)
