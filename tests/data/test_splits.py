import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from keras_med import Column, Final, Holdout, KFold, Regression, tables
from keras_med.data.split_division import groups_of
from keras_med.data.splits import check_disjoint, make_splits, read_splits, undersampled
from keras_med.errors import DataError, RecipeError
from keras_med.recipe.seeds import seed_for


def table_of(labels, **columns):
    return pd.DataFrame({"id": [f"{number:05}" for number in range(len(labels))], "label": labels, **columns})


def yes_and_no(rows, positive_share=0.3):
    return [int(number < rows * positive_share) for number in range(rows)]


def counts(splits, fold="0"):
    return splits.loc[splits["fold"] == fold, "split"].value_counts().to_dict()


def places(splits, fold="0"):
    return splits[splits["fold"] == fold].set_index("id")["split"]


def binary(table, split, final=None, seed=1):
    return make_splits(table, split, final, kind="binary", seed=seed)


def test_single_examples_get_the_shares_exactly_in_each_class():
    made = binary(table_of(yes_and_no(700)), Holdout(validation=0.15, test=0.15))
    assert counts(made) == {"train": 490, "validation": 105, "test": 105}
    labels = places(made).index.astype(int) < 210
    assert pd.Series(labels).groupby(places(made).to_numpy()).sum().to_dict() == {
        "train": 147,
        "validation": pytest.approx(31.5, abs=0.5),
        "test": pytest.approx(31.5, abs=0.5),
    }


def test_a_number_is_stratified_by_quantile():
    ages = np.random.default_rng(0).normal(55, 19, 1000)
    made = make_splits(table_of(ages), Holdout(), None, kind="regression", seed=1)
    lowest = ages < np.quantile(ages, 0.1)
    assert pd.Series(lowest).groupby(places(made).to_numpy()).sum().to_dict() == {
        "train": 70,
        "validation": 15,
        "test": 15,
    }


def test_equal_numbers_are_one_bin():
    made = make_splits(table_of([7.0] * 100), Holdout(), None, kind="regression", seed=1)
    assert counts(made) == {"train": 70, "validation": 15, "test": 15}


def test_each_fold_predicts_another_fifth_and_cuts_its_validation_from_the_training_side():
    made = binary(table_of(yes_and_no(1000)), KFold(folds=5, validation=0.1, test=0.15))
    assert sorted(set(made["fold"])) == ["0", "1", "2", "3", "4"]
    for fold in "01234":
        assert counts(made, fold) == {"train": 612, "out_of_fold": 170, "test": 150, "validation": 68}
    assert places(made, "0").eq("test").equals(places(made, "4").eq("test"))
    predicted = made.loc[made["split"] == "out_of_fold", "id"]
    assert sorted(predicted) == sorted(places(made).index[places(made) != "test"])


def test_without_a_validation_share_the_fold_itself_is_watched():
    made = binary(table_of(yes_and_no(100)), KFold(folds=4, validation=0, test=0))
    assert counts(made) == {"train": 75, "out_of_fold": 25}


def test_the_final_network_trains_on_97_percent_of_what_is_no_test():
    made = binary(table_of(yes_and_no(1000)), KFold(test=0.15), Final(share=0.97))
    assert counts(made, "final") == {"train": 824, "test": 150, "validation": 26}
    assert places(made, "final").eq("test").equals(places(made, "0").eq("test"))


def test_an_ensemble_has_trained_on_all_that_is_no_test():
    made = binary(table_of(yes_and_no(1000)), KFold(test=0.15), Final(ensemble=True))
    assert counts(made, "final") == {"train": 850, "test": 150}
    assert places(made, "final").eq("test").equals(places(made, "0").eq("test"))


def test_the_published_redraw_takes_the_test_split_in():
    made = binary(table_of(yes_and_no(1000)), Holdout(), Final(share=0.97, redraw=True))
    assert counts(made, "final") == {"train": 970, "validation": 30}


def test_the_order_of_the_rows_changes_nothing():
    table = table_of(yes_and_no(300), patient=[f"p{number % 70}" for number in range(300)])
    shuffled = table.sample(frac=1, random_state=3)
    assert binary(table, KFold(), Final()).equals(binary(shuffled, KFold(), Final()))


def test_the_names_of_patients_change_nothing_since_every_user_has_other_hashes():
    table = table_of(yes_and_no(300), patient=[f"p{number % 70}" for number in range(300)])
    renamed = table.assign(patient=[f"{(number % 70) * 37 % 71:016x}" for number in range(300)])
    assert binary(table, KFold()).equals(binary(renamed, KFold()))


def test_another_seed_gives_another_split():
    table = table_of(yes_and_no(300))
    assert not binary(table, Holdout(), seed=1).equals(binary(table, Holdout(), seed=2))


def test_twins_of_two_patients_join_both_patients():
    table = table_of([0] * 5, patient=["a", "a", "b", "b", None], group=["", "x", "x", None, None])
    assert groups_of(table).tolist() == [0, 0, 0, 0, 1]


def test_a_study_stands_in_for_an_unknown_patient():
    table = table_of([0] * 4, patient=["a", None, None, None], study=["s", "s", "s", "t"])
    assert groups_of(table).tolist() == [0, 1, 1, 2]


def test_a_group_is_named_after_its_first_id():
    table = table_of(yes_and_no(60), patient=[f"p{number % 30}" for number in range(60)])
    made = binary(table, Holdout()).set_index("id")
    assert made.loc["00045", "group"] == "00015"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(30, 150).flatmap(
        lambda rows: st.tuples(
            st.lists(st.integers(0, 2), min_size=rows, max_size=rows),
            st.lists(st.integers(0, rows), min_size=rows, max_size=rows),
            st.lists(st.one_of(st.none(), st.integers(0, rows // 3)), min_size=rows, max_size=rows),
        )
    ),
    st.sampled_from(
        [Holdout(), Holdout(validation=0.3, test=0.2), KFold(folds=3), KFold(folds=4, validation=0, test=0)]
    ),
    st.integers(0, 9),
)
def test_no_patient_or_twin_crosses_and_every_id_has_one_place_in_each_fold(drawn, split, seed):
    labels, patients, twins = drawn
    table = table_of(labels, patient=[f"p{number}" for number in patients])
    table["group"] = [None if number is None else f"g{number}" for number in twins]
    try:
        made = make_splits(table, split, Final(), kind="classes", seed=seed)
    except DataError:  # too few patients of a class: test_a_class_with_two_patients_cannot_be_held_out
        reject()
    for fold in set(made["fold"]):
        side = places(made, fold)
        assert sorted(side.index) == list(table["id"])
        for column in ("patient", "group"):
            owner = table.set_index("id")[column].dropna()
            assert (side[owner.index].groupby(owner).nunique() <= 1).all()  # of none too: a draw may have no twins
    assert check_disjoint(made, table) == 0


def test_shares_of_many_patients_are_met_and_classes_shared_at_least_as_well_as_scikit_learn_does():
    draw = np.random.default_rng(5)
    patients = draw.integers(0, 200, 2000)
    sick = draw.random(200) < 0.25
    labels = (sick[patients] & (draw.random(2000) < 0.6)).astype(int)
    table = table_of(labels, patient=[f"p{number}" for number in patients])
    made = make_splits(table, KFold(folds=5, validation=0, test=0), None, kind="binary", seed=1)
    test_rows = [np.flatnonzero(places(made, str(fold)) == "out_of_fold") for fold in range(5)]
    theirs = StratifiedGroupKFold(5, shuffle=True, random_state=1).split(labels, labels, patients)
    spread = np.std([labels[rows].mean() for rows in test_rows])
    assert spread <= np.std([labels[rows].mean() for _, rows in theirs]) + 0.005
    assert [len(rows) for rows in test_rows] == [pytest.approx(400, abs=6)] * 5


def test_a_rare_class_reaches_every_side():
    table = table_of([1] * 3 + [0] * 300)
    made = binary(table, Holdout())
    assert sorted(places(made)[["00000", "00001", "00002"]]) == ["test", "train", "validation"]


def test_a_class_with_two_patients_cannot_be_held_out():
    with pytest.raises(DataError, match="'1' has 2, 3 are needed") as raised:
        binary(table_of([1] * 2 + [0] * 50), Holdout())
    assert raised.value.remedy


def test_fewer_patients_than_folds_are_refused():
    table = table_of([0, 1] * 20, patient=["a", "b", "c", "d"] * 10)
    with pytest.raises(DataError, match="4 patients or groups are too few to divide into 5 sides"):
        binary(table, KFold(folds=5, test=0))


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(RecipeError, match="leaves nothing to train on"):
        binary(table_of(yes_and_no(50)), Holdout(validation=0.5, test=0.5))


def given_split(**columns):
    rows = 100
    split = ["train"] * 60 + ["val"] * 20 + ["Test "] * 20
    return table_of([number % 2 for number in range(rows)], split=split, **columns)


def test_a_given_column_is_taken_as_it_is():
    assert counts(binary(given_split(), Column("split"))) == {"train": 60, "validation": 20, "test": 20}


def test_validation_is_cut_from_training_where_the_column_has_none():
    table = given_split().replace({"split": {"val": "train"}})
    made = binary(table, Column("split", validation=0.25))
    assert counts(made) == {"train": 60, "validation": 20, "test": 20}
    assert (places(made)[-20:] == "test").all()


def test_other_words_in_the_column_are_refused_with_their_counts():
    table = given_split().replace({"split": {"val": "holdout"}})
    with pytest.raises(DataError, match=r"'holdout' \(20 rows\); expected train"):
        binary(table, Column("split"))


def test_a_missing_column_is_refused_with_the_nearest_name():
    with pytest.raises(DataError) as raised:
        binary(given_split().rename(columns={"split": "splits"}), Column("split"))
    assert "Did you mean splits?" in str(raised.value)


def leaking():
    """Patient of row 0 is also in validation and test, that of row 1 in test, that of 60 (validation) in test."""
    patients = [f"p{number}" for number in range(100)]
    patients[61], patients[80] = "p0", "p0"
    patients[81] = "p1"
    patients[82] = "p60"
    return given_split(patient=patients)


def test_a_leaking_column_is_refused_with_counts_and_the_remedy():
    with pytest.raises(DataError) as raised:
        binary(leaking(), Column("split"))
    told = str(raised.value)
    assert (
        "1 between train and validation, 2 between train and test, 2 between validation and test (4 examples)" in told
    )
    assert 'Column("split", leaks="drop_from_training")' in told


def test_leaking_examples_are_dropped_from_training_and_test_stays_whole():
    made = binary(leaking(), Column("split", leaks="drop_from_training"))
    assert counts(made) == {"train": 58, "validation": 18, "test": 20, "unused": 4}
    assert made.attrs["dropped"] == ["00000", "00001", "00060", "00061"]
    assert check_disjoint(made, leaking()) == 0


def test_training_alone_is_undersampled():
    table = table_of(yes_and_no(1000, 0.1))
    made = binary(table, Holdout())
    fewer = undersampled(made, table, seed=4)
    train = table.set_index("id")["label"][places(fewer).index[places(fewer) == "train"]]
    assert train.value_counts().to_dict() == {0: 70, 1: 70}
    assert counts(fewer) == {"train": 140, "unused": 560, "validation": 150, "test": 150}
    assert places(fewer).isin(["train", "unused"]).equals(places(made) == "train")
    assert undersampled(made, table, seed=4).equals(fewer)
    assert counts(made)["train"] == 700


def test_every_purpose_has_its_own_seed_of_31_bits():
    seeds = {seed_for(number, purpose) for number in range(50) for purpose in ("split", "folds", "validation 1")}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_for(1, "split") == int.from_bytes(hashlib.sha256(b"1:split").digest(), "big") >> (256 - 31)


def test_a_crossing_patient_is_found():
    table = table_of([0, 1, 0, 1], patient=["a", "a", "b", "b"])
    crossing = pd.DataFrame({"id": table["id"], "group": "", "split": ["train", "test", "train", "train"], "fold": "0"})
    with pytest.raises(DataError, match="1 patients or twin groups lie on both sides"):
        check_disjoint(crossing, table)


def test_splits_can_be_given_back(tmp_path):
    table = table_of(yes_and_no(100), patient=[f"p{number // 2}" for number in range(100)])
    made = binary(table, KFold(folds=3), Final())
    made.to_csv(tmp_path / "splits.csv", index=False)
    again = read_splits(tmp_path / "splits.csv", table.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(again, made, check_dtype=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows.iloc[1:], "1 ids that fold 0 lacks: 00000"),
        (lambda rows: rows.replace({"id": {"00003": "x"}}), "1 ids that the data do not have: x"),
        (lambda rows: pd.concat([rows, rows.iloc[:1]]), "1 ids that stand twice in a fold: 00000"),
        (lambda rows: rows.replace({"split": {"test": "tset"}}), "No such split: tset"),
        (lambda rows: rows.drop(columns="fold"), "There is no column 'fold'"),
        (lambda rows: rows.replace({"split": {"train": "unused"}}), "Fold 0 has no training examples"),
    ],
)
def test_damaged_splits_are_refused(tmp_path, change, told):
    table = table_of(yes_and_no(40))
    change(binary(table, Holdout())).to_csv(tmp_path / "splits.csv", index=False)
    with pytest.raises(DataError, match=told):
        read_splits(tmp_path / "splits.csv", table)


@pytest.mark.skipif("KERAS_MED_REAL_DATA" not in os.environ, reason="needs the real data")
def test_the_shared_patients_of_a_published_split_are_counted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = Path(os.environ["KERAS_MED_REAL_DATA"]) / "chest_xray_age"
    images = tables.files(folder, "*/*/*.png")
    columns = ["patient", "split"]
    table = tables.labelled(images, folder / "ages.csv", key="image", label="age", on="file", columns=columns)
    table = tables.checked(table, Regression(unit="years"))
    with pytest.raises(DataError) as raised:
        make_splits(table, Column("split"), None, kind="regression", seed=1)
    assert "15 between train and validation, 8 between train and test, 9 between validation and test" in str(
        raised.value
    )


def test_the_final_network_s_calibration_part_is_set_aside_first_and_shares_no_patient():
    patients = [f"p{number // 3}" for number in range(900)]
    table = table_of(yes_and_no(900), patient=patients)
    made = binary(table, KFold(folds=3, test=0.2), Final(share=0.9, calibration=0.25))
    found = counts(made, "final")
    assert found["test"] == 180
    assert found["calibration"] == pytest.approx(180, abs=6)  # a quarter of the 720 outside the test
    assert found["validation"] == pytest.approx(54, abs=6)  # a tenth of the rest
    assert check_disjoint(made, table) == 0
    assert (places(made, "0") != "calibration").all()
