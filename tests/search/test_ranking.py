import numpy as np
import pandas as pd
import pytest

from keras_med.evaluation.summary import Scoring
from keras_med.search import ranking, table

BINARY = Scoring("binary", "", [1], 5)


def predicted(p: list[float], labels: list[int], fit: str = "a") -> pd.DataFrame:
    names = [f"e{number:03d}" for number in range(len(p))]
    return pd.DataFrame({"id": names, "fit": fit, "role": "validation", "label": map(str, labels), "p_1": p})


def many(separation: float, seed: int, count: int = 200) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    score = draw.normal(size=count) + separation * labels
    return predicted(list(1 / (1 + np.exp(-score))), list(labels))


def test_metrics_with_a_threshold_are_taken_where_the_trial_reaches_the_sensitivity() -> None:
    rows = predicted([0.1, 0.3, 0.2, 0.25, 0.6, 0.7], [0, 0, 1, 1, 1, 1])
    metrics = ranking.compared(["precision"], "binary")
    assert metrics == ("precision", "auroc")
    # Three of four positives lie at or above 0.25; with 0.3 called too, 3 of 4 calls are right.
    assert ranking.figures(rows, metrics, BINARY, 0.75).values["precision"] == pytest.approx(3 / 4)
    assert ranking.figures(rows, metrics, BINARY, None).values["precision"] == 1.0  # at 0.5


def test_the_spread_is_over_fits_and_the_interval_over_all_their_predictions() -> None:
    one = predicted([0.1, 0.9, 0.8, 0.2], [0, 1, 0, 1], "a")  # 0.9 above both, 0.2 above one: AUROC 3/4
    two = predicted([0.1, 0.9, 0.3, 0.8], [0, 1, 0, 1], "b").assign(id=["f0", "f1", "f2", "f3"])  # AUROC 1
    found = ranking.figures(pd.concat([one, two]), ("auroc",), BINARY, 0.95)
    assert found.values["auroc"] == pytest.approx(0.875)
    assert found.spread["auroc"] == pytest.approx(0.25 / np.sqrt(2))


def test_repeats_of_an_example_are_one_row() -> None:
    rows = pd.concat([predicted([0.2, 0.4], [0, 1], "a"), predicted([0.4, 0.8], [0, 1], "b")])
    assert list(ranking.together(rows)["p_1"]) == pytest.approx([0.3, 0.6])


def test_each_repeat_has_the_threshold_at_which_it_reaches_the_sensitivity() -> None:
    one = predicted([0.2, 0.4, 0.3, 0.6], [0, 0, 1, 1], "t001-fold0-seed0")  # at 0.3, two of three calls are right
    two = predicted([0.6, 0.7, 0.8, 0.9], [0, 0, 1, 1], "t001-fold0-seed1")  # at 0.8, both
    found = ranking.figures(pd.concat([two, one]), ("precision",), BINARY, 0.99)
    assert found.values["precision"] == pytest.approx((2 / 3 + 1) / 2)


def test_chance_and_failures_come_last_whatever_their_metrics_say() -> None:
    found = {
        "t001": None,
        "t002": ranking.Figures({"precision": 0.9, "auroc": 0.52}, {}, None, None, learned=False),
        "t003": ranking.Figures({"precision": 0.6, "auroc": 0.70}, {}, None, None, learned=True),
        "t004": ranking.Figures({"precision": 0.6, "auroc": 0.75}, {}, None, None, learned=True),
        "t005": ranking.Figures({"precision": float("nan"), "auroc": 0.9}, {}, None, None, learned=True),
    }
    # AUROC breaks the tie of t003 and t004.
    assert ranking.order(found, ("precision", "auroc")) == ["t004", "t003", "t005", "t002", "t001"]


def test_lower_errors_are_better() -> None:
    found = {name: ranking.Figures({"mae": mae}, {}, None, None, learned=True) for name, mae in (("a", 3), ("b", 2))}
    assert ranking.order(found, ("mae",)) == ["b", "a"]


def test_a_constant_predictor_does_not_beat_chance_and_a_good_one_does() -> None:
    flat = predicted([0.9] * 60, [0, 1] * 30)
    assert not ranking.figures(flat, ("auroc",), BINARY, None).learned
    assert not ranking.figures(flat, ("auroc",), BINARY, 0.95).learned
    assert ranking.figures(many(3.0, 1), ("auroc",), BINARY, 0.95).learned


def test_equal_trials_cannot_be_told_apart_and_a_worse_one_can() -> None:
    best, twin, worse = many(2.0, 1), many(2.0, 2), many(0.0, 3)
    near, far = ranking.behind(best, twin, BINARY), ranking.behind(best, worse, BINARY)
    assert near["low"] < 0 < near["high"]
    assert far["low"] > 0


def entry(trial: str, round_: int, mae: float | None, rank: int = 1) -> dict[str, object]:
    found = {"values": {"mae": mae}, "spread": {}, "low": 1.0, "high": 2.0, "learned": True}
    return {
        "trial": trial,
        "round": round_,
        "changes": {"train.batch_size": 8},
        "epochs": 10 * (round_ + 1),
        "fits": [trial],
        "status": "done" if mae is not None else "failed",
        "why": "" if mae is not None else "it broke",
        "rank": rank,
        "figures": found if mae is not None else None,
        "seconds": 1.0,
    }


def test_the_table_has_a_row_a_trial_those_that_came_further_first_and_says_why_others_did_not() -> None:
    entries = [entry("t001", 0, 3.0, 2), entry("t002", 0, 4.0, 3), entry("t003", 0, 2.5), entry("t004", 0, None, 4)]
    entries += [entry("t001", 1, 2.9), entry("t003", 1, 2.95, 2)]
    made = table.search_table(entries, ("mae",))
    assert list(made["trial"]) == ["t001", "t003", "t002", "t004"]
    assert list(made["dropped"]) == ["", "", "after round 1: rank 3 of 4", "failed: it broke"]
    gaps = {"t003": {"value": -0.05, "low": -0.2, "high": 0.1}}
    assert list(table.with_gaps(made, gaps)["distinguishable"]) == ["", "no", "", ""]
