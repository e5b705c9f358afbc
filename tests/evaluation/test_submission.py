import pandas as pd
import pytest

from keras_med.errors import DataError
from keras_med.evaluation.submission import submission

PREDICTIONS = pd.DataFrame({"id": ["000007", "000012", "000003"], "predicted": [70.5, 12.25, 3.0]})


def test_a_submission_has_the_sample_s_rows_order_and_columns() -> None:
    sample = pd.DataFrame({"imageId": ["3", "7"], "age": [0, 0]})
    made = submission(PREDICTIONS, sample)
    assert list(made.columns) == ["imageId", "age"]
    assert made["imageId"].tolist() == ["3", "7"]
    assert made["age"].tolist() == [3.0, 70.5]


def test_a_row_without_a_prediction_is_named() -> None:
    with pytest.raises(DataError, match="1 rows of the sample submission have no prediction: 8"):
        submission(PREDICTIONS, pd.DataFrame({"imageId": ["7", "8"], "age": [0, 0]}))


def test_a_sample_of_another_form_is_refused() -> None:
    with pytest.raises(DataError, match="two columns"):
        submission(PREDICTIONS, pd.DataFrame({"imageId": ["7"]}))


def test_several_probabilities_are_no_submission() -> None:
    several = pd.DataFrame({"id": ["1"], "p_a": [0.5], "p_b": [0.5]})
    with pytest.raises(DataError, match="one predicted number a row"):
        submission(several, pd.DataFrame({"id": ["1"], "x": [0]}))
