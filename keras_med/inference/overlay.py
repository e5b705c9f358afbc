"""A picture and a plane of heat to one picture."""

import cv2
import numpy as np
import numpy.typing as npt


def scale_of(planes: npt.NDArray[np.float32]) -> float:
    """Return what is drawn at full strength: nearly the hottest place of all planes, 1 where all are empty."""
    top = float(max(np.quantile(plane, 0.995) for plane in planes)) if len(planes) else 0.0
    return top if top > 0 else 1.0


def heated(pixels: npt.NDArray[np.uint8], plane: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.uint8]:
    """Lay a plane of heat over a picture (grey or BGR); where there is none the picture stays as it is."""
    base = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if pixels.ndim == 2 or pixels.shape[2] == 1 else pixels
    share = np.clip(cv2.resize(plane.astype(np.float32), base.shape[1::-1]) / scale, 0, 1)[:, :, None]
    colours = cv2.applyColorMap(np.rint(255 * share).astype(np.uint8), cv2.COLORMAP_INFERNO)
    strength = 0.75 * np.sqrt(share)
    return np.asarray(np.rint(base * (1 - strength) + colours * strength), dtype=np.uint8)
