from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_med.errors import DataError
from keras_med.phantoms.folders import dosed, encoded, whole_folder, write_picture


def names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def test_a_folder_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "data") as root:
        (root / "a.txt").write_text("a")
        assert not (tmp_path / "data").exists()
    assert names(tmp_path / "data") == ["a.txt"]
    assert names(tmp_path) == ["data"]


def test_a_folder_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_folder(tmp_path / "data") as root:
            (root / "a.txt").write_text("a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(tmp_path) == []


def test_what_is_there_already_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="not written over"), whole_folder(tmp_path):
        pass
    assert names(tmp_path) == ["mine.txt"]


def test_of_two_processes_that_make_one_folder_the_first_wins(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "data") as root:
        (root / "a.txt").write_text("second")
        with whole_folder(tmp_path / "data") as other:
            (other / "a.txt").write_text("first")
    assert (tmp_path / "data" / "a.txt").read_text() == "first"
    assert names(tmp_path) == ["data"]


def test_colours_are_written_in_the_order_red_green_blue(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[..., 0] = 200
    write_picture(tmp_path / "red.png", pixels)
    assert cv2.imread(str(tmp_path / "red.png"))[0, 0].tolist() == [0, 0, 200]  # OpenCV reads blue first


def test_noise_is_dosed_until_the_file_has_the_size_asked_for() -> None:
    noise = np.random.default_rng(0).normal(size=(64, 64))
    picture = dosed(lambda dose: np.clip(128 + 100 * dose * noise, 0, 255).astype(np.uint8), size=2400)
    assert len(encoded(picture, ".png")) == pytest.approx(2400, rel=0.1)
