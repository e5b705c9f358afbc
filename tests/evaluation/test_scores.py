"""Scores of a split: entries as metrics.json holds them, and sentences for what cannot be said."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from keras_med.errors import DataError, RecipeError
from keras_med.evaluation.scores import score


def ages(rows=200, patients=100):
    generator = np.random.default_rng(1)
    label = generator.uniform(20, 60, rows)
    predicted = label + generator.normal(1, 4, rows)
    names = [f"k{row % patients}" for row in range(rows)]
    return pd.DataFrame({"id": range(rows), "label": label, "predicted": predicted, "patient": names})


def bleeds(rows=200, share=0.3):
    generator = np.random.default_rng(2)
    p = generator.uniform(0.05, 0.95, rows)
    label = (np.arange(rows) < share * rows).astype(int)
    return pd.DataFrame({"id": range(rows), "label": label, "p_1": p, "patient": range(rows)})


def test_every_entry_has_the_keys_of_metrics_json_and_is_json():
    for found in (
        score(ages(), kind="regression", unit="years", seed=1),
        score(bleeds(), kind="binary", classes=(0, 1), seed=1),
    ):
        for entry in found.values():
            assert {"value", "low", "high", "unit", "n", "patients"} <= entry.keys()
            assert entry["low"] < entry["value"] < entry["high"]
        json.dumps(found, allow_nan=False)


def test_values_are_those_of_the_table_and_units_those_of_the_target():
    table = ages()
    found = score(table, kind="regression", unit="years", seed=1)
    error = table["predicted"] - table["label"]
    assert found["mae"]["value"] == pytest.approx(error.abs().mean())
    assert (found["mae"]["unit"], found["r2"]["unit"]) == ("years", "")
    assert (found["mae"]["n"], found["mae"]["patients"]) == (200, 100)
    tens = (table["label"] // 10 == 3).to_numpy()
    assert found["mae_30_to_40"]["n"] == tens.sum()
    assert found["mae_30_to_40"]["patients"] == table["patient"][tens].nunique()


def test_the_interval_of_a_mean_is_close_to_the_textbooks():
    table = ages(patients=200)
    error = table["predicted"] - table["label"]
    half = stats.t.ppf(0.975, 199) * error.std() / np.sqrt(200)
    found = score(table, kind="regression", seed=1)["bias"]
    assert found["low"] == pytest.approx(error.mean() - half, abs=0.1 * half)
    assert found["high"] == pytest.approx(error.mean() + half, abs=0.1 * half)


def test_the_same_seed_gives_the_same_numbers_and_another_one_others():
    first, again, other = (score(bleeds(), kind="binary", classes=(0, 1), seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first["auroc"]["low"] != other["auroc"]["low"]


def test_without_a_patient_column_each_row_stands_for_itself():
    found = score(ages().drop(columns="patient"), kind="regression", seed=1)["mae"]
    assert found["patients"] is None
    assert found["low"] is not None


def test_rows_of_an_unknown_patient_stand_for_themselves():
    table = ages(rows=40, patients=40)
    table.loc[:9, "patient"] = None
    assert score(table, kind="regression", seed=1)["mae"]["patients"] == 40


def test_copies_of_the_same_slices_do_not_narrow_the_interval():
    table = ages(rows=100, patients=100)
    copies = pd.concat([table] * 10, ignore_index=True)
    once, often = (score(each, kind="regression", seed=1)["mae"] for each in (table, copies))
    assert (often["low"], often["high"]) == pytest.approx((once["low"], once["high"]), rel=1e-9)


def test_labels_as_text_as_numbers_and_as_truth_values_are_the_same():
    table = bleeds()
    expected = score(table, kind="binary", classes=(0, 1), seed=1)
    for kind in (str, float, bool):
        assert score(table.assign(label=table["label"].astype(kind)), kind="binary", classes=(0, 1), seed=1) == expected
    assert score(table, kind="binary", classes=(1,), seed=1) == expected


def test_the_threshold_moves_calls_and_nothing_else():
    table = bleeds()
    low, high = (score(table, kind="binary", classes=(0, 1), threshold=each, seed=1) for each in (0.2, 0.8))
    assert low["sensitivity"]["value"] > high["sensitivity"]["value"]
    assert low["auroc"] == high["auroc"]


def test_a_split_without_positives_has_sentences_and_no_figures():
    found = score(bleeds(share=0), kind="binary", classes=(0, 1), seed=1)
    assert found["sensitivity"]["value"] is None
    assert found["sensitivity"]["reason"] == "no positive example"
    assert found["auroc"]["reason"] == "needs examples with and without the class"
    assert found["specificity"]["value"] is not None


def test_two_positive_patients_give_no_interval_of_auroc():
    found = score(bleeds(share=0.01), kind="binary", classes=(0, 1), seed=1)["auroc"]
    assert found["value"] is not None
    assert found["low"] is None
    assert "fewer than 5 patients" in found["reason"]


def test_one_patient_and_nineteen_give_counts_only():
    for patients in (1, 19):
        found = score(ages(rows=190, patients=patients), kind="regression", seed=1)["mae"]
        assert (found["low"], found["high"]) == (None, None)
        assert "fewer than 20 patients: counts only" in found["reason"]
        assert (found["n"], found["patients"]) == (190, patients)


def test_no_interval_has_zero_width():
    perfect = bleeds().assign(p_1=lambda table: table["label"] * 0.98 + 0.01)
    constant = bleeds().assign(p_1=0.3)
    for table in (perfect, constant):
        for entry in score(table, kind="binary", classes=(0, 1), seed=1).values():
            assert (entry["low"] is None and entry["reason"]) or entry["low"] < entry["high"]
    exact = score(ages().assign(predicted=lambda table: table["label"]), kind="regression", seed=1)
    assert exact["mae"]["value"] == 0
    assert exact["mae"]["low"] is None


def test_an_interval_ends_where_the_metric_does():
    # One patient in thirty is wrong: a symmetric interval of the Brier score, or of a share of the error, would pass 0.
    p = np.where(np.arange(30) < 15, 1.0, 0.0)
    p[0] = 0.0
    table = pd.DataFrame({"label": (np.arange(30) < 15).astype(int), "p_1": p})
    brier = score(table, kind="binary", classes=(0, 1), seed=1)["brier"]
    assert brier["value"] == pytest.approx(1 / 30)
    assert brier["low"] == 0
    assert brier["high"] > 1 / 30


def test_perfect_ranking_has_the_width_of_its_smaller_class():
    found = score(
        bleeds(share=0.1).assign(p_1=lambda table: table["label"] * 0.8 + 0.1), kind="binary", classes=(0, 1), seed=1
    )
    assert found["auroc"]["value"] == 1
    assert found["auroc"]["low"] == pytest.approx(1 / (1 + 1.959964**2 / 20), abs=1e-6)  # 20 positive patients


def several(rows=300):
    generator = np.random.default_rng(3)
    p = generator.dirichlet([1, 1, 1], rows)
    label = np.array(["a", "b", "c"])[(p.cumsum(axis=1) > generator.random((rows, 1))).argmax(axis=1)]
    return pd.DataFrame({"id": range(rows), "label": label, "p_a": p[:, 0], "p_b": p[:, 1], "p_c": p[:, 2]})


def test_several_classes_have_a_table_with_intervals():
    found = score(several(), kind="classes", classes="abc", seed=1)
    assert {
        "accuracy",
        "macro_f1",
        "weighted_precision",
        "recall_b",
        "auroc_c",
        "macro_auroc",
        "log_loss",
    } <= found.keys()
    for entry in found.values():
        assert entry["low"] < entry["value"] < entry["high"]
    assert found["recall_a"]["n"] == (several()["label"] == "a").sum()


def test_a_class_without_examples_has_a_sentence():
    table = several()
    found = score(table[table["label"] != "c"], kind="classes", classes="abc", seed=1)
    assert found["recall_c"] == {
        "value": None,
        "low": None,
        "high": None,
        "unit": "",
        "n": 0,
        "patients": None,
        "reason": "no example of the class",
    }
    assert found["macro_recall"]["value"] is None
    assert found["recall_a"]["value"] is not None


def test_an_empty_split_has_no_figure():
    for table, kind, classes in (
        (ages(), "regression", ()),
        (bleeds(), "binary", (0, 1)),
        (several(), "classes", "abc"),
    ):
        found = score(table[:0], kind=kind, classes=classes, seed=1)
        assert all(entry["value"] is None and entry["reason"] for entry in found.values())


def test_predictions_that_are_no_number_are_refused_by_row():
    table = ages()
    table.loc[[3, 7], "predicted"] = np.nan
    with pytest.raises(DataError, match=r"2 of 200 values of 'predicted' are no finite number\.\nrows 3, 7"):
        score(table, kind="regression", seed=1)


def test_missing_columns_labels_and_kinds_are_refused():
    with pytest.raises(DataError, match="no column 'p_yes'"):
        score(bleeds().assign(label="yes"), kind="binary", classes=("yes",), seed=1)
    with pytest.raises(DataError, match="200 of 200 examples have no label"):
        score(bleeds().assign(label=None), kind="binary", classes=(0, 1), seed=1)
    with pytest.raises(DataError, match="no class of the target: 2"):
        score(bleeds().assign(label=2), kind="binary", classes=(0, 1), seed=1)
    with pytest.raises(RecipeError, match="No kind of target"):
        score(bleeds(), kind="segmentation", classes=(0, 1), seed=1)
