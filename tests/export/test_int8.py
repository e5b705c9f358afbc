"""What 8-bit weights change is measured on golden images and on pictures of the run; worked out by hand."""

from pathlib import Path

import numpy as np
import pytest

from keras_med.export import golden, int8

SHAPE = (4, 4, 1)
MADE = {"seed": 20, "indices": [0, 1, 2, 3], "shape": list(SHAPE)}


def brightness(pixels: np.ndarray) -> np.ndarray:
    return pixels.mean(axis=(1, 2))


def brighter(pixels: np.ndarray) -> np.ndarray:
    return brightness(pixels) + 0.5


def levels(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None, None, None] * np.ones((1, *SHAPE), np.float32)


def held_out(folder: Path, pictures: np.ndarray, threshold: float) -> Path:
    np.savez(folder / "held_out.npz", pictures=pictures, threshold=threshold)
    return folder / "held_out.npz"


def test_decisions_between_the_two_answers_change(tmp_path: Path) -> None:
    told = int8.change(brightness, brighter, MADE, held_out(tmp_path, levels(1, 2, 3, 4), 3.2))
    assert told["held_out"] == {"pictures": 4, "largest": 0.5, "mean": 0.5, "decisions_changed": 1}  # 3 becomes 3.5
    means = brightness(golden.images(20, [0, 1, 2, 3], SHAPE).astype(np.float32))
    assert told["golden"]["largest"] == pytest.approx(0.5)
    assert told["golden"]["mean"] == pytest.approx(0.5)
    assert told["golden"]["of_span"] == pytest.approx(0.5 / np.ptp(means))
    (line,) = int8.lines(told)
    assert "on 4 pictures not trained on" in line
    assert line.endswith("change by 0.5 in the mean, 0.5 at most; decisions changed: 1")


def test_of_several_classes_the_largest_decides_and_a_number_decides_nothing(tmp_path: Path) -> None:
    def two(pixels: np.ndarray) -> np.ndarray:
        return np.concatenate([brightness(pixels), np.full((len(pixels), 1), 2.2)], axis=1)

    def other(pixels: np.ndarray) -> np.ndarray:
        return two(pixels) + np.array([0.5, 0.0])

    told = int8.change(two, other, MADE, held_out(tmp_path, levels(1, 2, 3), 0.0))
    assert told["held_out"]["decisions_changed"] == 1  # 2 becomes 2.5, above 2.2
    told = int8.change(brightness, brighter, MADE, held_out(tmp_path, levels(1, 2, 3), np.nan))
    assert "decisions_changed" not in told["held_out"]
    assert "held_out" not in int8.change(brightness, brighter, MADE, None)


def test_one_image_may_change_much_but_all_images_only_by_5_percent_of_the_span() -> None:
    recorded = np.stack([np.arange(21.0), np.full(21, 3.0)], axis=1)  # spans 20: 1 is allowed in the mean
    found = recorded.copy()
    found[4, 0] += 10.5
    assert int8.share(recorded, found) == pytest.approx(0.5)
    assert int8.share(recorded, recorded + np.array([0.0, 1.5])) == pytest.approx(1.5)  # the column that changes most
    assert int8.share(recorded, np.stack([recorded, recorded + 1.0])) == pytest.approx(0.5)  # two passes
