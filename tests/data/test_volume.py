import io
import os
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID

from keras_med.data import stacks, volume
from keras_med.data.readers import read_picture
from keras_med.errors import DataError


def slice_file(path: Path, value: int, position: float | None, **tags: object) -> Path:
    one = pydicom.Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = UID(f"1.2.3.{value}")
    one.Modality, one.SeriesInstanceUID, one.InstanceNumber = "CT", "1.2.9", value
    one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = 2, 3, 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation = 15, 1
    one.RescaleSlope, one.RescaleIntercept, one.PixelSpacing = 1, 0, [0.5, 0.25]
    if position is not None:
        one.ImagePositionPatient, one.ImageOrientationPatient = [0, 0, position], [1, 0, 0, 0, 1, 0]
    one.PixelData = np.full((2, 3), value, np.int16).tobytes()
    one["PixelData"].VR = "OW"
    for keyword, content in tags.items():
        setattr(one, keyword, content)
    if one.Rows != 2:
        one.PixelData = bytes(one.Rows * one.Columns * 2)
    one.save_as(path, enforce_file_format=True)
    return path


def series(folder: Path, positions: list[float | None]) -> list[Path]:
    return [slice_file(folder / f"{k}.dcm", k + 1, position) for k, position in enumerate(positions)]


def test_slices_are_sorted_by_their_place_along_the_normal(tmp_path):
    picture = volume.read_series(series(tmp_path, [10, -5, 5, 0]), (0, 255))
    assert picture.array.shape == (2, 3, 4, 1)
    np.testing.assert_allclose(picture.array[0, 0, :, 0], [2, 4, 3, 1])
    assert picture.spacing == (0.5, 0.25, 5.0)
    assert picture.bits == 16


def test_a_folder_is_one_series_and_its_extremes_are_those_of_the_volume(tmp_path):
    series(tmp_path, [0, 1, 2])
    np.testing.assert_allclose(read_picture(tmp_path, "per_image").array[1, 1, :, 0], [0, 127.5, 255])


@pytest.mark.parametrize(
    ("positions", "cause"),
    [([0, 5, 15, 20, 25], r"10\.00 mm before 2\.dcm"), ([0, 5, 5, 10], r"1\.dcm and 2\.dcm")],
)
def test_missing_and_doubled_slices_are_named(tmp_path, positions, cause):
    with pytest.raises(DataError, match=cause) as caught:
        volume.read_series(series(tmp_path, positions), (0, 255))
    assert caught.value.remedy


def test_uneven_slices_may_be_allowed_and_are_noted(tmp_path):
    picture = volume.read_series(series(tmp_path, [0, 5, 15, 20]), (0, 255), gaps="allow")
    assert "slices at uneven distances" in picture.notes


def test_slices_of_other_sizes_series_and_orientations_are_named(tmp_path):
    paths = series(tmp_path, [0, 1, 2])
    odd = slice_file(tmp_path / "odd.dcm", 9, 3, Rows=4)
    with pytest.raises(DataError, match=r"2 sizes.*odd\.dcm \(4 x 3\)"):
        volume.read_series([*paths, odd], (0, 255))
    other = slice_file(tmp_path / "odd.dcm", 9, 3, SeriesInstanceUID="1.2.10")
    with pytest.raises(DataError, match="2 series"):
        volume.read_series([*paths, other], (0, 255))
    tilted = slice_file(tmp_path / "odd.dcm", 9, 3, ImageOrientationPatient=[1, 0, 0, 0, 0.8, 0.6])
    with pytest.raises(DataError, match=r"orientations: odd\.dcm"):
        volume.read_series([*paths, tilted], (0, 255))


def test_without_positions_the_numbers_decide_and_it_is_noted(tmp_path):
    paths = series(tmp_path, [None, None, None])
    picture = volume.read_series(paths[::-1], (0, 255))
    np.testing.assert_allclose(picture.array[0, 0, :, 0], [1, 2, 3])
    assert "no positions: sorted by InstanceNumber" in picture.notes
    slice_file(paths[1], 1, None)
    with pytest.raises(DataError, match="without positions"):
        volume.read_series(paths, (0, 255))


def test_nifti_comes_as_a_scanner_shows_it(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)  # to the right, to the front, to the head
    for name, affine in {"a.nii": np.diag([2.0, 3, 4, 1]), "a.nii.gz": np.diag([-2.0, 3, 4, 1])}.items():
        nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / name)
        picture = read_picture(tmp_path / name, (0, 255))
        assert picture.array.shape == (3, 2, 4, 1)
        assert picture.spacing == (3.0, 2.0, 4.0)
        # the first row is the most frontal, its first column at the patient's right, the first slice the lowest
        right = array[::-1] if affine[0, 0] > 0 else array
        assert picture.array[0, 0, 0, 0] == right[0, -1, 0]
        assert picture.array[2, 1, 3, 0] == right[1, 0, 3]
    scaled = nibabel.Nifti1Image(array, np.eye(4))
    scaled.header.set_slope_inter(2, 1)
    nibabel.save(scaled, tmp_path / "s.nii")
    assert read_picture(tmp_path / "s.nii", (0, 255)).array.max() == 47


def test_nifti_that_is_cut_or_claims_too_much_is_refused(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    path = tmp_path / "a.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), path)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(DataError, match="NIfTI"):
        read_picture(path, (0, 1))
    huge = bytearray(content)
    huge[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    path.write_bytes(huge)
    with pytest.raises(DataError, match="30000 x 30000 x 30000"):
        read_picture(path, (0, 1))


def test_rows_of_a_stack_are_read_in_any_order(tmp_path):
    array = np.arange(60, dtype=np.float32).reshape(5, 3, 4)
    np.save(tmp_path / "a.npy", array)
    stack = stacks.open_stack(tmp_path / "a.npy")
    assert len(stack) == 5
    np.testing.assert_array_equal(stack.read([4, 0, 4]), array[[4, 0, 4]])
    with pytest.raises(DataError, match="row 5 of 5"):
        stack.read([5])
    picture = read_picture(tmp_path / "a.npy", (0, 60), row=2)
    np.testing.assert_allclose(picture.array[..., 0], array[2] / 60 * 255, rtol=1e-6)


def test_three_axes_are_colours_or_a_volume_as_the_caller_says(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 5, 6, 3), np.uint8))
    assert read_picture(tmp_path / "a.npy", "as_is", row=0).array.shape == (5, 6, 3)
    assert read_picture(tmp_path / "a.npy", "as_is", row=0, dimensions=3).array.shape == (5, 6, 3, 1)
    with pytest.raises(DataError, match="not a picture of 2 dimensions"):
        read_picture(tmp_path / "a.npy", "as_is", dimensions=2)


def test_a_sparse_stack_of_12_gigabytes_costs_a_row(tmp_path):
    shape = (3000, 1024, 1024)
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 4 * int(np.prod(shape)))
    code = (
        "import sys; from pathlib import Path; from keras_med.data.stacks import open_stack\n"
        "stack = open_stack(Path(sys.argv[1]))\n"
        "def anonymous():\n"
        "    lines = Path('/proc/self/status').read_text().splitlines()\n"
        "    return sum(int(line.split()[1]) for line in lines if line.startswith(('RssAnon', 'RssShmem')))\n"
        "before = anonymous()\n"
        "highest = max((stack.read([row]).sum(), anonymous())[1] for row in range(0, 3000, 100))\n"
        "print(highest - before)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a.npy"], cwd=root, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 64 * 1024  # KiB; one row is 4 MiB


@pytest.mark.parametrize(
    ("array", "cause"),
    [
        (np.array([{"a": 1}], dtype=object), "no pickle"),
        (np.array(["text"]), "type 'U'"),
        (np.asfortranarray(np.zeros((3, 4))), "Fortran"),
        (np.zeros(3, [("a", "u1"), ("b", "f4")]), "type 'V'"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(tmp_path, array, cause):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=array)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match=cause):
            read_picture(tmp_path / name, "as_is")


def test_a_cut_stack_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-1])
    with pytest.raises(DataError, match="127 of 128 bytes"):
        stacks.open_stack(tmp_path / "a.npy")


def test_arrays_of_an_archive_are_read_by_name_and_row(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    np.savez_compressed(tmp_path / "a.npz", images=array, labels=np.arange(4))
    np.testing.assert_array_equal(stacks.read_npz(tmp_path / "a.npz", key="images", row=3), array[3])
    picture = read_picture(tmp_path / "a.npz", "as_is", key="images", row=1, dimensions=2)
    np.testing.assert_array_equal(picture.array[..., 0], array[1])
    for key, cause in ((None, "2 arrays"), ("nothing", "no array 'nothing'")):
        with pytest.raises(DataError, match=cause) as caught:
            stacks.read_npz(tmp_path / "a.npz", key=key)
        assert "images, labels" in caught.value.remedy


def test_an_archive_that_unpacks_beyond_bounds_is_refused_in_little_memory(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (40, 8192, 8192)})
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w", force_zip64=True) as file,
    ):
        file.write(header.getvalue())
        for _ in range(64):
            file.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="40 x 8192 x 8192"):
        stacks.read_npz(tmp_path / "a.npz")
    with pytest.raises(DataError, match="cut short"):
        stacks.read_npz(tmp_path / "a.npz", row=39)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 * 1024


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(DataError, match="archive"):
        read_picture(tmp_path / "a.npz", "as_is")


@pytest.mark.skipif(not os.environ.get("KERAS_MED_REAL_DATA"), reason="KERAS_MED_REAL_DATA is not set")
def test_real_masks_hold_0_and_255():
    path = Path(os.environ["KERAS_MED_REAL_DATA"], "volumes_adrenal_28.npz")
    picture = read_picture(path, "as_is", key="val_images", row=5)
    assert picture.array.shape == (28, 28, 28, 1)
    assert set(np.unique(picture.array)) == {0, 255}
