"""Arrays to another size, with one interpolation for preparing, predicting and serving.

Averages over areas where an axis shrinks and interpolates linearly where it grows, each axis by its own rule.
The aspect is not kept: a picture fills the wanted size.
"""

import cv2
import numpy as np


def resize(array: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Resize (height, width, channels) to two lengths, or (height, width, depth, channels) to three, as float32.

    Args:
        size: height, width and, for a volume, depth.
    """
    if array.ndim != len(size) + 1:
        raise ValueError(f"size {size} must name one length for each axis but the channels of {array.shape}")
    array = np.asarray(array, np.float32)
    height, width = size[:2]
    if array.ndim == 3:
        return _plane(array, height, width)
    # the depth and the channels are folded together, so each slice is resized in the plane
    plane = _plane(array.reshape(*array.shape[:2], -1), height, width).reshape(height, width, *array.shape[2:])
    depth = size[2]
    if depth == array.shape[2]:
        return plane
    columns = np.moveaxis(plane, 2, 0).reshape(array.shape[2], -1, 1)  # the depth as rows of a tall picture
    resized = _plane(columns, depth, columns.shape[1]).reshape(depth, height, width, array.shape[3])
    return np.ascontiguousarray(np.moveaxis(resized, 0, 2))


def _plane(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize rows, then columns, where the one shrinks and the other grows; both at once otherwise."""
    rows, columns = array.shape[:2]
    if (rows, columns) == (height, width):
        return array
    if (height < rows and width > columns) or (height > rows and width < columns):
        return _plane(_plane(array, height, columns), height, width)
    shrinks = height < rows or width < columns
    return _with_opencv(array, height, width, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _with_opencv(array: np.ndarray, height: int, width: int, interpolation: int) -> np.ndarray:
    channels = array.shape[2]
    if channels <= 4:  # INTER_AREA takes no more, and no mode more than 128: seen in OpenCV 5.0
        return cv2.resize(array, (width, height), interpolation=interpolation).reshape(height, width, channels)
    result = np.empty((height, width, channels), np.float32)
    for start in range(0, channels, 4):
        group = np.ascontiguousarray(array[:, :, start : start + 4])
        result[:, :, start : start + 4] = _with_opencv(group, height, width, interpolation)
    return result
