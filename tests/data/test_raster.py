import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_med.data import raster
from keras_med.data.readers import read_picture
from keras_med.errors import DataError

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.dstack([GREY, GREY[::-1], GREY[:, ::-1]])  # red, green, blue


def encoded(path: Path, array: np.ndarray, options: tuple[int, ...] = ()) -> Path:
    """Write with OpenCV, which takes blue first."""
    if array.ndim == 3:
        array = array[:, :, [2, 1, 0, *range(3, array.shape[2])]]
    path.write_bytes(cv2.imencode(path.suffix, array, options)[1].tobytes())
    return path


def png(path: Path, header: bytes, parts: list[tuple[bytes, bytes]]) -> Path:
    """Write a PNG from its parts, sums included."""
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in [(b"IHDR", header), *parts, (b"IEND", b"")]:
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    path.write_bytes(content)
    return path


def test_colours_come_red_first(tmp_path):
    for suffix in (".png", ".tif"):
        picture = raster.read(encoded(tmp_path / f"a{suffix}", COLOUR))
        np.testing.assert_array_equal(picture.array, COLOUR)
        assert picture.bits == 8


def test_grey_is_one_channel_and_sixteen_bits_stay(tmp_path):
    deep = GREY.astype(np.uint16) * 273
    for suffix in (".png", ".tif"):
        picture = raster.read(encoded(tmp_path / f"a{suffix}", deep))
        np.testing.assert_array_equal(picture.array[..., 0], deep)
        assert picture.array.dtype == np.uint16
        assert picture.bits == 16
    scaled = read_picture(tmp_path / "a.png", "as_is")
    np.testing.assert_allclose(scaled.array[..., 0], deep / 257, rtol=1e-6)
    assert scaled.bits == 16


def test_alpha_is_dropped_without_compositing(tmp_path):
    transparent = np.dstack([COLOUR, np.zeros_like(GREY)])
    np.testing.assert_array_equal(raster.read(encoded(tmp_path / "a.png", transparent)).array, COLOUR)


def test_grey_with_alpha_stays_one_channel(tmp_path):
    rows = b"".join(b"\0" + bytes([value, 9] * 1) for value in (10, 200))  # one column: grey, alpha
    path = png(tmp_path / "a.png", struct.pack(">IIBBBBB", 1, 2, 8, 4, 0, 0, 0), [(b"IDAT", zlib.compress(rows))])
    np.testing.assert_array_equal(raster.read(path).array[:, 0, :], [[10], [200]])


def test_a_palette_becomes_its_colours(tmp_path):
    palette = bytes([255, 0, 0, 0, 0, 255])
    rows = b"\0\x40"  # two pixels of one bit: the first red, the second blue
    header = struct.pack(">IIBBBBB", 2, 1, 1, 3, 0, 0, 0)
    path = png(tmp_path / "a.png", header, [(b"PLTE", palette), (b"IDAT", zlib.compress(rows))])
    picture = raster.read(path)
    np.testing.assert_array_equal(picture.array[0], [[255, 0, 0], [0, 0, 255]])
    assert picture.bits == 1


def exif(orientation: int) -> bytes:
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x112, 3, 1, orientation) + bytes(4)


UPRIGHT = {  # what each orientation of EXIF says has to be done to the stored rows
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, -1)[::-1],
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pictures_come_upright(tmp_path, orientation):
    wanted = UPRIGHT[orientation](GREY)
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    header = struct.pack(">IIBBBBB", 8, 6, 8, 0, 0, 0, 0)
    path = png(tmp_path / "a.png", header, [(b"eXIf", exif(orientation)), (b"IDAT", zlib.compress(rows))])
    np.testing.assert_array_equal(raster.read(path).array[..., 0], wanted)
    jpeg = cv2.imencode(".jpg", GREY, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    part = b"Exif\0\0" + exif(orientation)
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part + jpeg[2:])
    difference = raster.read(tmp_path / "a.jpg").array[..., 0].astype(int) - wanted
    assert np.abs(difference).max() <= 3


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8, 0.99])
def test_cut_files_are_refused(tmp_path, name, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = encoded(tmp_path / name, noise, (cv2.IMWRITE_TIFF_COMPRESSION, 1) if name == "a.tif" else ())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DataError) as caught:
        raster.read(path)
    assert caught.value.where == name
    assert caught.value.remedy


def test_a_damaged_byte_of_a_png_is_seen_by_its_sum(tmp_path):
    path = encoded(tmp_path / "a.png", GREY)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="checksum"):
        raster.read(path)


def test_a_jpeg_whose_data_end_early_is_noted(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = encoded(tmp_path / "a.jpg", noise)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    assert "may end early" in raster.read(path).notes[0]


def test_a_header_of_60000_by_60000_is_refused_before_decoding(tmp_path):
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    with pytest.raises(DataError, match="60000 x 60000"):
        raster.read(png(tmp_path / "a.png", header, [(b"IDAT", zlib.compress(bytes(99)))]))
    content = bytearray(encoded(tmp_path / "a.jpg", GREY).read_bytes())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", 60000, 60000)
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match="60000 x 60000"):
        raster.read(tmp_path / "a.jpg")


def test_few_bytes_cannot_claim_many_pixels(tmp_path):
    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
    with pytest.raises(DataError, match="cannot hold"):
        raster.read(png(tmp_path / "a.png", header, [(b"IDAT", zlib.compress(bytes(99)))]))


def test_pages_of_a_tiff_are_refused_by_their_number(tmp_path):
    cv2.imwritemulti(str(tmp_path / "a.tif"), [GREY, GREY, GREY])
    with pytest.raises(DataError, match="3 pages"):
        raster.read(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"id,label\n1,2\n", "text file"),
        (b"", "empty"),
        (bytes(1000), "zero bytes"),
        (b"GIF89a....", "GIF"),
        (b"%PDF-1.7", "PDF"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\x01\x02\x03\x04\x05", "unknown"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path, content, cause):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=cause):
        raster.read(tmp_path / "a.png")


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            raster.read(path)


def test_real_chest_x_rays_are_read_as_opencv_reads_them():
    root = os.environ.get("KERAS_MED_REAL_DATA")
    if not root:
        pytest.skip("KERAS_MED_REAL_DATA is not set: the real pictures are not here")
    paths = [path for path in sorted(Path(root, "chest_xray_3class").rglob("*.*")) if path.suffix != ".csv"][:60]
    assert paths
    for path in paths:
        wanted = cv2.imread(str(path), cv2.IMREAD_ANYCOLOR)
        wanted = wanted[..., None] if wanted.ndim == 2 else wanted[:, :, ::-1]
        np.testing.assert_array_equal(raster.read(path).array, wanted)
