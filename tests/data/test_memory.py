"""Bytes in memory are read as the same bytes on a disk: the same pixels, or the same refusal."""

import gzip
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest

from keras_med.data.dicom_headers import read_header
from keras_med.data.memory import File, MemoryFile, MemoryFolder
from keras_med.data.readers import read_picture
from keras_med.errors import DataError

THEIRS = Path(pydicom.__file__).parent / "data" / "test_files"


def outcome(file: File | MemoryFolder) -> tuple[str, np.ndarray]:
    try:
        picture = read_picture(file, "per_image")
    except DataError as error:
        return str(error), np.zeros(0)
    return repr((picture.bits, picture.spacing, picture.notes)), picture.array


def assert_alike(path: Path) -> str:
    held = MemoryFile(path.name, path.read_bytes())
    (told, pixels), (told_held, pixels_held) = outcome(path), outcome(held)
    assert told_held == told, path
    assert np.array_equal(pixels_held, pixels), path
    return told if not pixels.size else ""


def test_the_files_that_come_with_pydicom_are_read_alike() -> None:
    paths = [path for path in sorted(THEIRS.rglob("*")) if path.is_file() and path.suffix in (".dcm", "")]
    refused = [assert_alike(path) for path in paths]
    assert sum(not one for one in refused) >= 10  # plain, big endian, without preamble, films, JPEG, palettes
    for path in paths:
        try:
            header = read_header(path)
        except DataError:
            continue
        assert read_header(MemoryFile(path.name, path.read_bytes())) == header


def test_pictures_stacks_and_volumes_are_read_alike(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    draw = np.random.default_rng(0)
    colours = draw.integers(0, 255, (20, 30, 3), np.uint8)
    for suffix in (".png", ".jpg", ".tiff"):
        cv2.imwrite(str(tmp_path / f"a{suffix}"), colours)
    volume = draw.normal(size=(5, 6, 7)).astype(np.float32)
    np.save(tmp_path / "a.npy", volume)
    np.savez_compressed(tmp_path / "a.npz", volume=volume)
    (tmp_path / "a.nii").write_bytes(nibabel.Nifti1Image(volume, np.diag([1, -2, 3, 1])).to_bytes())
    packed = gzip.compress(nibabel.Nifti2Image(volume, np.diag([1, 2, -3, 1])).to_bytes())
    (tmp_path / "b.nii.gz").write_bytes(packed)
    for whole in sorted(tmp_path.iterdir()):
        assert assert_alike(whole) == ""
        cut = tmp_path / f"cut-{whole.name}"
        cut.write_bytes(whole.read_bytes()[:-200])
        assert assert_alike(cut) != ""
        cut.write_bytes(b"")
        assert assert_alike(cut) != ""


def test_a_series_is_read_as_its_folder_is(tmp_path: Path) -> None:
    one = pydicom.dcmread(THEIRS / "CT_small.dcm")
    for place, name in enumerate(("b", "c", "a")):
        one.ImagePositionPatient = [0, 0, 5 * place]
        one.PixelData = (one.pixel_array + 10 * place).tobytes()
        one.save_as(tmp_path / name)
    held = MemoryFolder(tuple(MemoryFile(path.name, path.read_bytes()) for path in tmp_path.iterdir()))
    (told, pixels), (told_held, pixels_held) = outcome(tmp_path), outcome(held)
    assert pixels.shape == (128, 128, 3, 1)
    assert told_held == told
    assert np.array_equal(pixels_held, pixels)
