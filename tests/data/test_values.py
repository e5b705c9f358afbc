import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_med.data.values import LookUpTable, Window, check_size, checked, to_scale
from keras_med.errors import DataError, RecipeError

HU = np.array([[-1000, 0, 20, 40, 60, 80, 3000]], np.float32)[..., None]


def test_each_window_makes_one_channel():
    scaled = to_scale(HU, [(40, 80), (1000, 4000)])
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled[0, :, 0], [0, 0, 63.75, 127.5, 191.25, 255, 255])
    np.testing.assert_allclose(scaled[0, :, 1], [0, 63.75, 65.025, 66.3, 67.575, 68.85, 255], rtol=1e-5)


def test_two_numbers_are_a_range_and_two_pairs_are_two_windows():
    assert checked((0, 100)) == (0.0, 100.0)
    assert checked([(0, 100), (5, 6)]) == ((0.0, 100.0), (5.0, 6.0))
    np.testing.assert_allclose(to_scale(HU, (0, 80))[0, :, 0], [0, 0, 63.75, 127.5, 191.25, 255, 255])


@pytest.mark.parametrize(
    "values", [(3, 3), (5, 1), [(40, 0)], [(40, -1)], [], "window", (1, 2, 3), [(1, 2), 3], None, 7]
)
def test_values_that_mean_nothing_are_refused_with_the_forms(values):
    with pytest.raises(RecipeError) as caught:
        checked(values)
    assert "(low, high)" in caught.value.remedy


def test_as_is_keeps_eight_bits_and_spreads_sixteen_without_rounding():
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    np.testing.assert_array_equal(to_scale(eight, "as_is", bits=8), eight)
    sixteen = np.array([0, 1, 257, 65535], np.uint16).reshape(2, 2, 1)
    np.testing.assert_allclose(to_scale(sixteen, "as_is", bits=16).ravel(), [0, 1 / 257, 1, 255], rtol=1e-6)
    signed = np.array([-32768, 32767], np.int16).reshape(1, 2, 1)
    np.testing.assert_allclose(to_scale(signed, "as_is", bits=16).ravel(), [0, 255])


def test_floating_point_as_is_must_lie_in_the_scale():
    with pytest.raises(DataError, match="-1000 to 3000") as caught:
        to_scale(HU, "as_is")
    assert "per_image" in caught.value.remedy
    np.testing.assert_array_equal(to_scale(HU / 100 + 10, "as_is"), HU / 100 + 10)


def test_per_image_spreads_the_extremes_and_a_constant_picture_is_black():
    np.testing.assert_allclose(to_scale(HU, "per_image")[0, [0, 6], 0], [0, 255])
    assert not to_scale(np.full((2, 2, 1), 7, np.uint16), "per_image").any()


def test_values_that_are_no_numbers_become_the_extremes():
    array = np.array([np.nan, -np.inf, 10, 20, np.inf], np.float32).reshape(1, 5, 1)
    np.testing.assert_allclose(to_scale(array, (10, 20)).ravel(), [0, 0, 0, 255, 255])
    with pytest.raises(DataError, match="none of its values is a number"):
        to_scale(np.full((2, 2, 1), np.nan), "per_image")


@pytest.mark.parametrize("extreme", [3e38, 1.7e308, 1e-310])
@pytest.mark.parametrize("values", ["per_image", (0, 80), (-1e-320, 1e-320), (-1.7e308, 1.7e308)])
def test_extreme_numbers_stay_in_the_scale(extreme, values):
    kind = np.float32 if extreme == 3e38 else np.float64
    array = np.array([-extreme, 0, extreme], kind).reshape(1, 3, 1)
    scaled = to_scale(array, values)
    assert np.isfinite(scaled).all()
    assert 0 <= scaled[0, 0, 0] <= scaled[0, 1, 0] <= scaled[0, 2, 0] <= 255


def test_the_file_window_follows_the_standard():
    # PS3.3 C.11.2.1.2.1: centre 2048, width 4096 is the identity of 0...4095 on 0...255
    values = np.array([0, 2047.5, 4095], np.float32).reshape(1, 3, 1)
    np.testing.assert_allclose(to_scale(values, "file", file_window=Window(2048, 4096)).ravel(), [0, 127.5, 255])
    exact = Window(2048, 4096, "LINEAR_EXACT")
    np.testing.assert_allclose(to_scale(values, "file", file_window=exact).ravel()[0], 0)
    sigmoid = to_scale(values - 2047.5, "file", file_window=Window(0, 100, "SIGMOID")).ravel()
    np.testing.assert_allclose(sigmoid, [0, 127.5, 255], atol=1e-6)


def test_a_table_takes_its_end_entries_beyond_its_ends():
    table = LookUpTable(10, np.array([0, 100, 255], np.uint16), 8)
    array = np.array([-5, 10, 11, 12, 999]).reshape(1, 5, 1)
    np.testing.assert_allclose(to_scale(array, "file", file_window=table).ravel(), [0, 0, 100, 255, 255])


def test_several_windows_of_a_colour_picture_are_refused():
    with pytest.raises(DataError, match="3 channels"):
        to_scale(np.zeros((2, 2, 3), np.uint8), [(1, 2), (3, 4)])


@pytest.mark.parametrize("shape", [(60000, 60000, 1), (0, 5, 1), (2**40, 2**40, 3)])
def test_sizes_that_are_no_pictures_are_refused(shape):
    with pytest.raises(DataError):
        check_size(shape, where="x.png")


@given(
    st.lists(st.integers(-32768, 32767), min_size=1, max_size=20),
    st.one_of(
        st.sampled_from(["file", "per_image", "as_is"]),
        st.tuples(st.floats(-1e4, 0), st.floats(1, 1e4)),
        st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(1e-3, 1e4)), min_size=1, max_size=4),
    ),
)
def test_every_scale_is_within_bounds_keeps_order_and_changes_nothing(numbers, values):
    array = np.array(sorted(numbers), np.int16).reshape(1, -1, 1)
    before = array.copy()
    scaled = to_scale(array, values, bits=16)
    assert scaled.dtype == np.float32
    assert scaled.min() >= 0
    assert scaled.max() <= 255
    assert (np.diff(scaled, axis=1) >= 0).all()
    np.testing.assert_array_equal(array, before)
