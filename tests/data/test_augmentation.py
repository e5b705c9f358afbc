"""Changes of training images: known answers, and nothing that depends on anything but (seed, epoch, id)."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from keras_med import Augment, Binary, Data, Holdout, Image, Model, Recipe
from keras_med.data.augmentation import augment, check, shaded, warped
from keras_med.errors import RecipeError
from keras_med.recipe.settings import assigned, settings_of, values_of, with_values

EVERYTHING = Augment(
    flip=("horizontal", "vertical"), rotate=20, shift=0.1, zoom=0.2, brightness=0.1, contrast=0.2, gamma=0.3, noise=0.05
)
SHAPES = [(17, 17, 1), (17, 23, 3), (12, 14, 5, 2), (9, 9, 200, 1)]


def image_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


def names(count: int) -> list[str]:
    return [f"case {number}" for number in range(count)]


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 9, 3), (8, 8, 6, 1), (9, 9, 3, 2)])
@pytest.mark.parametrize("quarters", [-2, -1, 0, 1, 2, 3])
def test_quarter_turns_are_numpys(shape: tuple[int, ...], quarters: int) -> None:
    image = image_of(shape)
    np.testing.assert_array_equal(warped(image, 90 * quarters, (0, 0), 1), np.rot90(image, quarters))


def test_a_shift_moves_whole_pixels_and_lets_black_in() -> None:
    image = image_of((8, 10, 2))
    moved = warped(image, 0, (2 / 8, -3 / 10), 1)  # 2 down, 3 to the left
    np.testing.assert_allclose(moved[2:, :-3], image[:-2, 3:], atol=1e-4)
    assert not moved[:2].any()
    assert not moved[:, -3:].any()


def test_zooming_by_two_shows_every_pixel_of_the_middle_with_its_neighbours_means_between() -> None:
    image = image_of((5, 5, 1))
    zoomed = warped(image, 0, (0, 0), 2)
    np.testing.assert_allclose(zoomed[::2, ::2], image[1:4, 1:4], atol=1e-4)
    np.testing.assert_allclose(zoomed[::2, 1], (image[1:4, 1] + image[1:4, 2]) / 2, atol=1e-4)


def test_turning_there_and_back_gives_a_smooth_image_again() -> None:
    rows, columns = np.mgrid[:64, :64]
    image = (128 + 100 * np.sin(rows / 9) * np.cos(columns / 7)).astype(np.float32)[..., None]
    again = warped(warped(image, 25, (0, 0), 1), -25, (0, 0), 1)
    assert np.abs(again - image)[20:44, 20:44].max() < 1  # of 255; wrong by a pixel it would be 10


def test_slices_of_a_volume_are_turned_as_pictures_are() -> None:
    volume = image_of((16, 18, 7, 2))
    turned = warped(volume, 13, (0.1, 0.05), 1.1)
    for depth in range(7):
        np.testing.assert_array_equal(turned[:, :, depth], warped(volume[:, :, depth], 13, (0.1, 0.05), 1.1))


def test_greys_change_by_the_formula() -> None:
    image = np.array([0.0, 51.0, 102.0, 255.0], np.float32).reshape(2, 2, 1)  # mean 102
    np.testing.assert_allclose(shaded(image, 1, 1, 0), image, rtol=1e-6)
    np.testing.assert_allclose(shaded(image, 1, 1, 0.1).ravel(), [25.5, 76.5, 127.5, 255], rtol=1e-6)
    np.testing.assert_allclose(shaded(image, 1, 0.5, 0).ravel(), [51, 76.5, 102, 178.5], rtol=1e-6)
    np.testing.assert_allclose(shaded(image, 1, 2, 0).ravel(), [0, 0, 102, 255], atol=1e-4)
    np.testing.assert_allclose(shaded(image, 2, 1, 0).ravel(), [0, 10.2, 40.8, 255], rtol=1e-6)


@pytest.mark.parametrize(
    ("flip", "axes"), [("vertical", [0]), ("horizontal", [1]), ("depth", [2]), (("horizontal", "depth"), [1, 2])]
)
def test_flips_are_numpys_and_come_every_second_time(flip: str, axes: list[int]) -> None:
    volume = image_of((4, 5, 3, 1))
    counts = dict.fromkeys(axes, 0)
    for name in names(400):
        changed = augment(volume, Augment(flip=flip), 0, 0, name)
        flipped = {
            some: np.array_equal(changed, np.flip(volume, some)) for some in ((), *((a,) for a in axes), tuple(axes))
        }
        assert any(flipped.values())
        for axis in axes:
            counts[axis] += any(same for some, same in flipped.items() if axis in some)
    assert all(160 < count < 240 for count in counts.values())  # 200 and four standard deviations


def test_nothing_named_leaves_an_equal_copy() -> None:
    image = image_of((6, 6, 1))
    changed = augment(image, Augment(), 0, 0, "a")
    np.testing.assert_array_equal(changed, image)
    assert not np.shares_memory(changed, image)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("changes", [EVERYTHING, Augment(flip="horizontal"), Augment(rotate=9), Augment(noise=0.1)])
def test_an_input_is_never_changed_and_its_form_is_kept(shape: tuple[int, ...], changes: Augment) -> None:
    image = image_of(shape)
    image.flags.writeable = False
    before = image.copy()
    for epoch in range(5):
        changed = augment(image, changes, 1, epoch, "a")
        assert (changed.shape, changed.dtype) == (shape, np.float32)
        assert changed.flags["C_CONTIGUOUS"]
        assert changed.min() >= 0
        assert changed.max() <= 255
    np.testing.assert_array_equal(image, before)


def test_strengths_stay_within_their_bounds_and_reach_both_ends() -> None:
    middle = np.full((4, 4, 1), 127.5, np.float32)
    lights = [augment(middle, Augment(brightness=0.2), 0, 0, name).mean() / 255 - 0.5 for name in names(500)]
    assert -0.2 <= min(lights) < -0.19
    assert 0.19 < max(lights) <= 0.2
    wedge = np.array([100.0, 110.0], np.float32).reshape(1, 2, 1)
    factors = [float(np.ptp(augment(wedge, Augment(contrast=0.5), 0, 0, name))) / 10 for name in names(500)]
    assert 1 / 1.5 - 1e-4 <= min(factors) < 0.68
    assert 1.48 < max(factors) <= 1.5 + 1e-4
    assert abs(np.mean(np.log(factors))) < 0.05  # as often weaker as stronger
    noises = [float(augment(middle, Augment(noise=0.1), 0, 0, name).std()) / 255 for name in names(200)]
    assert max(noises) < 0.2
    assert np.mean(noises) == pytest.approx(0.05, abs=0.01)  # the deviation is drawn between 0 and 0.1


def test_turns_are_drawn_evenly_between_their_bounds() -> None:
    size = 41
    image = np.zeros((size, size, 1), np.float32)
    image[19:22, 36:39] = 255  # a spot to the right of the centre, at angle 0
    angles = []
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    for name in names(300):
        spot = augment(image, Augment(rotate=30), 3, 2, name)[..., 0]
        angles.append(np.degrees(np.arctan2(-(spot * rows).sum(), (spot * columns).sum())))
    assert -30.5 < min(angles) < -28
    assert 28 < max(angles) < 30.5
    assert np.mean(angles) == pytest.approx(0, abs=3 * 60 / np.sqrt(12 * 300))


def test_seed_epoch_and_name_each_decide() -> None:
    image = image_of((8, 8, 1))
    base = augment(image, EVERYTHING, 1, 2, "a")
    np.testing.assert_array_equal(augment(image, EVERYTHING, 1, 2, "a"), base)
    for other in [(2, 2, "a"), (1, 3, "a"), (1, 2, "b"), (12, 2, "a")]:
        assert not np.array_equal(augment(image, EVERYTHING, *other), base)


def test_turning_one_change_on_leaves_the_others_as_they_were() -> None:
    image = np.tile(np.arange(8, dtype=np.float32), (8, 1))[..., None]
    for name in names(20):
        alone = augment(image, Augment(flip="horizontal"), 0, 0, name)
        lit = augment(image, Augment(flip=("vertical", "horizontal"), contrast=0.1), 0, 0, name)
        assert (alone[0, 0, 0] < alone[0, -1, 0]) == (lit[0, 0, 0] < lit[0, -1, 0])


@pytest.mark.parametrize("shape", SHAPES)
def test_another_process_makes_the_same_bytes(shape: tuple[int, ...]) -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from keras_med import Augment\n"
        "from keras_med.data.augmentation import augment\n"
        f"image = np.random.default_rng(0).uniform(0, 255, {shape}).astype(np.float32)\n"
        f"changes = {EVERYTHING!r}\n"
        "parts = [augment(image, changes, 7, epoch, 'ä 1').tobytes() for epoch in (3, 2, 1, 0)]\n"
        "print(hashlib.sha256(b''.join(reversed(parts))).hexdigest())\n"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    image = image_of(shape)
    own = hashlib.sha256(b"".join(augment(image, EVERYTHING, 7, epoch, "ä 1").tobytes() for epoch in range(4)))
    assert other == own.hexdigest()


def test_a_flip_along_the_depth_of_a_picture_is_refused() -> None:
    check(Augment(flip="depth"), (8, 8, 4, 1))
    check(Augment(flip="vertical"), (8, 8, 1))
    with pytest.raises(RecipeError, match="pictures of 8 x 8 have none\nLeave depth out"):
        check(Augment(flip="depth"), (8, 8, 1))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"rotate": 181}, "expected a number at least 0 and at most 180"),
        ({"zoom": 1.0}, "expected a number at least 0 and below 1"),
        ({"noise": -0.1}, "expected a number at least 0 and below 1"),
        ({"flip": "diagonal"}, "'horizontal' or 'vertical' or 'depth'"),
        ({"flip": True}, "'horizontal' or 'vertical' or 'depth'"),
    ],
)
def test_values_that_make_no_sense_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        Augment(**wrong)  # type: ignore[arg-type]


def recipe_with(changes: Augment | None) -> Recipe:
    return Recipe(
        target=Binary(),
        data=Data(lambda root: None),
        image=Image(size=(8, 8)),
        split=Holdout(),
        model=Model(lambda image: image),
        augment=changes,
    )


def test_changes_are_settings_that_survive_being_written_and_read() -> None:
    recipe = recipe_with(Augment(flip=("horizontal", "vertical"), zoom=0.1))
    typed = assigned(recipe, ["augment.rotate=12", "augment.flip=horizontal"])
    assert typed.augment == Augment(flip="horizontal", zoom=0.1, rotate=12)
    assert all(setting.meaning for name, setting in settings_of(recipe).items() if name.startswith("augment."))
    written = json.loads(json.dumps(values_of(typed)))
    assert with_values(recipe, written) == typed
    assert with_values(recipe_with(None), written).augment is None


def test_changes_cannot_be_set_where_a_recipe_has_none() -> None:
    with pytest.raises(RecipeError, match="this recipe has no augment"):
        assigned(recipe_with(None), ["augment.rotate=12"])
