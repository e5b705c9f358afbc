from pathlib import Path
from typing import Literal

import pandas as pd
import pytest

from keras_med.errors import DataError
from keras_med.evaluation import gathering
from keras_med.evaluation.summary import Scoring

SPLITS = pd.DataFrame(
    {"id": ["a", "b", "c", "d"], "fold": ["0"] * 4, "split": ["train", "train", "test", "test"], "group": ["a"] * 4}
)


def test_predictions_of_fits_become_one_table_with_ids_as_text(tmp_path: Path) -> None:
    for fit in ("one", "two"):
        (tmp_path / f"{fit}.csv").write_text(f"id,fit,role,label,predicted\n007,{fit},test,1.5,1.25\n")
    table = gathering.gathered({fit: tmp_path / f"{fit}.csv" for fit in ("one", "two")})
    assert table["id"].tolist() == ["007", "007"]
    assert table["label"].tolist() == ["1.5", "1.5"]


def test_predictions_of_another_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("id,fit,role,label,predicted\n007,two,test,1,1\n")
    with pytest.raises(DataError, match="another fit"):
        gathering.gathered({"one": tmp_path / "one.csv"})


def test_a_test_split_s_uses_are_counted_over_runs_and_a_resumed_run_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "test_uses.csv"
    assert gathering.count_test_use(file, SPLITS, "0", "run1") == 1
    assert gathering.count_test_use(file, SPLITS, "0", "run2") == 2
    assert gathering.count_test_use(file, SPLITS, "0", "run2") == 2
    other = SPLITS.assign(split=["train", "test", "test", "test"])
    assert gathering.count_test_use(file, other, "0", "run3") == 1
    assert len(file.read_text().splitlines()) == 4  # a header and one line a use


def test_a_fold_s_training_labels_are_those_of_its_training_side() -> None:
    index = pd.DataFrame({"id": ["d", "c", "b", "a"], "label": ["4", "3", "2", "1"]})
    scoring = Scoring("regression", "", (), 1)
    assert gathering.labels_of(index, SPLITS, "0", undersampled=False, scoring=scoring).tolist() == ["1", "2"]


def test_the_constant_knows_the_shares_before_undersampling_and_counts_the_cases_that_are_scored() -> None:
    index = pd.DataFrame({"id": list("abcde"), "label": ["yes", "no", "no", "no", "no"], "patient": list("ppqrs")})
    splits = pd.DataFrame({"id": list("abcde"), "fold": "0", "split": ["train", "train", "unused", "unused", "test"]})

    def labels(case: Literal["example", "patient"], *, undersampled: bool) -> list[str]:
        scoring = Scoring("binary", "", ("no", "yes"), 1, case)
        return gathering.labels_of(index, splits, "0", undersampled=undersampled, scoring=scoring).tolist()

    assert labels("example", undersampled=False) == ["yes", "no"]
    assert labels("example", undersampled=True) == ["yes", "no", "no", "no"]
    assert labels("patient", undersampled=True) == ["yes", "no", "no"]


def test_unknown_patients_stay_unknown() -> None:
    rows = pd.DataFrame({"id": ["a", "b"]})
    known = gathering.with_patients(rows, pd.DataFrame({"id": ["a", "b"], "patient": ["p1", ""]}))
    assert known["patient"].iloc[0] == "p1"
    assert pd.isna(known["patient"].iloc[1])
    assert "patient" not in gathering.with_patients(rows, pd.DataFrame({"id": ["a"], "patient": [""]}))
