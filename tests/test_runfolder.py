import json
import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_med import runfolder
from keras_med.errors import DataError, EnvironmentProblem, RecipeError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    runfolder.write_json(target, {"value": 1})

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        runfolder.write_atomically(target, fail)
    assert runfolder.read_json(target)["value"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    def make(text: str) -> None:
        def write(temporary: Path) -> None:
            temporary.mkdir()
            (temporary / text).write_text(text)

        runfolder.write_atomically(tmp_path / "folder", write)

    make("one")
    make("two")
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["two"]


def test_what_json_cannot_hold_is_written_as_null(tmp_path: Path) -> None:
    runfolder.write_json(
        tmp_path / "a.json", {"a": float("nan"), "b": np.float32(1.5), "c": [np.int64(2)], "d": tmp_path}
    )
    assert json.loads((tmp_path / "a.json").read_text()) == {
        "format": 1,
        "a": None,
        "b": 1.5,
        "c": [2],
        "d": str(tmp_path),
    }


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 2}'])
def test_a_damaged_or_foreign_json_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"metrics\.json"):
        runfolder.read_json(tmp_path / "metrics.json")


def test_a_private_table_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    runfolder.write_csv(tmp_path / "index.csv", pd.DataFrame({"path": ["/a"]}), private=True)
    assert stat.S_IMODE((tmp_path / "index.csv").stat().st_mode) == 0o600


def test_each_run_has_a_folder_of_its_own_and_latest_leads_to_the_newest(tmp_path: Path) -> None:
    first, second = (runfolder.new_run(tmp_path, "spr_age") for _ in range(2))
    assert first.path != second.path
    assert (tmp_path / "spr_age" / "latest").resolve() == second.path.resolve()


def test_a_run_is_found_by_being_the_newest_by_name_and_by_folder(tmp_path: Path) -> None:
    old, new = tmp_path / "r" / "20260101T000000Z-aaaa", tmp_path / "r" / "20260102T000000Z-bbbb"
    for folder in (old, new):
        folder.mkdir(parents=True)
        runfolder.write_json(folder / "settings.json", {})
    assert runfolder.find_run(tmp_path, "r", None).path == new
    assert runfolder.find_run(tmp_path, "r", old.name).path == old
    assert runfolder.find_run(tmp_path, "r", str(old)).path == old


def test_no_run_to_resume_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no run to resume"):
        runfolder.find_run(tmp_path, "r", None)


def test_a_run_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file in the way")
    with pytest.raises(EnvironmentProblem, match="cannot be made"):
        runfolder.new_run(tmp_path / "runs", "r")


def test_temporary_names_differ_between_processes(tmp_path: Path) -> None:
    seen: list[str] = []
    runfolder.write_atomically(tmp_path / "a.txt", lambda temporary: (seen.append(temporary.name), temporary.touch()))
    assert str(os.getpid()) in seen[0]
