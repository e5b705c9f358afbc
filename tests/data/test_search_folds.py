import pandas as pd
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from keras_med import Holdout, KFold
from keras_med.data.search_folds import search_folds, search_holdout
from keras_med.data.splits import make_splits, undersampled
from keras_med.errors import DataError, RecipeError
from keras_med.recipe.words import Split


def table_of(rows: int, positives: int, patients: int) -> pd.DataFrame:
    labels = [int(number < positives) for number in range(rows)]
    ids = [f"{number:05}" for number in range(rows)]
    return pd.DataFrame({"id": ids, "label": labels, "patient": [f"p{number % patients}" for number in range(rows)]})


def made_by(table: pd.DataFrame, split: Split) -> pd.DataFrame:
    return make_splits(table, split, None, kind="binary", seed=1)


def places(splits: pd.DataFrame, fold: str) -> pd.Series:
    return splits[splits["fold"] == fold].set_index("id")["split"]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([Holdout(), Holdout(validation=0.3, test=0.3), KFold(folds=3), KFold(folds=4, validation=0)]),
    st.integers(60, 200),
    st.integers(20, 60),
    st.integers(2, 4),
    st.integers(0, 5),
)
def test_a_search_never_sees_the_test_split_and_no_patient_crosses_its_folds(
    split: Split, rows: int, patients: int, folds: int, seed: int
) -> None:
    table = table_of(rows, rows // 3, patients)
    try:
        made = made_by(table, split)
    except DataError:
        reject()
    tested = set(made.loc[made["split"] == "test", "id"])
    found = search_folds(made, table, folds=folds, kind="binary", seed=seed)
    assert sorted(set(found["fold"])) == [f"search{number}" for number in range(folds)]
    scored = found[found["split"] == "out_of_fold"]["id"]
    assert sorted(scored) == sorted(set(table["id"]) - tested)  # each once
    for name in set(found["fold"]):
        side = places(found, name)
        assert sorted(side.index) == list(table["id"])
        assert set(side.index[side == "unused"]) == tested
        used = side[side != "unused"]
        assert (used.groupby(table.set_index("id")["patient"].reindex(used.index)).nunique() == 1).all()
        assert set(used) == {"train", "validation", "out_of_fold"}


def test_a_search_nested_in_a_fold_never_sees_that_fold() -> None:
    table = table_of(300, 100, 300)
    made = made_by(table, KFold(folds=3, test=0))
    with pytest.raises(RecipeError, match="never sees"):
        search_folds(made, table, folds=3, kind="binary", seed=1)
    inner = search_folds(made, table, folds=3, kind="binary", seed=1, inside=("train", "validation"), fold="2")
    held = set(places(made, "2").index[places(made, "2") == "out_of_fold"])
    assert set(places(inner, "search0").index[places(inner, "search0") == "unused"]) == held


def test_a_search_without_folds_shares_the_run_s_validation_part() -> None:
    table = table_of(400, 100, 100)
    for split in (Holdout(), KFold(folds=4)):
        made = made_by(table, split)
        side, run = places(search_holdout(made, table, kind="binary", seed=1), "search"), places(made, "0")
        assert set(side.index[side == "validation"]) == set(run.index[run == "validation"])
        assert set(side.index[side == "unused"]) == set(run.index[run == "test"])
    cut = places(search_holdout(made_by(table, KFold(validation=0)), table, kind="binary", seed=1), "search")
    assert (cut == "validation").sum() == pytest.approx(0.15 * 340, abs=4)


def test_what_a_search_scores_keeps_its_shares_when_the_training_side_is_undersampled() -> None:
    table = table_of(1000, 100, 1000)
    made = made_by(table, Holdout())
    found = undersampled(search_folds(made, table, folds=5, kind="binary", seed=1), table, 1)
    side = places(found, "search0")
    positive = pd.Series(side.index < "00100", index=side.index)
    assert positive[side == "out_of_fold"].mean() == pytest.approx(0.1, abs=0.01)
    assert positive[side == "train"].mean() == 0.5
