"""Head CT slices in the format of the RSNA 2019 haemorrhage challenge, with the traits that its readers trip over.

Bleeding is a lump of dense tissue; slices without it hold the same amount of it as specks (vessels, calcifications).
The brain's Hounsfield units are dealt by rank from a distribution drawn without regard to the label.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from keras_med.phantoms.folders import whole_folder
from keras_med.phantoms.heads import Cut, Head, cut, lump, random_head, specks
from keras_med.phantoms.textures import Image, match_levels, white_noise

TYPES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")

Units = NDArray[np.int32]  # Hounsfield units, or what a file stores of them


@dataclass(frozen=True, kw_only=True)
class _Scanner:
    """How one scanner stores its slices."""

    bits: Literal[12, 16]
    signed: bool
    intercept: int
    padded: bool = False  # stores -2000 outside the circle that it sees


_SCANNERS = (
    _Scanner(bits=16, signed=True, intercept=-1024),
    _Scanner(bits=16, signed=True, intercept=-1024, padded=True),
    _Scanner(bits=12, signed=False, intercept=-1024),
    _Scanner(bits=12, signed=False, intercept=-1000),
    _Scanner(bits=12, signed=False, intercept=0),
    _Scanner(bits=12, signed=False, intercept=1),
)
_SCANNER_SHARES = (0.32, 0.16, 0.34, 0.08, 0.06, 0.04)
_OTHER_SHAPES = ((160, 122), (109, 109), (102, 94), (116, 116), (107, 101), (166, 128), (192, 192))


@dataclass(frozen=True, kw_only=True)
class _Slice:
    """One slice to be drawn and written."""

    name: str
    patient: str
    study: str
    series: str
    position: float
    head: Head
    level: float
    bleeding: tuple[str, ...]
    radius: float
    site: int  # seed of the place that a study's slices share
    scanner: _Scanner
    shape: tuple[int, int]


def rsna(folder: Path, *, seed: int, patients: int = 140, slices: int = 4, side: int = 128) -> None:
    """Write `stage_2_train.csv` and `stage_2_train_images`, `slices` slices a study and one or two studies a patient.

    One file's pixels are cut short, another is noise in its lower third, and four images are labelled twice.
    """
    rng = np.random.default_rng([seed, 0])
    planned = [item for _ in range(patients) for item in _patient(rng, slices=slices, side=side)]
    planned = [planned[place] for place in rng.permutation(len(planned))]
    with whole_folder(folder) as root:
        images = root / "stage_2_train_images"
        images.mkdir()
        for number, item in enumerate(planned):
            _write(images, item, np.random.default_rng([seed, 1, number]))
        whole = [item for item in planned if item.scanner.bits == 16]
        _cut_short(images / f"{whole[0].name}.dcm")
        _spoil(images / f"{whole[1].name}.dcm", rng)
        _labels([*planned, *planned[:4]]).to_csv(root / "stage_2_train.csv", index=False)


def _patient(rng: np.random.Generator, *, slices: int, side: int) -> list[_Slice]:
    """Plan a patient: all slices show one head on one scanner, and bleeding runs through most of them or none."""
    head, patient = random_head(rng), _name(rng, 8)
    scanner = _SCANNERS[rng.choice(len(_SCANNERS), p=_SCANNER_SHARES)]
    usual = rng.random() < 0.93
    shape = (side, side) if usual else _OTHER_SHAPES[rng.integers(len(_OTHER_SHAPES))]
    kinds = tuple(rng.choice(TYPES[:-1], size=rng.integers(1, 3), replace=False)) if rng.random() < 0.5 else ()
    planned = []
    for _ in range(2 if rng.random() < 0.15 else 1):
        study, series = _name(rng, 10), _name(rng, 10)
        clear = rng.integers(0, slices, size=slices // 4)
        radius, site, bottom = rng.uniform(0.32, 0.44), int(rng.integers(2**31)), rng.uniform(-80.0, 80.0)
        for place in range(slices):
            planned.append(
                _Slice(
                    name=_name(rng, 9),
                    patient=patient,
                    study=study,
                    series=series,
                    position=bottom + 5.0 * place,
                    head=head,
                    level=0.6 * place / slices,
                    bleeding=() if place in clear else kinds,
                    radius=radius * rng.uniform(0.9, 1.1),
                    site=site,
                    scanner=scanner,
                    shape=shape,
                )
            )
    return planned


def _name(rng: np.random.Generator, digits: int) -> str:
    return "ID_" + "".join(rng.choice(list("0123456789abcdef"), digits))


def _labels(planned: list[_Slice]) -> pd.DataFrame:
    rows = []
    for item in planned:
        present = {*item.bleeding, "any"} if item.bleeding else set()
        rows += [(f"{item.name}_{kind}", int(kind in present)) for kind in TYPES]
    return pd.DataFrame(rows, columns=["ID", "Label"])


def _hounsfield(item: _Slice, rng: np.random.Generator) -> Units:
    """Draw a slice in Hounsfield units."""
    regions = cut(item.head, item.shape, level=item.level)
    units = np.full(item.shape, -1000.0, np.float32)
    units[regions.scalp] = 10.0
    units[regions.skull] = 900.0
    units += 12.0 * white_noise(rng, item.shape)
    dense = (lump if item.bleeding else specks)(
        np.random.default_rng(item.site), item.head, item.shape, radius=item.radius
    )
    units[regions.brain] = _brain(regions, dense, rng)
    for row, column in rng.permutation(np.argwhere(regions.brain))[:3]:
        units[row : row + 2, column : column + 2] = rng.uniform(120.0, 400.0)
    return np.asarray(np.rint(units), np.int32)


def _brain(regions: Cut, dense: NDArray[np.bool_], rng: np.random.Generator) -> Image:
    """Deal Hounsfield units to the brain's places: least to the ventricles, most to what is dense."""
    rank = 0.35 * regions.pattern + 0.5 * white_noise(rng, regions.brain.shape)
    rank = rank - 3.0 * regions.ventricles + 6.0 * dense
    fluid, bright = int(1024 * rng.uniform(0.03, 0.08)), int(1024 * rng.uniform(0.10, 0.15))
    tissue = rng.normal(rng.uniform(30.0, 36.0), 4.5, 1024 - fluid - bright)
    levels = np.concatenate([rng.normal(8.0, 4.0, fluid), tissue, rng.uniform(50.0, 80.0, bright)])
    return match_levels(rank[regions.brain], np.sort(levels).astype(np.float32))


def _write(images: Path, item: _Slice, rng: np.random.Generator) -> None:
    """Write a slice as the challenge's DICOM files are: few tags, and identifiers that are no legal UIDs."""
    with pydicom.config.disable_value_validation():
        dataset = _header(item, rng)
        dataset.PixelData = _stored(_hounsfield(item, rng), item.scanner).tobytes()
        dataset.save_as(images / f"{item.name}.dcm", enforce_file_format=True)


def _header(item: _Slice, rng: np.random.Generator) -> pydicom.Dataset:
    scanner, dataset = item.scanner, pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = f"2.25.{rng.integers(2**62)}"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPInstanceUID = item.name
    dataset.Modality = "CT"
    dataset.PatientID = item.patient
    dataset.StudyInstanceUID = item.study
    dataset.SeriesInstanceUID = item.series
    dataset.StudyID = ""
    dataset.ImagePositionPatient = [-125.0, -125.0, round(item.position, 3)]
    dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = item.shape
    dataset.PixelSpacing = [round(250.0 / item.shape[1], 6)] * 2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, scanner.bits, scanner.bits - 1
    dataset.PixelRepresentation = int(scanner.signed)
    dataset.WindowCenter = ["36", "36"] if scanner.bits == 12 else "40"
    dataset.WindowWidth = ["80", "80"] if scanner.bits == 12 else "150"
    dataset.RescaleIntercept, dataset.RescaleSlope = str(scanner.intercept), "1"
    return dataset


def _stored(units: Units, scanner: _Scanner) -> NDArray[np.int16] | NDArray[np.uint16]:
    """Turn Hounsfield units into what the scanner's files hold."""
    values = units - scanner.intercept
    if scanner.padded:
        rows, columns = np.indices(units.shape)
        middle = (np.array(units.shape) - 1) / 2
        values[np.hypot(rows - middle[0], columns - middle[1]) > min(units.shape) / 2] = -2000
    if scanner.signed:
        return values.astype("<i2")
    # without room below 0 such scanners wrap around: air at intercept 0 is stored as 3096
    return (values % 4096 if scanner.intercept > -100 else np.clip(values, 0, 4095)).astype("<u2")


def _cut_short(path: Path) -> None:
    """Leave 29 % of the pixels, as in the challenge's ID_6431af929."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - int(0.71 * len(pydicom.dcmread(path).PixelData))])


def _spoil(path: Path, rng: np.random.Generator) -> None:
    """Overwrite the lower third with noise of all 16 bits, as in the challenge's ID_b79eed528."""
    whole = path.read_bytes()
    third = len(pydicom.dcmread(path).PixelData) // 6 * 2
    path.write_bytes(whole[:-third] + rng.bytes(third))
