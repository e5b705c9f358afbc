from pathlib import Path

import pytest

from keras_med import Data
from keras_med.data.location import default_cache, locate
from keras_med.errors import DataError, RecipeError


def index(root: Path) -> None:
    return None


def make(folder: Path, *, seed: int) -> None:
    folder.mkdir()
    (folder / "made.txt").write_text(str(seed))


def fail(folder: Path, *, seed: int) -> None:
    folder.mkdir()
    raise DataError("stopped half-way")


@pytest.fixture(autouse=True)
def no_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KERAS_MED_DATA", raising=False)


def test_named_data_are_real(tmp_path: Path) -> None:
    found = locate(Data(index, phantom=make), "x", tmp_path, tmp_path / "cache", print)
    assert (found.root, found.demo) == (tmp_path, False)


def test_data_are_found_on_the_shelf_by_the_recipe_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "spr_age").mkdir()
    monkeypatch.setenv("KERAS_MED_DATA", str(tmp_path))
    assert locate(Data(index), "spr_age", None, tmp_path, print).root == tmp_path / "spr_age"


def test_without_data_the_phantom_is_made_once(tmp_path: Path) -> None:
    told: list[str] = []
    first = locate(Data(index, phantom=make), "x", None, tmp_path, told.append)
    again = locate(Data(index, phantom=make), "x", None, tmp_path, told.append)
    assert first == again
    assert first.demo
    assert (first.root / "made.txt").read_text() == "0"
    assert len(told) == 1


def test_a_phantom_that_was_stopped_half_way_is_not_trusted(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(DataError, match="half-way"):
            locate(Data(index, phantom=fail), "x", None, tmp_path, print)
    assert list((tmp_path / "phantoms").iterdir()) == []


def test_no_data_and_no_phantom_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no demo data"):
        locate(Data(index), "x", None, tmp_path, print)


def test_a_misspelt_phantom_is_told_with_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Did you mean spr_age"):
        locate(Data(index, phantom="spr_agee"), "x", None, tmp_path, print)


def test_the_cache_is_the_one_named_or_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_MED_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv("KERAS_MED_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_cache() == tmp_path / "x" / "keras_med"


def test_two_runs_may_make_the_same_phantom_at_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def slow(folder: Path, *, seed: int) -> None:
        make(folder, seed=seed)
        if not made:  # meanwhile another run begins, and is done first
            made.append(folder)
            made.append(locate(Data(index, phantom=slow), "x", None, tmp_path, print).root)

    found = locate(Data(index, phantom=slow), "x", None, tmp_path, print)
    assert (found.root, (found.root / "made.txt").read_text()) == (made[1], "0")
    assert list((tmp_path / "phantoms").iterdir()) == [found.root]
