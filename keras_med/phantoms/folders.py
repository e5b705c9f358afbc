"""Data folders and pictures written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from keras_med.errors import DataError, EnvironmentProblem


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder` to write into; it takes that name only when all is written.

    When another process finished the same folder meanwhile, its copy stays and this one is dropped.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("Demo data are not written over what is there.", where=str(folder), remedy="Name a new folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        try:
            os.replace(temporary, folder)
        except OSError:
            if not (folder.is_dir() and any(folder.iterdir())):
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_picture(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write PNG or JPEG by the suffix of `path`; colours are in the order red, green, blue, alpha."""
    path.write_bytes(encoded(pixels, path.suffix))


def encoded(pixels: NDArray[np.uint8] | NDArray[np.uint16], suffix: str) -> bytes:
    """Encode a picture as a file with this suffix would hold it."""
    orders = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    if pixels.ndim == 3 and pixels.shape[2] in orders:
        pixels = np.asarray(cv2.cvtColor(pixels, orders[pixels.shape[2]]), pixels.dtype)
    done, data = cv2.imencode(suffix, pixels)
    if not done:
        raise EnvironmentProblem(f"OpenCV cannot write {suffix} files here.", remedy="Reinstall opencv-python.")
    return data.tobytes()
