"""What tells one image from others, and what does not."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_med.data import hashes


def blurred(seed: int, shape: tuple[int, int] = (200, 160)) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)[..., None]


def fingerprint(stored: np.ndarray, prepared: np.ndarray) -> dict[str, str | float]:
    return hashes.describe(stored, prepared)[0]


def perceptual_hash(image: np.ndarray) -> int:
    return hashes.perceptual_hash(hashes.shrunk(image))


def bits_apart(first: int, second: int) -> int:
    return (first ^ second).bit_count()


def test_equal_pixels_have_equal_hashes_and_one_grey_level_changes_them():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    other = image.copy()
    other[2, 3, 0] += 1
    same, changed = fingerprint(image.copy(), image), fingerprint(other, other)
    assert fingerprint(image, image) == same
    assert changed["pixel_hash"] != same["pixel_hash"]
    assert changed["flip_hash"] != same["flip_hash"]


def test_pictures_with_the_same_sums_over_rows_and_columns_differ():
    image = np.random.default_rng(0).integers(0, 200, (64, 48, 1), np.uint8)
    other = image.copy()
    other[np.ix_([3, 9], [5, 40])] += np.array([[1, -1], [-1, 1]]).astype(np.uint8)[..., None]
    np.testing.assert_array_equal(other.sum(axis=0), image.sum(axis=0))
    np.testing.assert_array_equal(other.sum(axis=1), image.sum(axis=1))
    found, changed = fingerprint(image, image), fingerprint(other, other)
    assert changed["pixel_hash"] != found["pixel_hash"]
    assert changed["flip_hash"] != found["flip_hash"]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(40, 40, 1), (40, 30, 3), (20, 20, 6, 1), (20, 12, 6, 2)])
def test_all_turns_of_a_picture_of_any_type_share_the_flip_hash(shape, kind):
    image = (np.random.default_rng(0).random(shape) * 200).astype(kind)
    turns = [np.ascontiguousarray(hashes.turned(image, turn)) for turn in range(8)]
    turns += [turned[:, :, ::-1] for turned in turns if turned.ndim == 4]
    found = [fingerprint(turned, turned.astype(np.float32)) for turned in turns]
    assert len({one["flip_hash"] for one in found}) == 1
    assert len({one["pixel_hash"] for one in found}) == len(turns)


def test_the_shape_belongs_to_the_hash():
    flat = np.arange(12, dtype=np.uint8)
    wide, wider = flat.reshape(3, 4, 1), flat.reshape(2, 6, 1)
    assert fingerprint(wide, wide)["flip_hash"] != fingerprint(wider, wider)["flip_hash"]


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3)), elements=st.integers(0, 2)
    )
)
def test_flips_and_quarter_turns_share_the_flip_hash_and_only_equal_pixels_the_pixel_hash(image):
    prints = []
    for turns in range(4):
        for mirrored in (image, image[:, ::-1]):
            turned = np.rot90(mirrored, turns)
            prints.append((turned.shape, turned.tobytes(), fingerprint(turned, turned)))
    assert len({found["flip_hash"] for _, _, found in prints}) == 1
    pixels = {(shape, content) for shape, content, _ in prints}
    assert len({found["pixel_hash"] for _, _, found in prints}) == len(pixels)


def test_a_volume_reversed_in_depth_shares_the_flip_hash():
    volume = np.random.default_rng(0).random((5, 6, 7, 1), np.float32)
    reverse = volume[:, :, ::-1]
    first, second = fingerprint(volume, volume * 255), fingerprint(reverse, reverse * 255)
    assert first["flip_hash"] == second["flip_hash"]
    assert first["pixel_hash"] != second["pixel_hash"]
    assert bits_apart(int(first["perceptual_hash"], 16), int(second["perceptual_hash"], 16)) == 0


def test_grey_stored_as_colour_or_with_an_opaque_alpha_is_the_same_picture():
    grey = np.random.default_rng(1).integers(0, 256, (20, 30, 1), np.uint8)
    colour = np.repeat(grey, 3, axis=-1)
    alpha = np.concatenate([colour, np.full_like(grey, 255)], axis=-1)
    see_through = np.concatenate([colour, np.full_like(grey, 250)], axis=-1)
    expected = fingerprint(grey, grey)["pixel_hash"]
    assert fingerprint(colour, grey)["pixel_hash"] == expected
    assert fingerprint(alpha, grey)["pixel_hash"] == expected
    assert fingerprint(see_through, grey)["pixel_hash"] != expected


@pytest.mark.parametrize("turn", range(8))
def test_the_hash_of_a_turned_image_follows_from_the_hash_alone(turn):
    image = blurred(turn)
    seen = perceptual_hash(np.ascontiguousarray(hashes.turned(image, turn)))
    predicted = hashes.turned_hashes(np.array([perceptual_hash(image)], np.uint64))[turn, 0]
    assert bits_apart(seen, int(predicted)) <= 1  # a coefficient near zero may round to the other sign


def test_the_eight_turns_are_those_of_the_square():
    corner = np.array([[1, 2], [3, 4]])
    expected = {np.rot90(part, k).tobytes() for part in (corner, corner[:, ::-1]) for k in range(4)}
    assert {hashes.turned(corner, turn).tobytes() for turn in range(8)} == expected
    assert hashes.turned(corner, 1).tolist() == [[2, 1], [4, 3]]


def test_the_perceptual_hash_stays_near_after_jpeg_resizing_and_brightness_and_far_between_images():
    image = blurred(3)
    byte = np.rint(image).astype(np.uint8)
    code = perceptual_hash(image)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", byte, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_GRAYSCALE)
    smaller = cv2.resize(byte, None, fx=0.9, fy=0.9, interpolation=cv2.INTER_AREA)
    for copy in (jpeg[..., None], smaller[..., None], (image * 0.9), image + 20):
        assert bits_apart(code, perceptual_hash(copy)) <= 4
    assert bits_apart(code, perceptual_hash(blurred(4))) > 12


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64])
def test_statistics_are_those_of_the_prepared_image(kind):
    prepared = np.array([[[0], [100]], [[200], [100]]], kind)
    found = fingerprint(np.zeros((9, 9), np.int16), prepared)
    assert (found["mean"], found["minimum"], found["maximum"]) == (100, 0, 200)
    assert found["deviation"] == pytest.approx(5000**0.5)


@pytest.mark.parametrize(
    "shape", [(512, 512, 1), (100, 80, 3), (64, 64, 6), (20, 20, 1), (28, 28, 28, 1), (70, 70, 3, 2)]
)
def test_a_thumbnail_of_any_image_is_64_by_64_over_the_full_range(shape):
    image = np.random.default_rng(5).random(shape, np.float32) * 3 + 100
    small = hashes.thumbnail(hashes.shrunk(image))
    assert small.shape == (64, 64)
    assert small.dtype == np.uint8
    assert (small.min(), small.max()) == (0, 255)


def test_a_constant_image_has_an_empty_thumbnail():
    assert not hashes.thumbnail(hashes.shrunk(np.full((90, 90, 1), 17.0, np.float32))).any()
