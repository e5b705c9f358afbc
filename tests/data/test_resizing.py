import cv2
import numpy as np
import pytest

from keras_med.data.resizing import resize


def test_shrinking_averages_areas():
    array = np.arange(16, dtype=np.float32).reshape(4, 4, 1)
    np.testing.assert_allclose(resize(array, (2, 2))[..., 0], [[2.5, 4.5], [10.5, 12.5]])


def test_growing_interpolates_between_pixel_centres():
    array = np.array([[0, 100]], np.float32)[..., None]
    np.testing.assert_allclose(resize(array, (1, 4))[0, :, 0], [0, 25, 75, 100])


def test_one_axis_may_grow_while_the_other_shrinks():
    array = np.repeat(np.array([[0, 100]], np.float32), 4, axis=0)[..., None]
    np.testing.assert_allclose(resize(array, (2, 4))[..., 0], [[0, 25, 75, 100]] * 2)


def test_the_same_size_is_the_same_picture():
    array = np.random.default_rng(0).random((5, 7, 3), np.float32)
    np.testing.assert_array_equal(resize(array, (5, 7)), array)


def test_a_volume_is_averaged_along_each_axis():
    array = np.random.default_rng(0).random((8, 6, 10, 2)).astype(np.float32)
    wanted = array.reshape(4, 2, 3, 2, 5, 2, 2).mean((1, 3, 5))
    np.testing.assert_allclose(resize(array, (4, 3, 5)), wanted, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 130])
def test_any_number_of_channels_is_resized_one_by_one(channels):
    array = np.random.default_rng(0).random((6, 6, channels)).astype(np.float32)
    resized = resize(array, (3, 9))
    for channel in range(channels):
        alone = resize(np.ascontiguousarray(array[..., channel : channel + 1]), (3, 9))
        np.testing.assert_allclose(resized[..., channel : channel + 1], alone, atol=1e-6)


def test_a_wide_volume_grows_in_depth():
    array = np.zeros((120, 300, 2, 1), np.float32)
    array[:, :, 1] = 100
    np.testing.assert_allclose(resize(array, (120, 300, 4))[7, 11, :, 0], [0, 25, 75, 100])


def test_a_size_of_other_axes_is_refused():
    with pytest.raises(ValueError, match="one length for each axis"):
        resize(np.zeros((4, 4, 1), np.float32), (2, 2, 2))


@pytest.mark.parametrize(
    ("shape", "size", "way"),
    [
        ((512, 400, 1), (180, 180), cv2.INTER_AREA),
        ((300, 310, 3), (224, 299), cv2.INTER_AREA),
        ((28, 30, 1), (224, 100), cv2.INTER_LINEAR),
    ],
)
def test_pictures_are_resized_as_opencv_does(shape, size, way):
    array = np.random.default_rng(0).random(shape, np.float32) * 255
    wanted = cv2.resize(array, size[::-1], interpolation=way).reshape(*size, shape[2])
    np.testing.assert_allclose(resize(array, size), wanted, atol=1e-3)
