"""Any supported file to one picture on the 0-255 scale: the reader is chosen by the file's content, not its name."""

from dataclasses import replace
from pathlib import Path

from keras_med.data import raster
from keras_med.data.values import Picture, Values, to_scale
from keras_med.errors import DataError


def read_picture(path: Path, values: Values) -> Picture:
    """Read a file as float32 on the 0-255 scale, channels last, with `bits` as the file stores them.

    Pictures are (height, width, channels); films and volumes (height, width, depth, channels).
    """
    picture = raster.read(path)
    try:
        scaled = to_scale(picture.array, values, bits=picture.array.dtype.itemsize * 8)
    except DataError as error:
        raise DataError(error.what, where=path.name, remedy=error.remedy) from None
    return replace(picture, array=scaled)
