"""Data folders and pictures written whole or not at all."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
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
            temporary.replace(folder)
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
    if pixels.ndim == 3:
        pixels = pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]  # OpenCV takes blue first
    done, data = cv2.imencode(suffix, np.ascontiguousarray(pixels))
    if not done:
        raise EnvironmentProblem(f"OpenCV cannot write {suffix} files here.", remedy="Reinstall opencv-python.")
    return data.tobytes()


def dosed(film: Callable[[float], NDArray[np.uint8]], *, size: float, suffix: str = ".png") -> NDArray[np.uint8]:
    """Dose the noise of `film` (0 to 0.4) until its file has about `size` bytes.

    Coarse structures compress better than fine ones: without this the file's size would tell them apart.
    """
    low, high = 0.0, 0.4
    dose = 0.1
    for _ in range(4):
        if len(encoded(film(dose), suffix)) < size:
            low = dose
        else:
            high = dose
        dose = (low + high) / 2
    return film(dose)
