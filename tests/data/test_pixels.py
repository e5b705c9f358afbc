"""Files and stacks to network inputs: expectations by hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_med.data import pixels
from keras_med.errors import DataError
from keras_med.recipe.words import Image


def input_of(path: Path, row: int | None, **settings) -> np.ndarray:
    return pixels.read(path, row, Image(**settings))[1]


def test_sixteen_bits_keep_more_than_256_levels(tmp_path):
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    cv2.imwrite(str(tmp_path / "a.png"), ramp)
    picture, values = pixels.read(tmp_path / "a.png", None, Image(size=(64, 64)))
    packed = pixels.pack(values, picture.bits)
    assert packed.dtype == np.uint16
    np.testing.assert_array_equal(packed[..., 0], ramp)
    assert len(np.unique(pixels.unpack(packed))) == 4096


def test_eight_bits_stay_eight_bits_and_exact():
    values = np.arange(256, dtype=np.float32).reshape(16, 16, 1)
    packed = pixels.pack(values, 8)
    assert packed.dtype == np.uint8
    np.testing.assert_array_equal(pixels.unpack(packed), values)


def saved(file: Path, pictures: list[np.ndarray]) -> np.ndarray:
    with file.open("w+b") as opened:
        packed = pixels.Packed(opened)
        for picture in pictures:
            packed.add(picture)
        packed.finish()
    return np.load(file)


def test_pictures_of_both_depths_are_saved_as_16_bits(tmp_path):
    shallow = np.array([[[0], [1]], [[128], [255]]], np.uint8)
    deep = np.array([[[0], [1]], [[40000], [65535]]], np.uint16)
    wide = [[[0], [257]], [[32896], [65535]]]  # of `shallow`: times 257, so that 255 becomes 65535
    assert saved(tmp_path / "shallow.npy", [shallow, shallow]).dtype == np.uint8
    found = saved(tmp_path / "images.npy", [shallow, shallow + 0, shallow, deep, shallow])
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, [wide, wide, wide, deep, wide])
    np.testing.assert_array_equal(
        pixels.read_input(str(tmp_path / "images.npy"), 0, False, Image(size=(2, 2))), shallow
    )


def test_a_row_of_a_grey_stack_gets_a_channel(tmp_path):
    stack = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.save(tmp_path / "a.npy", stack)
    np.testing.assert_array_equal(input_of(tmp_path / "a.npy", 1, size=(3, 4))[..., 0], stack[1])


def test_a_row_of_a_colour_stack_keeps_its_channels(tmp_path):
    stack = np.arange(72, dtype=np.uint8).reshape(2, 3, 4, 3)
    np.save(tmp_path / "a.npy", stack)
    np.testing.assert_array_equal(input_of(tmp_path / "a.npy", 1, size=(3, 4), channels=3), stack[1])


def test_a_row_of_three_axes_is_a_volume_where_the_recipe_wants_one(tmp_path):
    stack = np.arange(48, dtype=np.float32).reshape(2, 3, 4, 2)  # two slices, which could be taken for channels
    np.save(tmp_path / "a.npy", stack)
    values = input_of(tmp_path / "a.npy", 1, size=(3, 4, 2))
    assert values.shape == (3, 4, 2, 1)
    np.testing.assert_array_equal(values[..., 0], stack[1])


def test_floating_point_as_it_is_must_lie_in_0_to_255(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[[0, 255.0]], [[0, 256.0]]], np.float32))
    picture, values = pixels.read(tmp_path / "a.npy", 0, Image(size=(1, 2)))
    assert picture.bits == 32
    np.testing.assert_array_equal(values.ravel(), [0, 255])
    with pytest.raises(DataError, match="0 to 256"):
        pixels.read(tmp_path / "a.npy", 1, Image(size=(1, 2)))


def test_values_of_a_row_are_scaled_by_the_row_and_not_by_the_stack(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[[0, 1000]], [[10, 20]]], np.int16))
    np.testing.assert_array_equal(input_of(tmp_path / "a.npy", 1, size=(1, 2), values="per_image").ravel(), [0, 255])
    np.testing.assert_array_equal(input_of(tmp_path / "a.npy", 0, size=(1, 2), values=(0, 2000)).ravel(), [0, 127.5])


def test_an_npz_row_is_read_like_an_npy_row(tmp_path):
    stack = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez_compressed(tmp_path / "a.npz", stack)
    np.testing.assert_array_equal(input_of(tmp_path / "a.npz", 1, size=(3, 4))[..., 0], stack[1])
    assert not pixels.used_in_place(str(tmp_path / "a.npz"), 1)


def test_red_counts_least_but_blue_in_the_grey_of_a_colour_picture(tmp_path):
    blue, green, red = [255, 0, 0], [0, 255, 0], [0, 0, 255]  # OpenCV's order of channels
    cv2.imwrite(str(tmp_path / "a.png"), np.array([[blue, green, red]], np.uint8))
    found = input_of(tmp_path / "a.png", None, size=(1, 3)).ravel()
    np.testing.assert_allclose(found, [29.07, 149.685, 76.245], atol=1e-3)  # 255 x 0.114, 0.587, 0.299


def test_a_picture_where_a_volume_is_wanted_is_refused_with_the_remedy(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError, match=r"a picture of shape \(3, 4, 1\)") as caught:
        input_of(tmp_path / "a.png", None, size=(3, 4, 2))
    assert "image.size" in caught.value.remedy


def test_many_arrays_leave_no_file_open(tmp_path):
    image, open_files = Image(size=(2, 2)), Path("/proc/self/fd")
    for number in range(40):
        saved(tmp_path / f"{number}.npy", [np.full((2, 2, 1), number, np.uint8)])
    before = len(list(open_files.iterdir()))
    values = [pixels.read_input(str(tmp_path / f"{number}.npy"), 0, False, image)[0, 0, 0] for number in range(40)]
    assert values == list(range(40))
    assert len(list(open_files.iterdir())) == before


def test_a_mirrored_copy_changes_left_and_right_of_what_is_stored(tmp_path):
    stored = np.arange(2 * 3 * 1, dtype=np.uint8).reshape(2, 3, 1)
    np.save(tmp_path / "images.npy", stored[None])
    found = pixels.read_input(str(tmp_path / "images.npy"), 0, False, Image(size=(2, 3)), mirrored=True)
    assert found[..., 0].tolist() == [[2, 1, 0], [5, 4, 3]]
