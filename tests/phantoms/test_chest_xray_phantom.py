from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_med.phantoms.chest_xray import chest_folders, spr_age


@pytest.fixture(scope="module")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "spr"
    spr_age(folder, seed=3, train=160, test=6)
    return folder


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "classes"
    chest_folders(folder, seed=3, covid=90, normal=110, virus=100)
    return folder


def read(files: list[Path]) -> list[np.ndarray]:
    return [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files]


def test_the_challenge_has_the_files_and_columns_of_the_real_one(challenge: Path) -> None:
    ages = pd.read_csv(challenge / "train_age.csv")
    asked = pd.read_csv(challenge / "sample_submission_age.csv")
    files = {
        split: sorted(file.name for file in (challenge / "kaggle" / "kaggle" / split).iterdir())
        for split in ("train", "test")
    }
    assert list(ages) == list(asked) == ["imageId", "age"]
    assert ages["imageId"].tolist() == list(range(160))
    assert ages["age"].dtype == float
    assert ages["age"].between(18, 90).all()
    assert (challenge / "train_age.csv").read_text().splitlines()[1].endswith(".0")
    assert (challenge / "sample_submission_age.csv").read_text().splitlines()[1].endswith(",0")
    assert files["train"] == [f"{number:06d}.png" for number in ages["imageId"]]
    assert files["test"] == [f"{number:06d}.png" for number in asked["imageId"]]


def test_the_challenge_s_films_are_grey_of_eight_bits_and_many_have_black_borders(challenge: Path) -> None:
    films = [
        cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in (challenge / "kaggle" / "kaggle" / "train").iterdir()
    ]
    assert {(film.shape, film.dtype) for film in films} == {((300, 300), np.dtype(np.uint8))}
    black = [
        not film[:, :3].any() or not film[:3].any() or not film[:, -3:].any() or not film[-3:].any() for film in films
    ]
    assert 0.5 < np.mean(black) < 1.0


def test_nothing_simple_predicts_the_age(challenge: Path, r2_of, summaries, thumbnails) -> None:
    ages = pd.read_csv(challenge / "train_age.csv")["age"].to_numpy()
    files = sorted((challenge / "kaggle" / "kaggle" / "train").iterdir())
    films = read(files)
    simple = summaries(films) | {"file size": np.array([[file.stat().st_size] for file in files], float)}
    assert {name: r2 for name, r2 in ((name, r2_of(values, ages)) for name, values in simple.items()) if r2 > 0.2} == {}
    assert r2_of(thumbnails(films), ages) < 0.3


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        spr_age(tmp_path / name, seed=seed, train=3, test=1)
    first, second, other = (
        {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("*.*")}
        for name in "abc"
    )
    assert first == second
    assert first.keys() == other.keys()
    assert first[Path("kaggle/kaggle/train/000000.png")] != other[Path("kaggle/kaggle/train/000000.png")]


def test_class_folders_hold_every_kind_of_file(classes: Path) -> None:
    kinds = set()
    for file in classes.glob("*/*"):
        picture = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        bluish = picture.ndim == 3 and picture[..., 0].mean() > picture[..., 2].mean() + 3
        kinds.add((file.suffix, picture.dtype.name, picture.shape[2] if picture.ndim == 3 else 1, bool(bluish)))
    assert {file.parent.name for file in classes.glob("*/*")} == {"covid", "normal", "virus"}
    assert kinds >= {
        (".jpg", "uint8", 1, False),
        (".png", "uint8", 1, False),
        (".jpg", "uint8", 3, False),
        (".jpg", "uint8", 3, True),
        (".png", "uint8", 4, False),
        (".png", "uint16", 1, False),
    }


def test_class_folders_have_the_counts_asked_for_and_names_that_tell_nothing(classes: Path) -> None:
    names = {label: [int(file.stem) for file in (classes / label).iterdir()] for label in ("covid", "normal", "virus")}
    assert {label: len(numbers) for label, numbers in names.items()} == {"covid": 90, "normal": 110, "virus": 100}
    assert sorted(number for numbers in names.values() for number in numbers) == list(range(300))


def test_nothing_simple_predicts_the_class_of_a_film(classes: Path, auroc_of, summaries, thumbnails) -> None:
    files = sorted(classes.glob("*/*"), key=lambda file: file.stem)
    labels = np.array([file.parent.name for file in files])
    films = read(files)
    simple = summaries(films) | {"file size": np.array([[file.stat().st_size] for file in files], float)}
    found = {
        (name, label): auroc_of(values, labels == label)
        for name, values in simple.items()
        for label in np.unique(labels)
    }
    assert {key: auroc for key, auroc in found.items() if auroc > 0.6} == {}
    assert max(auroc_of(thumbnails(films), labels == label) for label in np.unique(labels)) < 0.65
