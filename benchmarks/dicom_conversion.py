"""RSNA-like DICOM slices to 180 x 180 arrays on one core: this program's reader against plain pydicom and OpenCV.

    python benchmarks/dicom_conversion.py [--files 300] [--monai]

All sides read, rescale, window and resize the same warm 512 x 512 files in this process, on one thread, in turns, and
are checked to give the same picture. Seconds are those of the processor, so that other work on the machine does not
count. Wanted: at least the plain rate, and 3 times MONAI's where it is installed.
"""

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import rsna_like

from keras_med.data.readers import read_picture
from keras_med.data.resizing import resize

CENTRE, WIDTH, SIZE = 40, 80, 180


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--monai", action="store_true", help="measure MONAI too (the bench extra)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    sides: dict[str, Callable[[Path], np.ndarray]] = {"keras_med": ours, "plain pydicom + OpenCV": plain}
    if arguments.monai:
        sides["MONAI LoadImage + Resize"] = monai_pipeline()
    with tempfile.TemporaryDirectory() as folder:
        paths = rsna_like.write(Path(folder), arguments.files)
        difference = max(float(np.abs(ours(path) - plain(path)).max()) for path in paths[:20])
        rates = dict.fromkeys(sides, 0.0)
        for _ in range(
            3
        ):  # the best of three rounds in turns: other work on the machine slows a round, never quickens it
            for name, read in sides.items():
                rates[name] = max(rates[name], rate(read, paths))
    for name, value in rates.items():
        print(f"{name:26} {value:8,.0f} files/s   {rates['keras_med'] / value:5.2f}")
    print(f"largest difference of a pixel, of 255: {difference:.4f}")
    reached = rates["keras_med"] >= rates["plain pydicom + OpenCV"] and difference < 0.01
    if arguments.monai:
        reached = reached and rates["keras_med"] >= 3 * rates["MONAI LoadImage + Resize"]
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


def ours(path: Path) -> np.ndarray:
    return resize(read_picture(path, [(CENTRE, WIDTH)]).array, (SIZE, SIZE))[:, :, 0]


def plain(path: Path) -> np.ndarray:
    dataset = pydicom.dcmread(path)
    pixels = dataset.pixel_array.astype(np.float32) * np.float32(dataset.RescaleSlope) + np.float32(
        dataset.RescaleIntercept
    )
    windowed = np.clip((pixels - (CENTRE - WIDTH / 2)) * np.float32(255 / WIDTH), 0, 255)
    return cv2.resize(windowed, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def monai_pipeline() -> Callable[[Path], np.ndarray]:
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Resize, ScaleIntensityRange

    low, high = CENTRE - WIDTH / 2, CENTRE + WIDTH / 2
    steps = [
        LoadImage(image_only=True, reader="PydicomReader"),
        EnsureChannelFirst(),
        ScaleIntensityRange(low, high, 0, 255, clip=True),
        Resize((SIZE, SIZE), mode="area"),
    ]
    return Compose(steps)


def rate(read: Callable[[Path], np.ndarray], paths: list[Path]) -> float:
    begun = time.process_time()
    for path in paths:
        read(path)
    return len(paths) / (time.process_time() - begun)


if __name__ == "__main__":
    sys.exit(main())
