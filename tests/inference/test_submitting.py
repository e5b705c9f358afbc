"""predictions.csv to a challenge's form: keys are file names or rows, and what cannot be filled is refused early."""

from pathlib import Path

import pytest

from keras_med.errors import DataError, RecipeError
from keras_med.inference.submitting import check, submit


def test_file_names_are_keys_and_leading_zeros_do_not_count(tmp_path: Path) -> None:
    table, sample = tmp_path / "out.csv", tmp_path / "sample.csv"
    table.write_text("path,row,predicted,reason\nx/000007.png,,61.5,\nx/000012.png,,33.25,\nx/bad.png,,,broken\n")
    sample.write_text("imageId,age\n12,0\n7,0\n")
    check(sample, table)
    assert submit(table, sample).read_text() == "imageId,age\n12,33.25\n7,61.5\n"


def test_rows_of_one_stack_are_keys(tmp_path: Path) -> None:
    table, sample = tmp_path / "out.csv", tmp_path / "sample.csv"
    table.write_text("path,row,p_1,calibrated_1,decision,reason\ns.npy,0,0.25,0.5,1,\ns.npy,1,0.5,0.75,1,\n")
    sample.write_text("id,bleed\n1,0\n0,0\n")
    assert submit(table, sample).read_text() == "id,bleed\n1,0.5\n0,0.25\n"


def test_what_cannot_be_filled_is_said(tmp_path: Path) -> None:
    table, sample = tmp_path / "out.csv", tmp_path / "submission.csv"
    table.write_text("path,row,predicted,reason\na/7.png,,1.0,\nb/7.png,,2.0,\nc/8.png,,,broken\n")
    sample.write_text("id,age\n8,0\n")
    with pytest.raises(RecipeError, match="overwrite its sample"):
        check(sample, table)
    with pytest.raises(DataError, match="absent"):
        check(tmp_path / "nowhere.csv", table)
    with pytest.raises(DataError, match="Several predictions have one name: 7"):
        submit(table, sample)
    table.write_text("path,row,predicted,reason\na/7.png,,1.0,\nc/8.png,,,broken\n")
    with pytest.raises(DataError, match="1 rows of the sample submission have no prediction: 8"):
        submit(table, sample)
    sample.write_text("id,age,more\n8,0,0\n")
    with pytest.raises(DataError, match="two columns"):
        check(sample, table)
