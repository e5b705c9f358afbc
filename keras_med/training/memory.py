"""What a process holds and may hold, and a step that finds no memory to the setting that needs less."""

import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_med.errors import RunFailed

# By name: three backends have one each, and two of them are not installed. JAX has a general error with this word.
_KINDS = ("MemoryError", "ResourceExhaustedError", "OutOfMemoryError")
_WORD = "RESOURCE_EXHAUSTED"
FEATURES = 1024**3  # bytes of frozen features up to which a fit holds them all; they lie there twice
_LOOK = 0.01  # seconds between two looks
_CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@contextmanager
def advised(batch_size: int, replicas: int) -> Iterator[None]:
    """Inside, running out of memory is told with the batch to try: half of this one, shared evenly by the devices."""
    try:
        yield
    except Exception as error:
        if not _out_of_memory(error):
            raise
        smaller = batch_size // 2 // replicas * replicas
        remedy = f"About half is needed with --set train.batch_size={smaller}"
        if not smaller:
            remedy = "The batch is as small as it can be: make image.size smaller, or the network."
        raise RunFailed(f"A batch of {batch_size} does not fit into memory.", remedy=remedy) from error


def _out_of_memory(error: BaseException) -> bool:
    names = {base.__name__ for base in type(error).__mro__}
    return not names.isdisjoint(_KINDS) or _WORD in str(error)


def held(features: int) -> int:
    """Return the bytes of frozen features that a fit holds, of so many that there are: more are read where they lie."""
    return 2 * features if features <= FEATURES else 0


def own() -> int:
    """Return the bytes that this process alone holds; files that it has mapped are no part of it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:  # where there is no /proc
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))


@contextmanager
def watched() -> Iterator[Callable[[], int]]:
    """Inside, look often at what this process holds; what is yielded returns the most that was seen."""
    most, ended = [own()], threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK):
            most[0] = max(most[0], own())

    threading.Thread(target=watch, daemon=True, name="memory-watch").start()
    try:
        yield lambda: max(most[0], own())
    finally:
        ended.set()


def limit() -> int:
    """Return the bytes that this machine has, or that the container which this process runs in may take."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    given = [int(text) for file in _CONTAINER if (text := _text(Path(file))).isdecimal()]
    return min([machine, *given])


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:
        return ""
