"""A process that reads what is sent: a file that makes its decoder crash or hang takes this process, not the server.

Both sides speak JSON and raw bytes, no pickle: what a broken decoder says is never run.
"""

import json
import os
import resource
import signal
from multiprocessing.connection import Connection
from typing import Any

import cv2
import numpy as np

from keras_med.data import pixels
from keras_med.data.memory import MemoryFile, MemoryFolder, Source
from keras_med.data.shards import why_unread
from keras_med.inference.range import modality
from keras_med.jobs.local import die_with_parent
from keras_med.recipe.words import Image
from keras_med.serving.memory import LARGE, give_back
from keras_med.serving.view import View, view

MOST_MEMORY = 4 * 2**30  # bytes of one reading process; a volume of 250 MiB as stored was read with 1.4 GiB


def send(connection: Connection, told: dict[str, Any], parts: list[bytes]) -> None:
    """Write one message: a description, and raw bytes after it."""
    connection.send_bytes(json.dumps({**told, "parts": len(parts)}).encode())
    for part in parts:
        connection.send_bytes(part)


def receive(connection: Connection) -> tuple[dict[str, Any], list[bytes]]:
    """Read one message."""
    told = json.loads(connection.recv_bytes())
    return told, [connection.recv_bytes() for _ in range(told["parts"])]


def array_of(told: dict[str, Any], content: bytes) -> np.ndarray:
    """Return the array that `_described` described."""
    return np.frombuffer(content, np.dtype(told["type"])).reshape(told["shape"])


def serve(connection: Connection, image: dict[str, Any]) -> None:
    """Answer one message after another until the other side closes."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders in C write there, and what they write may quote the file
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, resource.RLIM_INFINITY))  # a small file may unpack to much
    cv2.setNumThreads(1)
    while True:
        try:
            asked, contents = receive(connection)
        except EOFError:
            return
        size = sum(map(len, contents))
        answer, arrays = _read(asked, contents, Image(**image))
        send(connection, answer, arrays)
        del contents, arrays
        if size > LARGE:
            give_back()


def _read(asked: dict[str, Any], contents: list[bytes], image: Image) -> tuple[dict[str, Any], list[bytes]]:
    """Return each row's description and pixels, or its reason, and what the page shows of the first."""
    files = tuple(MemoryFile(name, content) for name, content in zip(asked["names"], contents, strict=True))
    source: Source = MemoryFolder(files) if asked["folder"] else files[0]
    named = modality(source)
    rows, arrays, shown = list[dict[str, Any]](), list[bytes](), None
    for row in asked["rows"]:
        try:
            picture, values = pixels.read(source, row, image)
            # as training and `predict` keep it: packed, but for rows of a stack, which are read where they lie
            in_place = pixels.used_in_place(source.name, row)
            kept = values if in_place else pixels.pack(values, picture.bits)
            if asked["view"]:
                shown = view(source, row, image, picture, named)
        except Exception as error:  # of a decoder or a damaged file, besides those that are known
            rows.append({"reason": why_unread(error)})
            continue
        rows.append({"reason": "", "notes": list(picture.notes), **_described(kept)})
        arrays.append(kept.tobytes())
    return {"modality": named, "rows": rows, "view": _view_told(shown)}, [*arrays, *_view_bytes(shown)]


def _described(array: np.ndarray) -> dict[str, Any]:
    return {"type": array.dtype.str, "shape": list(array.shape)}


def _view_told(shown: View | None) -> dict[str, Any] | None:
    return {**_described(shown.values), **shown.told()} if shown else None


def _view_bytes(shown: View | None) -> list[bytes]:
    return [shown.values.tobytes()] if shown else []
