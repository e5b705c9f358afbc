"""Golden images are varied, come from a seed alone, and those are kept whose outputs span the most."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_med.export import golden

SHAPE = (24, 16, 3)


def test_another_process_generates_the_same_images_from_the_seed() -> None:
    code = "from keras_med.export import golden; print(golden.fingerprint(golden.images(5, [0, 7, 19], (24, 16, 3))))"
    root = Path(golden.__file__).parents[2]
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert told.stdout.strip() == golden.fingerprint(golden.images(5, [0, 7, 19], SHAPE))


def test_an_image_depends_on_its_index_alone_and_not_on_its_neighbours() -> None:
    together = golden.images(1, range(10), SHAPE)
    np.testing.assert_array_equal(golden.images(1, [7, 3], SHAPE), together[[7, 3]])


def test_other_seeds_give_other_images() -> None:
    assert golden.fingerprint(golden.images(1, range(10), SHAPE)) != golden.fingerprint(
        golden.images(2, range(10), SHAPE)
    )


def test_the_pool_holds_flat_smooth_rough_dark_bright_and_coloured_images() -> None:
    pool = golden.images(20, range(192), (48, 48, 3)).astype(float)
    deviation = pool.std(axis=(1, 2)).max(axis=1)
    steps = np.abs(np.diff(pool, axis=1)).mean(axis=(1, 2, 3))
    assert (deviation == 0).sum() >= 10
    assert ((deviation > 20) & (steps < 4)).sum() >= 10
    assert (steps > 40).sum() >= 10
    means = pool.mean(axis=(1, 2, 3))
    assert means.min() < 30
    assert means.max() > 225
    assert (np.abs(pool[..., 0] - pool[..., 2]).max(axis=(1, 2)) > 50).sum() >= 50
    assert (pool[..., 0] == pool[..., 2]).all(axis=(1, 2)).sum() >= 40


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 1), (7, 5, 3, 1), (8, 8, 8, 4)])
def test_every_shape_down_to_one_pixel_is_generated(shape: tuple[int, ...]) -> None:
    made = golden.images(3, range(20), shape)
    assert made.shape == (20, *shape)
    assert made.dtype == np.uint8


def test_the_extremes_of_every_output_are_kept_and_then_the_farthest() -> None:
    outputs = np.array([[0.0, 5.0], [0.1, 5.0], [10.0, 5.0], [5.0, 5.1], [4.9, 5.0], [0.0, 5.05]])
    # column 0: rows 0 and 2; column 1: rows 0 (the first of the lowest) and 3; then row 1, 0.1 away from row 0, wins by
    # order over row 4, 0.1 away from row 3
    assert golden.choose(outputs, np.zeros(6), 3) == [0, 2, 3]
    assert golden.choose(outputs, np.zeros(6), 4) == [0, 1, 2, 3]
    assert golden.choose(outputs, np.zeros(6), 99) == [0, 1, 2, 3, 4, 5]


def test_an_answer_that_trembles_is_no_golden_one() -> None:
    outputs = np.array([[47.0], [-830.0], [48.0], [60.0], [46.0], [40.0]])
    unsteadiness = np.array([0.0, 50.0, 0.0, 3.0, 0.1, 0.0])
    assert golden.choose(outputs, unsteadiness, 3) == [2, 4, 5]  # 40 and 48, then 46, 2 away from 48
    assert golden.choose(outputs, unsteadiness, 5) == [0, 2, 3, 4, 5]  # four are steady; 60 is the next
    assert golden.choose(outputs, unsteadiness, 9) == [0, 1, 2, 3, 4, 5]


def test_trembling_changes_every_value_by_a_millionth() -> None:
    images = golden.images(1, range(4), SHAPE)
    change = golden.trembling(images).astype(float) - images
    np.testing.assert_allclose(np.abs(change), 1e-6 * images, rtol=0.2)  # float32 rounds it
    assert 0.4 < (change > 0).sum() / (images > 0).sum() < 0.6


def test_the_tolerance_is_a_ten_thousandth_of_what_exceeds_one() -> None:
    recorded, found = np.array([0.5, -40.0, 0.0]), np.array([0.50005, -40.008, 0.0])
    np.testing.assert_allclose(golden.share_of_tolerance(recorded, found), [0.5, 2.0, 0.0], atol=1e-9)


def test_span_is_the_widest_range_of_any_output() -> None:
    assert golden.span(np.array([[1.0, -2.0], [3.0, 2.5]])) == 4.5


def test_volumes_get_fewer_golden_images_than_pictures() -> None:
    assert golden.count_for((260, 260, 3)) == 64  # 202,800 values: 82 would fit, 64 are enough
    assert golden.count_for((128, 128, 32, 1)) == 32  # 2**24 / 2**19
    assert golden.count_for((384, 384, 160, 1)) == 14  # two batches of 7
