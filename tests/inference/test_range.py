"""What a network was trained on is told from what it was not: head CT and chest X-rays, in both directions."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from keras_med import Image
from keras_med.data.pixels import read
from keras_med.errors import DataError
from keras_med.inference.range import FEWEST, Range, fit, measure, modality, of_json
from keras_med.phantoms.chest_xray import chest_folders
from keras_med.phantoms.head_ct import rsna

HEAD = Image(size=(48, 48), values=((40, 80), (80, 200)))
GREY = Image(size=(48, 48), values="file", channels=1)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("phantoms") / "heads"
    rsna(folder, seed=3, patients=26, slices=6, side=96)
    return sorted(folder.rglob("*.dcm"))


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("phantoms") / "chests"
    chest_folders(folder, seed=3, covid=45, normal=45, virus=45)
    return sorted([*folder.rglob("*.png"), *folder.rglob("*.jpg")])


def prepared(files: list[Path], image: Image) -> list[np.ndarray]:
    """Read what can be read; phantoms hold broken files too, and colour pictures have no windows."""
    made = []
    for file in files:
        try:
            made.append(read(file, None, image)[1])
        except DataError:
            continue
    return made


def kept(pictures: list[np.ndarray]) -> Range:
    """Learn what pictures are like, and read it again as an export's file has it."""
    made = fit([measure(one) for one in pictures], list(range(len(pictures))))
    return of_json(json.loads(json.dumps(made.to_json())))


def own_flagged(pictures: list[np.ndarray]) -> float:
    """Return the share that is flagged when each third is held out in turn."""
    flagged = []
    for third in range(3):
        known = kept([one for number, one in enumerate(pictures) if number % 3 != third])
        flagged += [bool(known.outside(one)) for one in pictures[third::3]]
    return float(np.mean(flagged))


def flagged(known: Range, others: list[np.ndarray]) -> float:
    return float(np.mean([bool(known.outside(one)) for one in others]))


@pytest.mark.parametrize("image", [HEAD, GREY])
def test_chest_films_given_to_a_head_ct_model_are_flagged_and_its_own_pictures_are_not(
    heads: list[Path], chests: list[Path], image: Image
) -> None:
    own, others = prepared(heads, image), prepared(chests, image)
    assert len(others) > 50
    assert flagged(kept(own[::2]), others) >= 0.95
    assert own_flagged(own) <= 0.02


def test_head_ct_given_to_a_chest_model_is_flagged_and_its_own_pictures_are_not(
    heads: list[Path], chests: list[Path]
) -> None:
    own, others = prepared(chests, GREY), prepared(heads, GREY)
    assert flagged(kept(own), others) >= 0.95
    assert own_flagged(own) <= 0.02


def test_one_in_fifty_new_pictures_is_flagged_at_most_when_all_are_of_one_kind() -> None:
    draw = np.random.default_rng(1)
    pictures = [np.clip(draw.normal(draw.uniform(80, 120), 20, (16, 16, 1)), 0, 255) for _ in range(760)]
    for count in (FEWEST, 60):
        starts = range(0, 500, 100)
        shares = [flagged(kept(pictures[start : start + count]), pictures[560:760]) for start in starts]
        assert np.mean(shares) <= 0.02


def test_what_differs_is_said() -> None:
    draw = np.random.default_rng(2)
    own = [np.clip(draw.normal(draw.uniform(90, 110), 10, (32, 32, 1)), 0, 255) for _ in range(80)]
    known = fit([measure(one) for one in own], range(80), ["CT", ""])
    assert known.outside(own[0] + 120) == "brightness"
    assert "layout" in known.outside(own[0] + 60 * (np.arange(32) > 16)[None, :, None])
    assert known.outside(own[0], "CT") == ""
    assert known.outside(own[0], "") == ""
    assert known.outside(own[0], "CR") == "modality CR"


def test_a_few_odd_training_pictures_do_not_make_everything_usual() -> None:
    draw = np.random.default_rng(4)
    own = [np.clip(draw.normal(draw.uniform(90, 110), 10, (32, 32, 1)), 0, 255) for _ in range(120)]
    own[7] = np.full((32, 32, 1), 255.0)
    known = fit([measure(one) for one in own], range(120))
    assert known.outside(own[7])
    assert known.outside(own[0] + 80)
    assert not known.outside(own[1])


def test_the_modality_is_read_from_dicom_alone_and_says_nothing_else(heads: list[Path], tmp_path: Path) -> None:
    assert modality(heads[0]) == "CT"
    (tmp_path / "a.dcm").write_text("Dear colleague,")
    assert modality(tmp_path / "a.dcm") == ""
    assert modality(tmp_path / "absent") == ""
    header = pydicom.dcmread(heads[0])
    with pydicom.config.disable_value_validation():
        header.Modality = "Miller^Anna"
        header.save_as(tmp_path / "b.dcm")
    assert modality(tmp_path / "b.dcm") == ""
