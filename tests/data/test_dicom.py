import contextlib
import logging
import os
import warnings
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import UID

from keras_med.data import dicom, dicom_pixels
from keras_med.data.dicom_headers import open_dataset, quiet, read_header, tags_of
from keras_med.data.dicom_scan import scan
from keras_med.data.readers import read_picture
from keras_med.errors import DataError

EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
NATIVE = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED)
WATER = [(0, 400)]  # a window whose middle grey is water
REAL = Path(os.environ.get("KERAS_MED_REAL_DATA", "/nonexistent"), "dicom")
needs_real_data = pytest.mark.skipif(not REAL.is_dir(), reason="KERAS_MED_REAL_DATA is not set: no real DICOM files")


def write(path: Path, pixels: np.ndarray, *, syntax: str = EXPLICIT, **tags: object) -> Path:
    """Write grey pixels, (rows, columns) or (frames, rows, columns), or colour ones with three channels last."""
    one = pydicom.Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = UID(syntax)
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = UID("1.2.3.4")
    one.Modality, one.PatientName, one.PatientID = "CT", "Zzplanted^Name", "ZzplantedId"
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    if pixels.ndim == 3 and not colour:
        one.NumberOfFrames = len(pixels)
    one.Rows, one.Columns = pixels.shape[:2] if colour else pixels.shape[-2:]
    one.SamplesPerPixel, one.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        one.PlanarConfiguration = 0
    one.BitsAllocated = one.BitsStored = pixels.dtype.itemsize * 8
    one.PixelRepresentation = int(pixels.dtype.kind == "i")
    one.PixelData = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == BIG_ENDIAN else "<")).tobytes()
    one["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    for keyword, value in tags.items():
        setattr(one, keyword, value)
    one.HighBit = one.BitsStored - 1
    one.save_as(path, enforce_file_format=True)
    return path


def grey(path: Path, values: object = WATER) -> np.ndarray:
    return dicom.read(path, values).array[..., 0]


@pytest.mark.parametrize("syntax", NATIVE)
def test_rescaled_and_windowed_in_hounsfield_units(tmp_path, syntax):
    pixels = np.array([[24, 1024], [1124, 1224]], np.int16)
    path = write(tmp_path / "a.dcm", pixels, syntax=syntax, RescaleSlope=1, RescaleIntercept=-1024)
    picture = dicom.read(path, [(0, 400), (100, 2000)])
    assert picture.bits == 16
    np.testing.assert_allclose(picture.array[..., 0], [[0, 127.5], [191.25, 255]])
    np.testing.assert_allclose(picture.array[..., 1], [[0, 114.75], [127.5, 140.25]])


def test_the_scale_of_rescaled_values_is_of_the_slope(tmp_path):
    path = write(tmp_path / "a.dcm", np.array([[0, 100]], np.uint16), RescaleSlope=2, RescaleIntercept=-100)
    np.testing.assert_allclose(grey(path), [[63.75, 191.25]])


@pytest.mark.parametrize(
    ("pixels", "intercept"),
    [
        (np.array([[0, 255]], np.uint8), -1024),
        (np.array([[40000, 65535]], np.uint16), -40000),  # fits 16 bits with a sign only after the shift
        (np.array([[0, 65535]], np.uint16), -1024),  # does not
        (np.array([[-32768, 32767]], np.int16), -1),
        (np.array([[-32768, -1]], np.int16), 32768),
        (np.array([[5, 6]], np.int16), 0.5),
    ],
)
def test_an_intercept_moves_values_of_any_type(tmp_path, pixels, intercept):
    path = write(tmp_path / "a.dcm", pixels, RescaleSlope=1, RescaleIntercept=intercept)
    measured = dicom.measure(path).array[0, ..., 0]
    np.testing.assert_array_equal(measured, pixels.astype(float) + intercept)


def test_pictures_keep_whole_pixels_to_be_told_apart_by(tmp_path):
    pixels = np.array([[0, 1084]], np.int16)
    write(tmp_path / "a.dcm", pixels, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=80)
    write(tmp_path / "b.dcm", pixels, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=600, WindowWidth=900)
    first, second = (dicom.read(tmp_path / name, "file") for name in ("a.dcm", "b.dcm"))
    assert first.array.tolist() != second.array.tolist()
    assert first.exact[..., 0].tolist() == second.exact[..., 0].tolist() == [[-1024, 60]]


@pytest.mark.parametrize("tags", [{"RescaleSlope": 0.5}, {"PhotometricInterpretation": "MONOCHROME1"}])
def test_pixels_of_fractions_or_inverted_ones_are_not_kept(tmp_path, tags):
    path = write(tmp_path / "a.dcm", np.array([[0, 4095]], np.int16), **tags)
    assert dicom.read(path, WATER).exact is None


def test_twelve_bit_wraparound_is_repaired_and_noted(tmp_path):
    # air of -1000 HU was stored as 3096, that is -1000 + 4096; water is 0, bone 1000
    pixels = np.array([[3096, 0, 1000, 4095]], np.uint16)
    path = write(tmp_path / "a.dcm", pixels, BitsStored=12, RescaleSlope=1, RescaleIntercept=0)
    picture = dicom.read(path, (-1000, 1000))
    np.testing.assert_allclose(picture.array[0, :, 0], [0, 127.5, 255, 127.3725], rtol=1e-6)
    assert dicom.REPAIRED in picture.notes


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleIntercept": -1024},
        {"BitsStored": 16},
        {"PixelRepresentation": 1, "BitsStored": 16},
        {"Modality": "MR"},
    ],
)
def test_other_files_are_not_repaired(tmp_path, tags):
    given_tags = {"BitsStored": 12, "RescaleSlope": 1, "RescaleIntercept": 0, **tags}
    path = write(tmp_path / "a.dcm", np.array([[3096, 0]], np.uint16), **given_tags)
    picture = dicom.read(path, (0, 4000))
    wanted = (3096 + given_tags["RescaleIntercept"]) / 4000 * 255
    np.testing.assert_allclose(picture.array[0, 0, 0], wanted, rtol=1e-6)
    assert dicom.REPAIRED not in picture.notes


def test_monochrome1_is_inverted_after_the_window(tmp_path):
    pixels = np.array([[0, 100, 200]], np.uint16)
    for values in ((0, 200), "per_image"):
        path = write(tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1")
        np.testing.assert_allclose(grey(path, values), [[255, 127.5, 0]])


@pytest.mark.parametrize("padding", [-2000, 63536])
def test_padding_is_found_in_stored_units_and_made_black(tmp_path, padding):
    pixels = np.array([[-2000, 24, 1024]], np.int16)
    path = write(tmp_path / "a.dcm", pixels, RescaleSlope=1, RescaleIntercept=-1024, PixelPaddingValue=-2000)
    if padding > 0:  # written without a sign, as some scanners do
        path.write_bytes(path.read_bytes().replace(b"SS\x02\x00\x30\xf8", b"US\x02\x00\x30\xf8"))
    np.testing.assert_allclose(grey(path, "per_image"), [[0, 0, 255]])


def test_padding_of_a_monochrome1_picture_is_black_too(tmp_path):
    pixels = np.array([[0, 100, 200]], np.uint16)
    path = write(
        tmp_path / "a.dcm", pixels, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0, Modality="CR"
    )
    np.testing.assert_allclose(grey(path, "per_image"), [[0, 255, 0]])


def test_padding_that_the_stored_bits_cannot_hold_hides_no_real_value(tmp_path):
    # -2000 cut to twelve bits without a sign would be 2096, which is bone
    pixels = np.array([[0, 2096, 4095]], np.uint16)
    path = write(tmp_path / "a.dcm", pixels, BitsStored=12, PixelPaddingValue=2096, RescaleIntercept=-1024)
    path.write_bytes(path.read_bytes().replace(b"US\x02\x00\x30\x08", b"SS\x02\x00\x30\xf8"))
    np.testing.assert_allclose(grey(path, "as_is"), [[0, 2096 / 4095 * 255, 255]], rtol=1e-6)


def test_a_range_of_padding_is_found_as_well(tmp_path):
    pixels = np.array([[0, 3, 5, 100, 200]], np.uint16)
    path = write(tmp_path / "a.dcm", pixels, PixelPaddingValue=0, PixelPaddingRangeLimit=5)
    np.testing.assert_allclose(grey(path, "per_image"), [[0, 0, 0, 0, 255]])


def test_frames_become_a_depth_axis_and_one_may_be_chosen(tmp_path):
    pixels = np.arange(40, dtype=np.uint8).reshape(4, 2, 5)
    path = write(tmp_path / "a.dcm", pixels)
    np.testing.assert_allclose(dicom.read(path, "as_is").array[..., 0], np.moveaxis(pixels, 0, 2))
    np.testing.assert_allclose(dicom.read(path, "as_is", frame=2).array[..., 0], pixels[2])
    with pytest.raises(DataError, match="frame 4 of 4"):
        dicom.read(path, "as_is", frame=4)


def test_bits_above_those_stored_are_no_values(tmp_path):
    # an overlay in the high bits, and a negative value of twelve bits without sign extension
    path = write(tmp_path / "a.dcm", np.array([[0x8000 | 100]], np.uint16), BitsStored=12, Modality="MR")
    np.testing.assert_allclose(grey(path, (0, 200)), [[127.5]])
    path = write(tmp_path / "b.dcm", np.array([[0x0FFF & -500]], np.int16), BitsStored=12)
    np.testing.assert_allclose(grey(path, (-1000, 0)), [[127.5]])


def test_the_window_of_the_file_is_the_first_of_several(tmp_path):
    pixels = np.arange(0, 256, dtype=np.uint8)[None]
    path = write(tmp_path / "a.dcm", pixels, WindowCenter=[101, 10], WindowWidth=[201, 20])
    # C.11.2.1.2.1 for centre 101 and width 201: 0.5 is the lowest, 200.5 the highest
    np.testing.assert_allclose(grey(path, "file"), (np.clip(pixels, 0.5, 200.5) - 0.5) / 200 * 255, atol=1e-4)


def test_without_a_window_the_file_keeps_its_whole_range_and_says_so(tmp_path):
    path = write(tmp_path / "a.dcm", np.array([[0, 4095]], np.uint16), BitsStored=12, Modality="MR")
    picture = dicom.read(path, "file")
    np.testing.assert_allclose(picture.array[0, :, 0], [0, 255])
    assert dicom.NO_WINDOW in picture.notes


def table(first: int, entries: list[int], bits: int) -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item


def test_tables_of_the_modality_and_of_the_display_are_applied_in_turn(tmp_path):
    modality = table(0, [300, 200, 100], 12)
    modality.ModalityLUTType = "US"
    path = write(
        tmp_path / "a.dcm",
        np.array([[0, 1, 2, 9]], np.uint16),
        ModalityLUTSequence=Sequence([modality]),
        VOILUTSequence=Sequence([table(100, [0] * 100 + [51] * 100 + [255], 8)]),
    )
    np.testing.assert_allclose(grey(path, "file"), [[255, 51, 0, 0]])
    np.testing.assert_allclose(grey(path, (0, 300)), [[255, 170, 85, 85]])


@pytest.mark.parametrize("syntax", [EXPLICIT, BIG_ENDIAN])
def test_palettes_become_colours(tmp_path, syntax):
    order = ">u2" if syntax == BIG_ENDIAN else "<u2"
    tags: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, entries in {"Red": [0, 65535], "Green": [257, 0], "Blue": [0, 0]}.items():
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [2, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = np.array(entries, order).tobytes()
    path = write(tmp_path / "a.dcm", np.array([[0, 1]], np.uint8), syntax=syntax, **tags)
    np.testing.assert_allclose(dicom.read(path, "as_is").array[0], [[0, 1, 0], [255, 0, 0]], rtol=1e-6)


def test_colours_and_luminance_come_as_red_green_blue(tmp_path):
    colours = np.array([[[255, 0, 0], [0, 255, 0], [7, 7, 7]]], np.uint8)
    np.testing.assert_allclose(dicom.read(write(tmp_path / "a.dcm", colours), "as_is").array, colours)
    red = cv2.cvtColor(colours, cv2.COLOR_RGB2YCrCb)[:, :, [0, 2, 1]]
    path = write(tmp_path / "b.dcm", red, PhotometricInterpretation="YBR_FULL")
    np.testing.assert_allclose(dicom.read(path, "as_is").array, colours, atol=2)


@pytest.mark.parametrize(
    "syntax", ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"], ids=["RLE", "LS", "2000"]
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_lossless_syntaxes_give_the_same_pixels(tmp_path, syntax, kind):
    pixels = np.random.default_rng(0).integers(0, 250, (2, 40, 36)).astype(kind)
    path = write(tmp_path / "a.dcm", pixels)
    wanted = dicom.read(path, "as_is").array
    dataset = pydicom.dcmread(path)
    try:
        dataset.compress(UID(syntax), generate_instance_uid=False)
    except (RuntimeError, NotImplementedError):
        pytest.skip("no encoder for this syntax is installed")
    dataset.save_as(path)
    np.testing.assert_array_equal(dicom.read(path, "as_is").array, wanted)
    np.testing.assert_array_equal(dicom.read(path, "as_is", frame=1).array, wanted[:, :, 1])


def jpeg_file(path: Path, size: tuple[int, int] = (16, 16), syntax: str = "1.2.840.10008.1.2.4.50") -> Path:
    write(path, np.zeros((16, 16), np.uint8))
    dataset = pydicom.dcmread(path)
    ramp = np.tile(np.arange(size[1], dtype=np.uint8) * 3, (size[0], 1))
    dataset.PixelData = encapsulate([cv2.imencode(".jpg", ramp, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()])
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.save_as(path)
    return path


def test_a_jpeg_is_decoded(tmp_path):
    wanted = np.tile(np.arange(16) * 3, (16, 1))
    np.testing.assert_allclose(grey(jpeg_file(tmp_path / "a.dcm"), "as_is"), wanted, atol=2)


def test_a_compressed_frame_of_another_size_is_refused_before_decoding(tmp_path):
    with pytest.raises(DataError, match=r"\(64, 64, 1\) values in a picture of \(16, 16, 1\)"):
        dicom.read(jpeg_file(tmp_path / "a.dcm", (64, 64)), "as_is")


def test_a_missing_decoder_is_told_with_the_command(tmp_path, monkeypatch):
    path = jpeg_file(tmp_path / "a.dcm", syntax="1.2.840.10008.1.2.4.70")
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    with pytest.raises(DataError, match="JPEG Lossless") as caught:
        dicom.read(path, "as_is")
    assert 'pip install "keras_med[dicom]"' in caught.value.remedy


def test_a_syntax_that_nothing_decodes_is_named(tmp_path):
    path = jpeg_file(tmp_path / "a.dcm", syntax="1.2.840.10008.1.2.4.53")
    with pytest.raises(DataError, match="Spectral Selection") as caught:
        dicom.read(path, "as_is")
    assert "gdcmconv" in caught.value.remedy


@pytest.mark.parametrize(
    "tags",
    [
        {"Rows": 60000, "Columns": 60000},
        {"NumberOfFrames": 2**30},
        {"Rows": 0},
        {"SamplesPerPixel": 7},
        {"BitsAllocated": 13},
        {"BitsStored": 0},
        {"Columns": 3},
    ],
)
def test_impossible_headers_are_refused(tmp_path, tags):
    path = write(tmp_path / "a.dcm", np.zeros((2, 2), np.uint16))
    dataset = pydicom.dcmread(path)
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    with pytest.raises(DataError) as caught:
        dicom.read(path, "as_is")
    assert caught.value.where == "a.dcm"
    assert caught.value.remedy


def test_short_pixels_are_told_with_both_lengths(tmp_path):
    path = write(tmp_path / "a.dcm", np.zeros((8, 8), np.int16))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match="98 of 128 bytes"):
        dicom.read(path, "as_is")


def test_a_deflated_file_that_inflates_beyond_bounds_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.dcm", np.zeros((512, 512), np.uint16), syntax=DEFLATED)
    assert path.stat().st_size < 3000
    monkeypatch.setattr("keras_med.data.dicom_headers.LARGEST_BYTES", 100_000)
    for read in (read_header, lambda path: dicom.read(path, "as_is")):
        with pytest.raises(DataError, match="GiB that are read"):
            read(path)


def test_burned_in_text_and_spacing_are_reported(tmp_path):
    path = write(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8), BurnedInAnnotation="YES", PixelSpacing=[0.5, 0.25])
    picture = dicom.read(path, "as_is")
    assert picture.burned_in
    assert picture.spacing == (0.5, 0.25)


def test_reports_hold_no_picture(tmp_path):
    path = write(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8), Modality="SR")
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(DataError, match=r"without pixels \(a report\)"):
        dicom.read(path, "as_is")


def test_a_file_without_preamble_is_read(tmp_path):
    path = write(tmp_path / "a.dcm", np.full((2, 2), 9, np.uint8))
    dataset = pydicom.dcmread(path)
    del dataset.file_meta.TransferSyntaxUID
    with (tmp_path / "b.dcm").open("wb") as file:
        pydicom.dcmwrite(file, dataset, implicit_vr=True, little_endian=True, enforce_file_format=False)
    content = (tmp_path / "b.dcm").read_bytes()
    start = content.index(b"\x08\x00\x16\x00")
    (tmp_path / "b.dcm").write_bytes(content[start:])
    assert read_header(tmp_path / "b.dcm")["Rows"] == 2
    np.testing.assert_array_equal(grey(tmp_path / "b.dcm", "as_is"), np.full((2, 2), 9))


def test_a_header_holds_allowed_tags_only(tmp_path):
    path = write(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8), ImagePositionPatient=[1, 2.5, -3], InstanceNumber=7)
    header = read_header(path)
    assert header["PatientID"] == "ZzplantedId"
    assert header["ImagePositionPatient"] == (1.0, 2.5, -3.0)
    assert header["InstanceNumber"] == 7
    assert header["TransferSyntaxUID"] == EXPLICIT
    assert "PatientName" not in header
    assert not any("Name" in str(value) for value in header.values())


def test_a_value_that_runs_on_into_the_name_is_none(tmp_path):
    path = write(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8))
    path.write_bytes(path.read_bytes().replace(b"CS\x02\x00CT", b"CS\x20\x00CT"))
    with contextlib.suppress(DataError):
        header = read_header(path)
        assert not any("Zzplanted" in str(value) for key, value in header.items() if key != "PatientID")
    with pytest.raises(DataError) as caught:
        dicom.read(path, "as_is")
    assert "Zzplanted" not in str(caught.value)


TEXTS = st.text("ABCXYZ019_ ", max_size=16)
DECIMALS = st.floats(-1e4, 1e4).map(lambda number: round(number, 3))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    syntax=st.sampled_from(NATIVE),
    patient=st.text(max_size=20),
    body=TEXTS,
    position=st.lists(DECIMALS, min_size=3, max_size=3),
    window=st.lists(DECIMALS, min_size=1, max_size=3),
    number=st.integers(-(2**31), 2**31 - 1),
    sequence=st.booleans(),
)
def test_both_header_passes_agree(tmp_path, syntax, patient, body, position, window, number, sequence):
    tags: dict[str, object] = {
        "BodyPartExamined": body,
        "ImagePositionPatient": position,
        "WindowCenter": window,
        "WindowWidth": [80] * len(window),
        "InstanceNumber": number,
        "SpecificCharacterSet": "ISO_IR 192",
    }
    if sequence:
        item = pydicom.Dataset()
        item.PatientID = "inside"
        tags["ReferencedImageSequence"] = Sequence([item])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # hypothesis writes what the standard warns of
        path = write(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8), syntax=syntax, PatientID=patient, **tags)
        with quiet():
            wanted = tags_of(open_dataset(path, pixels=False))
    assert read_header(path) == wanted


def test_pydicom_is_silent_about_values(tmp_path, recwarn, caplog):
    path = write(tmp_path / "a.dcm", np.zeros((2, 2), np.uint8), syntax=BIG_ENDIAN, SOPInstanceUID="1.2.5")
    path.write_bytes(path.read_bytes().replace(b"1.2.5", b"Zzzzz"))
    with caplog.at_level(logging.DEBUG):
        dicom.read(path, "as_is")
        read_header(path)
    assert not recwarn.list
    assert not caplog.records


@needs_real_data
def test_every_real_file_ends_as_a_picture_or_with_cause_and_remedy():
    pictures, ends = 0, []
    for path in sorted(path for path in REAL.rglob("*") if path.is_file()):
        try:
            picture = read_picture(path, "file")
        except DataError as error:
            ends.append((error.where, bool(error.remedy)) == (path.name, True))
        else:
            pictures += 1
            ends.append(picture.array.dtype == np.float32 and 0 <= picture.array.min() <= picture.array.max() <= 255)
    assert all(ends)
    assert len(ends) >= 100
    assert pictures >= 90


@needs_real_data
def test_real_pixels_and_headers_are_those_of_pydicom():
    compared = 0
    for path in sorted(path for path in REAL.rglob("*") if path.is_file()):
        with quiet():
            try:
                dataset = pydicom.dcmread(path)
                wanted = pixel_array(dataset)
            except Exception:  # what pydicom cannot read is for the test above
                continue
            if dataset.PhotometricInterpretation != "PALETTE COLOR":
                np.testing.assert_array_equal(dicom_pixels.load(path).array.reshape(wanted.shape), wanted)
                compared += 1
            with path.open("rb", buffering=0) as file:
                found = scan(file)
            if found is not None:
                assert found.tags == tags_of(open_dataset(path, pixels=False))
    assert compared >= 70


@pytest.mark.parametrize("preamble", [b"II*\x00", b"MM\x00*"])
def test_a_preamble_that_begins_like_a_tiff_leaves_it_a_dicom_file(tmp_path: Path, preamble: bytes) -> None:
    file = write(tmp_path / "a.dcm", np.arange(20, dtype=np.uint16).reshape(4, 5) * 20)
    expected = read_picture(file, WATER).array
    file.write_bytes(preamble + file.read_bytes()[4:])
    np.testing.assert_array_equal(read_picture(file, WATER).array, expected)
