"""Files such as those of the RSNA 2019 head CT set, written in numbers for the benchmarks."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import UID


def write(folder: Path, count: int, *, size: int = 512, seed: int = 0) -> list[Path]:
    """Write slices with the tags, UIDs, bits and intercepts of that set; `size` 512 is the real one."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:size, 0:size] / size - 0.5
    head = np.where(rows**2 + columns**2 < 0.16, 40.0, -1000.0)
    paths = []
    for number in range(count):
        values = np.rint(head + random.normal(0, 8, head.shape)).astype(np.int32)
        unsigned = number % 2 == 1
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
        one.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
        one.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}")
        one.SOPInstanceUID, one.Modality, one.PatientID = f"1.2.3.{number}", "CT", f"ID_{number // 30:08x}"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.StudyID = f"1.2.4.{number // 30}", f"1.2.5.{number // 30}", ""
        one.ImagePositionPatient, one.ImageOrientationPatient = (
            [-125.0, -141.3, 5.0 * number],
            [1.0, 0, 0, 0, 0.93, -0.35],
        )
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.Rows = one.Columns = size
        one.PixelSpacing, one.BitsAllocated, one.BitsStored = [0.488281, 0.488281], 16, 12 if unsigned else 16
        one.HighBit, one.PixelRepresentation = one.BitsStored - 1, 0 if unsigned else 1
        one.WindowCenter, one.WindowWidth = ([36, 36], [80, 80]) if unsigned else (30, 80)
        one.RescaleIntercept, one.RescaleSlope = -1024, 1
        one.PixelData = (values + 1024).astype(np.uint16 if unsigned else np.int16).tobytes()
        one["PixelData"].VR = "OW"
        paths.append(folder / f"ID_{number:09x}.dcm")
        one.save_as(paths[-1], enforce_file_format=True)
    return paths
