from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_med.phantoms.brain_mr import brain_tumor, measures

COLUMNS = (
    "Image,Class,Mean,Variance,Standard Deviation,Entropy,Skewness,Kurtosis,Contrast,Energy,ASM,Homogeneity,"
    "Dissimilarity,Correlation,Coarseness"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "brains"
    brain_tumor(folder, seed=2, heads=12, slices=6)
    return folder


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One slice a head, so that no model is helped by having seen the head."""
    folder = tmp_path_factory.mktemp("data") / "strangers"
    brain_tumor(folder, seed=4, heads=420, slices=1)
    return folder


def pictures(folder: Path) -> tuple[pd.DataFrame, list[Path], list[np.ndarray]]:
    table = pd.read_csv(folder / "Brain Tumor.csv")
    files = [folder / "Brain Tumor" / "Brain Tumor" / f"{name}.jpg" for name in table["Image"]]
    return table, files, [cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in files]


def test_the_csv_and_the_jpeg_files_are_those_of_the_real_set(data: Path) -> None:
    table, files, found = pictures(data)
    assert (data / "Brain Tumor.csv").read_text().splitlines()[0] == COLUMNS
    assert table["Image"].tolist() == [f"Image{number}" for number in range(1, 73)]
    assert set(table["Class"]) == {0, 1}
    assert sorted(files) == sorted((data / "Brain Tumor" / "Brain Tumor").iterdir())
    assert {picture.shape for picture in found} == {(240, 240, 3)}
    assert files[0].read_bytes()[:2] == b"\xff\xd8"


def test_the_measures_of_the_csv_are_those_of_its_pictures(data: Path) -> None:
    """JPEG moves grey levels by a few, so the mean holds to a level and the deviation to a percent."""
    table, _, found = pictures(data)
    assert table["Mean"].to_numpy() == pytest.approx([picture.mean() for picture in found], abs=1.0)
    assert table["Standard Deviation"].to_numpy() == pytest.approx([picture.std() for picture in found], rel=0.02)
    assert table["Variance"].to_numpy() == pytest.approx(table["Standard Deviation"].to_numpy() ** 2)
    assert table["Energy"].to_numpy() == pytest.approx(np.sqrt(table["ASM"].to_numpy()))


def test_the_measures_of_a_chessboard_of_0_and_1() -> None:
    """Worked by hand: every pair is (0, 1) or (1, 0), each a half. Inside are eight pixels of each level,
    each half a level from its neighbours' mean: 1 / (8 * 0.5 / 2 + 8 * 0.5 / 2) is a quarter."""
    board = (np.indices((6, 6)).sum(axis=0) % 2).astype(np.uint8)
    found = measures(board)
    assert found == pytest.approx(
        {
            "Mean": 0.5,
            "Variance": 0.25,
            "Standard Deviation": 0.5,
            "Entropy": 1.0,
            "Skewness": 0.0,
            "Kurtosis": 1.0,
            "Contrast": 1.0,
            "Energy": 0.5**0.5,
            "ASM": 0.5,
            "Homogeneity": 0.5,
            "Dissimilarity": 1.0,
            "Correlation": -1.0,
            "Coarseness": 0.25,
        }
    )


def test_nothing_simple_predicts_a_tumour(strangers: Path, auroc_of, summaries, thumbnails) -> None:
    table, files, found = pictures(strangers)
    grey = [picture[..., 0] for picture in found]
    positive = table["Class"].to_numpy() == 1
    simple = summaries(grey) | {"file size": np.array([[file.stat().st_size] for file in files], float)}
    aurocs = {name: auroc_of(values, positive) for name, values in simple.items()}
    assert {name: auroc for name, auroc in aurocs.items() if auroc > 0.6} == {}
    assert auroc_of(thumbnails(grey), positive) < 0.65


def test_neighbouring_numbers_are_slices_of_one_head_and_nearly_alike(data: Path, thumbnails) -> None:
    _, _, found = pictures(data)
    small = thumbnails([picture[..., 0] for picture in found])
    apart = ((small[:, None] - small[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    head = np.arange(len(found)) // 6
    assert (head[apart.argmin(axis=1)] == head).mean() > 0.9


def test_one_seed_gives_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in "ab":
        brain_tumor(tmp_path / name, seed=9, heads=2, slices=2)
    first, second = (
        {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("*.*")}
        for name in "ab"
    )
    assert first == second
