"""A step that finds no memory to the setting that needs less."""

from collections.abc import Iterator
from contextlib import contextmanager

from keras_med.errors import RunFailed

# By name: three backends have one each, and two of them are not installed. JAX has a general error with this word.
_KINDS = ("MemoryError", "ResourceExhaustedError", "OutOfMemoryError")
_WORD = "RESOURCE_EXHAUSTED"


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
