"""Numbers, checks and subgroups as they are worded."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from keras_med.report.checklist import checklist
from keras_med.report.checks import checks
from keras_med.report.contents import read
from keras_med.report.scored import scored
from keras_med.report.subgroups import subgroups
from keras_med.report.wording import count, duration, gain_sentence, interval, metric_name, number, percent
from keras_med.runfolder import RunFolder

MakeRun = Callable[..., RunFolder]


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (8.054, "years", "8.05"),
        (0.8746, "", "0.875"),
        (-3.3, "years", "\u22123.30"),
        (241.44, "", "241.4"),
        (12345.6, "", "12346"),
        (float("nan"), "", "–"),
        (None, "", "–"),
        (np.float32(0.5), "", "0.500"),
    ],
)
def test_numbers_have_the_digits_that_can_be_trusted(value: object, unit: str, written: str) -> None:
    assert number(value, unit) == written


def test_counts_shares_times_and_intervals() -> None:
    assert count(np.int64(19800)) == "19\u202f800"
    assert percent(0.524) == "52\u00a0%"
    assert percent(-0.003) == "0\u00a0%"
    assert (duration(62.0), duration(260), duration(7380)) == ("62 s", "4 min", "2 h 03 min")
    assert interval({"low": 7.406, "high": 8.7, "unit": "years"}) == "7.41 to 8.70"
    assert interval({"low": None, "high": 8.7}) == "–"


def test_metrics_have_names() -> None:
    assert metric_name("mae_20_to_30") == "MAE, 20 to 30"
    assert metric_name("macro_f1") == "F1, macro average"
    assert metric_name("recall_covid") == "Recall, covid"


def test_a_loss_of_ground_is_not_called_a_gain() -> None:
    sentence = gain_sentence({"value": -0.1, "low": -0.2, "high": 0.01}, "log_loss")
    assert sentence.startswith("Log loss 10\u00a0% higher than always predicting the training constant")
    assert gain_sentence({"value": None, "reason": "no example here"}, "mae").endswith(
        "not available, no example here."
    )


def test_red_checks_come_first_and_equal_ones_once(make_run: MakeRun) -> None:
    run = make_run(demo=True)
    metrics = json.loads(run.metrics.read_text())
    red = {"severity": "red", "sentence": "The fold was used twice.", "remedy": "Do not."}
    metrics.update(checks=[red, red, *metrics["checks"]])
    run.metrics.write_text(json.dumps(metrics))
    contents = read(run)
    found = checks(contents, scored(contents))
    assert [check.severity for check in found] == sorted(
        (check.severity for check in found), key=["red", "amber", "info"].index
    )
    sentences = [check.sentence for check in found]
    assert sentences.count("The fold was used twice.") == 1
    four = next(check for check in found if check.sentence.startswith("4 images"))
    assert (four.rows, four.more) == (("000001", "000002", "000007", "000009"), 0)


def test_random_weights_are_said_in_amber(make_run: MakeRun) -> None:
    run = make_run()
    run.features.mkdir()
    weights = [{"backbone": "efficientnet_b2", "file": None}]
    (run.features / "done.json").write_text(json.dumps({"format": 1, "weights": weights}))
    contents = read(run)
    sentences = [check.sentence for check in checks(contents, scored(contents)) if check.severity == "amber"]
    assert "No ImageNet weights were found: efficientnet_b2 kept random weights." in sentences


def test_each_subgroup_has_its_own_count_and_figure(make_run: MakeRun) -> None:
    run = make_run(patients=True)
    contents = read(run)
    rows = subgroups(contents, scored(contents))
    predictions = pd.read_csv(run.predictions, dtype={"id": str})
    test = predictions[predictions["role"] == "test"]
    women = test[test["id"].map(pd.read_csv(run.index, dtype=str).set_index("id")["sex"]) == "F"]
    error = (women["predicted"] - women["label"]).abs().mean()
    assert [row[:2] for row in rows] == [("sex", "F"), ("sex", "M")]
    assert rows[0][2] == str(len(women))
    assert rows[0][3].startswith(f"{error:.2f} (")


def test_a_column_of_many_values_is_no_subgroup(make_run: MakeRun) -> None:
    run = make_run()
    index = pd.read_csv(run.index, dtype=str)
    index.assign(serial=range(len(index)), site="one").drop(columns="sex").to_csv(run.index, index=False)
    contents = read(run)
    assert subgroups(contents, scored(contents)) == []


def test_the_checklist_has_all_42_items_once(make_run: MakeRun) -> None:
    items = checklist(read(make_run()))
    assert [item.number for item in items] == list(range(1, 43))
    known = {item.number: item.known for item in items if item.known}
    assert known[6] == "Age from a chest X-ray."
    assert known[33] == "240 used, 3 excluded."
