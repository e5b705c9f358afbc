import cv2
import numpy as np
import pytest

from keras_med.data.readers import read_picture
from keras_med.errors import DataError

GREY = np.arange(20, dtype=np.uint8).reshape(4, 5)


@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a", "a.jpg", "a.npy"])
def test_the_content_decides_and_not_the_name(tmp_path, name):
    (tmp_path / name).write_bytes(cv2.imencode(".png", GREY)[1].tobytes())
    picture = read_picture(tmp_path / name, "as_is")
    assert picture.array.dtype == np.float32
    np.testing.assert_array_equal(picture.array[..., 0], GREY)


def test_errors_of_the_scale_name_the_file(tmp_path):
    np.save(tmp_path / "a.npy", np.full((2, 2), 1e6, np.float32))
    with pytest.raises(DataError) as caught:
        read_picture(tmp_path / "a.npy", "as_is")
    assert caught.value.where == "a.npy"
    assert caught.value.remedy


def test_a_file_that_is_not_there_is_told_without_its_folder(tmp_path):
    with pytest.raises(DataError) as caught:
        read_picture(tmp_path / "none.dcm", "file")
    assert caught.value.where == "none.dcm"
    assert str(tmp_path) not in str(caught.value)


def test_a_tiff_of_each_byte_order_comes_upright(tmp_path):
    content = cv2.imencode(".tif", GREY, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes()
    assert content[:2] == b"II"
    entries = int.from_bytes(content[4:8], "little")
    place = content.index(b"\x15\x01\x03\x00", entries)  # samples a pixel, given up for the orientation
    for kind in (3, 4):
        turned = content[:place] + b"\x12\x01" + bytes([kind, 0, 1, 0, 0, 0, 3, 0, 0, 0]) + content[place + 12 :]
        (tmp_path / "a.tif").write_bytes(turned)
        np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", "as_is").array[..., 0], GREY[::-1, ::-1])
