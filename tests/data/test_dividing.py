from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_med import Binary, Column, Data, Evaluate, Final, Holdout, Image, KFold, Model, Recipe, Regression
from keras_med.data.dividing import divide_index, natural
from keras_med.errors import DataError, RecipeError
from keras_med.recipe.words import Split


def index(root: Path) -> Any:
    return None


def network(image: Any) -> Any:
    return image


def recipe(split: Split, final: Final | None = None, **data: Any) -> Recipe:
    return Recipe(
        target=Binary(),
        data=Data(index, **data),
        image=Image(size=(8, 8)),
        split=split,
        model=Model(network),
        final=final,
        seed=1,
    )


def table_of(rows: int, positives: int, **columns: Any) -> pd.DataFrame:
    labels = ["1"] * positives + ["0"] * (rows - positives)
    ids = [f"{number:05}" for number in range(rows)]
    return pd.DataFrame({"id": ids, "label": labels, "labelled": True, "group": ids, **columns})


def places(splits: pd.DataFrame, fold: str = "0") -> pd.Series:
    return splits[splits["fold"] == fold].set_index("id")["split"]


def test_mirrored_copies_train_with_their_pictures_and_nowhere_else() -> None:
    table = table_of(100, 40, patient=[f"p{number // 2}" for number in range(100)])
    made = divide_index(table, recipe(KFold(folds=3, test=0.2), Final(), mirror="training"))
    assert made.shared == 0
    for fold in ("0", "1", "2", "final"):
        side = places(made.splits, fold)
        copies = side[side.index.str.endswith("~mirror")]
        pictures = side[copies.index.str.removesuffix("~mirror")]
        assert (copies == "train").tolist() == (pictures == "train").tolist()
        assert set(copies) <= {"train", "unused"}
        assert (copies == "train").sum() == (side.drop(copies.index) == "train").sum()
    rows = made.index.set_index("id")
    assert rows["mirrored"].sum() == 80  # those of the test split have none
    group = made.splits.drop_duplicates("id").set_index("id")["group"]
    for copy in rows.index[rows["mirrored"]]:
        picture = copy.removesuffix("~mirror")
        assert rows.loc[copy, "patient"] == rows.loc[picture, "patient"]
        assert group[copy] == group[picture]


def test_the_published_mirroring_doubles_the_table_first_and_its_pairs_cross() -> None:
    """Seed 003: 1,196 pictures (295, 468, 433) become 2,392, divided into 1,674, 358 and 360 rows."""
    ids = [f"{number:04}" for number in range(1196)]
    labels = ["covid"] * 295 + ["normal"] * 468 + ["virus"] * 433
    table = pd.DataFrame({"id": ids, "label": labels, "labelled": True, "group": ids})
    split = Holdout(validation=358 / 2392, test=360 / 2392)
    made = divide_index(table, recipe(split, mirror="before_split"))
    side = places(made.splits)
    assert side.value_counts().to_dict() == {"train": 1674, "validation": 358, "test": 360}
    pairs = side.groupby(side.index.str.removesuffix("~mirror")).nunique()
    assert made.shared == (pairs == 2).sum()
    expected = 1 - 0.7**2 - 2 * 0.15**2  # by chance
    assert made.shared == pytest.approx(1196 * expected, abs=4 * np.sqrt(1196 * expected * (1 - expected)))
    assert "shared between its sides" in made.lines[0]
    assert made.lines[0].startswith(f"split 2392 examples: {made.shared} ")


def test_before_the_split_each_class_becomes_as_small_as_the_smallest_everywhere() -> None:
    made = divide_index(table_of(1000, 100), recipe(Holdout(), balance="undersample_before_split"))
    side = places(made.splits)
    assert side.value_counts().to_dict() == {"unused": 800, "train": 140, "validation": 30, "test": 30}
    positive = pd.Series([name < "00100" for name in side.index])
    assert positive.groupby(side.to_numpy()).sum().to_dict() == {"train": 70, "validation": 15, "test": 15, "unused": 0}
    assert made.lines[1] == "800 examples of the larger classes are left out before the split"


def test_on_the_training_side_alone_validation_and_test_keep_their_shares() -> None:
    side = places(divide_index(table_of(1000, 100), recipe(Holdout(), balance="undersample")).splits)
    assert side.value_counts().to_dict() == {"unused": 560, "validation": 150, "test": 150, "train": 140}


def test_a_split_by_example_is_counted_by_patient() -> None:
    table = table_of(400, 200, patient=[f"p{number % 40}" for number in range(400)])
    sound = divide_index(table, recipe(Holdout()))
    torn = divide_index(table, recipe(Holdout(by="example")))
    assert sound.shared == 0
    assert torn.shared >= 36  # of 40: ten examples of one patient stay together by a chance of 0.7^10
    assert torn.splits["group"].nunique() == 40
    assert f"{torn.shared} patients shared" in torn.lines[0]


def test_a_given_split_that_leaks_is_kept_when_it_is_asked_for_by_name() -> None:
    """Seed 002: a copy of every test picture trains."""
    table = table_of(60, 30, split=["train"] * 40 + ["validation"] * 10 + ["test"] * 10)
    table["group"] = [*table["id"][:10], *table["id"][10:50], *table["id"][:10]]
    with pytest.raises(DataError, match="10 between train and test"):
        divide_index(table, recipe(Column("split")))
    made = divide_index(table, recipe(Column("split", leaks="allow")))
    assert places(made.splits).value_counts().to_dict() == {"train": 40, "validation": 10, "test": 10}
    assert made.shared == 10
    assert places(divide_index(table, recipe(Column("split", leaks="drop_from_training"))).splits)["00000"] == "unused"


@pytest.mark.parametrize("mirror", [None, "training"])
def test_a_run_s_splits_can_be_given_back(tmp_path: Path, mirror: str | None) -> None:
    table = table_of(300, 90, patient=[f"p{number // 3}" for number in range(300)])
    first = divide_index(table, recipe(KFold(folds=3), Final(), mirror=mirror))
    file = tmp_path / "splits.csv"
    first.splits.to_csv(file, index=False)
    other = replace(recipe(KFold(folds=3), Final(), mirror=mirror, splits=str(file)), seed=7)
    again = divide_index(table, other)
    order = ["fold", "id"]
    pd.testing.assert_frame_equal(
        again.splits.sort_values(order, ignore_index=True), first.splits.sort_values(order, ignore_index=True)
    )
    assert f"divided as {file} says" in again.lines
    whole = divide_index(table, replace(other, final=Final(ensemble=True))).splits
    assert set(whole.loc[whole["fold"] == "final", "split"]) <= {"train", "test", "unused"}, "no part is set aside"
    with pytest.raises(RecipeError, match=r"has the folds 0, 1, 2, final; this recipe makes 0\."):
        divide_index(table, recipe(Holdout(), splits=str(file)))
    few = divide_index(table.head(60), recipe(KFold(folds=2), Final(), splits=str(file)), partial=True).splits
    assert set(few["fold"]) == {"0", "1", "final"}
    assert few["id"].nunique() == 60
    crossed = first.splits.copy()
    crossed.loc[(crossed["fold"] == "0") & (crossed["id"] == "00000"), "split"] = "test"
    crossed.loc[(crossed["fold"] == "0") & (crossed["id"] == "00001"), "split"] = "train"
    crossed.to_csv(file, index=False)
    with pytest.raises(DataError, match="on both sides"):
        divide_index(table, other)


def test_what_cannot_be_scored_by_patient_is_refused_before_the_training() -> None:
    asked = replace(recipe(Holdout()), evaluate=Evaluate(unit="patient"))
    people = [f"p{number // 2}" for number in range(60)]
    divide_index(table_of(60, 21, patient=people), asked)  # of a binary target one positive example is enough
    with pytest.raises(DataError, match="60 of 60 labelled examples have none"):
        divide_index(table_of(60, 20), asked)
    with pytest.raises(DataError, match="1 of 60 labelled examples have none"):
        divide_index(table_of(60, 20, patient=["", *people[1:]]), asked)
    with pytest.raises(DataError, match="patients with several labels: 1"):
        divide_index(table_of(60, 21, patient=people), replace(asked, target=Regression()))


def test_twins_may_cross_where_duplicates_are_allowed_and_are_counted() -> None:
    table = table_of(200, 100)
    table["group"] = [f"{number // 10 * 10:05}" for number in range(200)]
    assert divide_index(table, recipe(Holdout())).shared == 0
    assert divide_index(table, recipe(Holdout(), duplicates="allow")).shared > 0


def test_unlabelled_rows_stand_below_with_the_fold_that_predicts_them() -> None:
    table = pd.concat(
        [table_of(60, 30), pd.DataFrame({"id": ["x"], "label": [""], "labelled": [False], "group": [""]})]
    )
    made = divide_index(table.reset_index(drop=True), recipe(Holdout(), mirror="training"), fold="0")
    assert made.splits.iloc[-1].to_dict() == {"id": "x", "group": "", "split": "unlabelled", "fold": "0"}
    assert not made.index.set_index("id").loc["x", "mirrored"]


def test_blocks_keep_runs_of_files_together_in_a_fold_of_their_own() -> None:
    table = table_of(400, 0)
    table["id"] = [f"scan{number}" for number in range(400)]
    table["label"] = [str(number % 2) for number in range(400)]
    table["group"] = table["id"].where(table["id"] != "scan399", "scan0")  # a twin in the last block
    made = divide_index(table, recipe(KFold(folds=4, test=0.2), blocks=40)).splits
    side = places(made, "blocks").reindex(table["id"])
    block = pd.Series(np.arange(400) // 10, index=table["id"])
    whole = side[side != "unused"].groupby(block).nunique()
    assert (whole == 1).all()
    assert (side == "test").sum() == 80
    assert side["scan0"] == side["scan399"] or "unused" in (side["scan0"], side["scan399"])
    assert divide_index(table, recipe(KFold(folds=4, test=0.2), blocks=40)).shared == 0
    with pytest.raises(RecipeError, match="without patients"):
        divide_index(table.assign(patient=table["id"]), recipe(Holdout(), blocks=40))


def test_file_numbers_sort_as_numbers() -> None:
    names = ["scan10", "scan9", "scan1", "other2"]
    assert sorted(names, key=natural) == ["other2", "scan1", "scan9", "scan10"]


@pytest.mark.parametrize("mirror", ["training", "before_split"])
def test_a_table_that_carries_its_exclusions_is_divided_too(mirror: str) -> None:
    table = table_of(60, 30)
    table.attrs = {"excluded": pd.DataFrame({"id": ["x", "y"]})}
    assert divide_index(table, recipe(Holdout(), mirror=mirror)).index["mirrored"].any()
    assert "excluded" in table.attrs


@pytest.mark.parametrize("balance", ["undersample", "undersample_before_split"])
def test_numbers_cannot_be_undersampled(balance: str) -> None:
    table = table_of(50, 0).assign(label=[f"{age}.0" for age in range(20, 70)])  # as index.csv holds them
    numbers = replace(recipe(Holdout(), balance=balance), target=Regression())
    with pytest.raises(RecipeError, match="needs classes"):
        divide_index(table, numbers)
