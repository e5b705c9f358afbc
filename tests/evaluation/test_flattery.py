import numpy as np
import pandas as pd
import pytest

from keras_med.evaluation.flattery import flattery
from keras_med.evaluation.summary import Scoring

BINARY = Scoring("binary", "", ("0", "1"), 1)
AGES = Scoring("regression", "years", (), 1)
FIT = "t000-fold0"


def binary(rows: int, known: int, *, right: float, right_when_known: float, seed: int = 0) -> pd.DataFrame:
    """Return predictions of examples in groups of two, that are right with the given chances."""
    draw = np.random.default_rng(seed)
    label = draw.integers(0, 2, rows)
    groups = np.arange(rows) // 2
    chance = np.where(groups < known // 2, right_when_known, right)
    hit = draw.uniform(size=rows) < chance
    p = np.where(hit, label, 1 - label) * 0.5 + 0.25 + draw.uniform(-0.2, 0.2, rows)
    ids = [f"i{number}" for number in range(rows)]
    table = pd.DataFrame({"id": ids, "label": label.astype(str), "p_1": p, "fit": FIT, "role": "test"})
    return table.assign(group=[f"g{number}" for number in groups])


def measured(table: pd.DataFrame, known: int, scoring: Scoring = BINARY, **options: int) -> dict[str, object]:
    groups = table.set_index("id")["group"]
    found = flattery(
        table.drop(columns="group"), groups, {FIT: {f"g{number}" for number in range(known // 2)}}, scoring, **options
    )
    assert found is not None
    return found


def test_nothing_known_is_nothing_to_measure() -> None:
    table = binary(100, 0, right=0.7, right_when_known=1)
    assert flattery(table, table.set_index("id")["group"], {FIT: {"g900"}}, BINARY) is None


def test_the_figures_are_those_of_all_and_of_the_unknown_examples_alone() -> None:
    """60 examples known and all right, 60 unknown of which 45 are right: accuracy 0.875 against 0.75."""
    label = np.tile([0, 1], 60)
    right = np.arange(120) < 105
    table = pd.DataFrame(
        {
            "id": [f"i{number}" for number in range(120)],
            "label": label.astype(str),
            "p_1": np.where(right, label, 1 - label) * 0.8 + 0.1,
            "fit": FIT,
            "role": "test",
            "group": [f"g{number // 2}" for number in range(120)],
        }
    )
    found = measured(table, 60)
    assert (found["examples"], found["known"], found["unknown_groups"]) == (120, 60, 30)
    accuracy = found["figures"]["accuracy"]  # type: ignore[index]
    assert accuracy["published"] == pytest.approx(0.875)
    assert accuracy["unknown"] == pytest.approx(0.75)
    assert accuracy["flatters"]["value"] == pytest.approx(0.125)
    assert accuracy["flatters"]["n"] == 60
    assert "60 of the 120 examples of the test split (50 %)" in str(found["sentence"])


def test_under_thirty_groups_the_sound_protocol_is_named_instead() -> None:
    table = binary(120, 62, right=0.7, right_when_known=1)
    found = measured(table, 62)
    assert found["figures"] == {}
    assert "29 groups of the others are left, too few" in str(found["sentence"])
    assert "another network" in str(found["remedy"])


def test_the_interval_covers_the_leak_that_was_simulated() -> None:
    """Right in 7 of 10, known ones always: the published accuracy of 0.85 flatters by 0.15."""
    covered = []
    for seed in range(80):
        table = binary(400, 200, right=0.7, right_when_known=1, seed=seed)
        gap = measured(table, 200, resamples=400)["figures"]["accuracy"]["flatters"]  # type: ignore[index]
        covered.append(gap["low"] <= 0.15 <= gap["high"])
        assert gap["low"] > 0
    assert sum(covered) >= 70  # of 80 at 95 %: 70 or fewer once in 700 times


def test_without_a_leak_the_interval_includes_nothing() -> None:
    none = []
    for seed in range(80):
        table = binary(300, 150, right=0.75, right_when_known=0.75, seed=seed)
        gap = measured(table, 150, resamples=400)["figures"]["auroc"]["flatters"]  # type: ignore[index]
        none.append(gap["low"] <= 0 <= gap["high"])
    assert sum(none) >= 70


def test_a_smaller_error_is_what_flatters_of_a_number() -> None:
    draw = np.random.default_rng(0)
    label = draw.uniform(20, 80, 200)
    error = np.where(np.arange(200) < 100, 2.0, 10.0) * draw.choice([-1, 1], 200)
    table = pd.DataFrame({"id": np.arange(200).astype(str), "label": label, "predicted": label + error})
    table = table.assign(fit=FIT, role="out_of_fold", group=[f"g{number // 2}" for number in range(200)])
    found = measured(table, 100, AGES)
    mae = found["figures"]["mae"]  # type: ignore[index]
    assert mae["published"] == pytest.approx(6)
    assert mae["unknown"] == pytest.approx(10)
    assert mae["flatters"]["value"] == pytest.approx(4)
    assert "10.00 years instead of 6.00 years" in str(found["sentence"])
    assert "flatters by 4.00 years (95 % interval" in str(found["sentence"])


def test_patients_are_the_cases_where_the_recipe_says_so() -> None:
    """Each patient has two images with one label; 40 of the 80 patients are known."""
    table = binary(160, 80, right=0.6, right_when_known=1)
    table["label"] = table["label"].groupby(table["group"]).transform("first")
    patient = Scoring("binary", "", ("0", "1"), 1, "patient", "mean")
    found = measured(table.assign(patient=table["group"]), 80, patient)
    assert found["figures"]["accuracy"]["flatters"]["n"] == 40  # type: ignore[index]


def test_a_fold_knows_only_what_it_trained_on() -> None:
    table = binary(240, 0, right=0.8, right_when_known=1).assign(role="out_of_fold")
    table["fit"] = np.where(np.arange(240) < 120, "a", "b")
    groups = table.set_index("id")["group"]
    found = flattery(table.drop(columns="group"), groups, {"a": {"g0", "g119"}, "b": {"g0", "g119"}}, BINARY)
    assert found is not None
    assert found["known"] == 4
    none = flattery(table.drop(columns="group"), groups, {"a": {"g119"}, "b": {"g0"}}, BINARY)
    assert none is None
