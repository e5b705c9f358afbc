"""Slices to patients, by hand."""

import pandas as pd
import pytest

from keras_med.errors import DataError, RecipeError
from keras_med.evaluation.aggregation import aggregate


def slices():
    return pd.DataFrame(
        {
            "id": ["1", "2", "3", "4", "5"],
            "patient": ["b", "a", "b", "a", "c"],
            "label": [0, 0, 1, 0, 1],
            "p_1": [0.1, 0.2, 0.7, 0.4, 0.9],
            "role": "test",
        }
    )


def test_the_mean_of_a_patients_slices():
    found = aggregate(slices(), positive=1)
    assert found["id"].tolist() == ["b", "a", "c"]
    assert found["p_1"].tolist() == pytest.approx([0.4, 0.3, 0.9])
    assert found["label"].tolist() == [1, 0, 1]  # a patient is positive when any slice is
    assert found["examples"].tolist() == [2, 2, 1]
    assert set(found["role"]) == {"test"}


def test_the_highest_of_a_patients_slices():
    assert aggregate(slices(), positive=1, combine="max")["p_1"].tolist() == pytest.approx([0.7, 0.4, 0.9])


def test_examples_stay_as_they_are():
    assert aggregate(slices(), unit="example").equals(slices())


def test_regression_takes_the_mean_and_one_label():
    table = pd.DataFrame({"patient": ["a", "a"], "label": [40.0, 40.0], "predicted": [38.0, 44.0]})
    found = aggregate(table)
    assert (found["predicted"].tolist(), found["label"].tolist()) == ([41.0], [40.0])


def test_text_labels_of_a_positive_patient_are_the_positive_one():
    table = slices().assign(label=["no", "no", "yes", "no", "yes"]).rename(columns={"p_1": "p_yes"})
    assert aggregate(table, positive="yes")["label"].tolist() == ["yes", "no", "yes"]


def test_contradicting_labels_are_refused_without_naming_the_patient():
    with pytest.raises(DataError, match="1 patients bear several labels") as caught:
        aggregate(slices().assign(patient=["secret", "a", "secret", "a", "c"]))
    assert "secret" not in str(caught.value)


def test_the_highest_of_several_classes_is_refused():
    table = slices().assign(p_0=0.1)
    with pytest.raises(RecipeError, match="no distribution"):
        aggregate(table, combine="max")


def test_rows_without_a_patient_are_refused():
    with pytest.raises(DataError, match="belong to no patient"):
        aggregate(slices().drop(columns="patient"), positive=1)
    with pytest.raises(DataError, match="belong to no patient"):
        aggregate(slices().assign(patient=[None, "a", "b", "a", "c"]), positive=1)
