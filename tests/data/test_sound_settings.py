"""No patient, twin or mirrored copy lies on two sides, whatever sound settings are combined."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from keras_med import Binary, Column, Data, Final, Holdout, Image, KFold, Model, Recipe
from keras_med.data.dividing import divide_index
from keras_med.data.search_folds import search_folds, search_holdout
from keras_med.errors import DataError
from keras_med.recipe.words import Split


def index(root: Path) -> Any:
    return None


def network(image: Any) -> Any:
    return image


SPLITS: list[Split] = [
    Holdout(),
    Holdout(validation=0.3, test=0.2),
    KFold(folds=3),
    KFold(folds=4, validation=0, test=0.3),
    Column("split", leaks="drop_from_training"),
]
ROWS = st.integers(40, 120)


def tables() -> st.SearchStrategy[pd.DataFrame]:
    """Tables with chains of patients and twins, either of which may be unknown, and a split that leaks."""

    def table(rows: int) -> st.SearchStrategy[pd.DataFrame]:
        some = st.one_of(st.none(), st.integers(0, rows // 2))
        return st.builds(
            lambda labels, patients, twins, sides: pd.DataFrame(
                {
                    "id": [f"{number:03}" for number in range(rows)],
                    "label": labels,
                    "labelled": True,
                    "patient": ["" if number is None else f"p{number}" for number in patients],
                    "group": [f"{at:03}" if number is None else f"g{number}" for at, number in enumerate(twins)],
                    "split": sides,
                }
            ),
            st.lists(st.sampled_from("01"), min_size=rows, max_size=rows),
            st.lists(some, min_size=rows, max_size=rows),
            st.lists(some, min_size=rows, max_size=rows),
            st.lists(st.sampled_from(["train", "train", "validation", "test"]), min_size=rows, max_size=rows),
        )

    return ROWS.flatmap(table)


def crossing(splits: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Return what lies on two sides of a fold, worked out without the program's own groups."""
    used = splits[~splits["split"].isin(["unused", "unlabelled"])]
    rows = used.merge(table.set_index("id")[["patient", "group"]], left_on="base", right_index=True, suffixes=("_", ""))
    found = []
    for name in ("patient", "group", "base"):
        known = rows[rows[name] != ""]
        sides = known.groupby(["fold", name])["split"].nunique()
        found += [f"{name} {key}" for key in sides.index[sides > 1]]
    return found


@settings(max_examples=30, deadline=None)
@given(
    tables(),
    st.sampled_from(SPLITS),
    st.sampled_from([None, Final(), Final(share=0.8)]),
    st.sampled_from([None, "training"]),
    st.sampled_from([None, "undersample", "undersample_before_split"]),
    st.sampled_from([None, 10]),
    st.integers(0, 9),
)
def test_nothing_crosses_under_any_sound_settings(
    table: pd.DataFrame,
    split: Split,
    final: Final | None,
    mirror: Any,
    balance: Any,
    blocks: int | None,
    seed: int,
) -> None:
    if blocks is not None:
        table = table.assign(patient="")
        split = Holdout() if isinstance(split, Column) else split
    data = Data(index, mirror=mirror, balance=balance, blocks=blocks)
    recipe = Recipe(
        target=Binary(), data=data, image=Image(size=(8, 8)), split=split, model=Model(network), final=final, seed=seed
    )
    try:
        made = divide_index(table, recipe)
    except DataError:  # too few patients of a class, which is refused
        reject()
    splits = made.splits.assign(base=made.splits["id"].str.removesuffix("~mirror"))
    assert made.shared == 0
    assert crossing(splits, table) == []
    copies = splits[splits["id"] != splits["base"]]
    assert set(copies["split"]) <= {"train", "unused"}
    pictures = splits[splits["id"] == splits["base"]]
    assert not pictures.duplicated(["id", "fold"]).any()
    assert len(pictures) == len(table) * pictures["fold"].nunique()
    _also_inside_a_search(made.splits, table, seed)
    _also_when_given_back(made.splits, table, recipe)


def _also_inside_a_search(made: pd.DataFrame, table: pd.DataFrame, seed: int) -> None:
    run = made[made["id"].isin(table["id"])]
    if not ((run["fold"] == "0") & (run["split"] == "test")).any():
        return
    tested = set(run.loc[(run["fold"] == "0") & (run["split"] == "test"), "id"])
    try:
        inside = [search_folds(run, table, folds=2, kind="binary", seed=seed)]
    except DataError:
        return
    inside.append(search_holdout(run, table, kind="binary", seed=seed))
    for found in inside:
        assert crossing(found.assign(base=found["id"]), table) == []
        assert set(found.loc[found["id"].isin(tested), "split"]) == {"unused"}


def _also_when_given_back(made: pd.DataFrame, table: pd.DataFrame, recipe: Recipe) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "splits.csv"
        made.to_csv(file, index=False)
        data = replace(recipe.data, splits=str(file))
        again = divide_index(table, replace(recipe, data=data, seed=recipe.seed + 1)).splits
    order = ["fold", "id"]
    pd.testing.assert_frame_equal(
        made.sort_values(order, ignore_index=True), again.sort_values(order, ignore_index=True)
    )
