"""Baselines on labels and thumbnails made so that their answer is known."""

import numpy as np
import pandas as pd
import pytest

from keras_med.errors import DataError
from keras_med.evaluation import metrics
from keras_med.evaluation.baselines import constant_of, constant_predictions, linear_predictions


def bright(rows, seed):
    """Thumbnails whose mean grey is the label."""
    generator = np.random.default_rng(seed)
    label = generator.uniform(20, 90, rows)
    return label[:, None, None, None] + generator.normal(0, 20, (rows, 32, 32, 1)), label


def test_constants_by_hand():
    assert constant_of([20, 40, 90], kind="regression").value == 50
    assert constant_of(["yes", "no", "no", "no"], kind="binary", classes=("no", "yes")).value == (0.75, 0.25)
    assert constant_of(list("aabc"), kind="classes", classes="abc").value == (0.5, 0.25, 0.25)


def test_constant_predictions_fill_the_table():
    table = pd.DataFrame({"id": ["1", "2"], "label": ["a", "b"]})
    found = constant_predictions(
        table, constant_of(list("aabc"), kind="classes", classes="abc"), kind="classes", classes="abc"
    )
    assert found[["p_a", "p_b", "p_c"]].to_numpy().tolist() == [[0.5, 0.25, 0.25]] * 2
    yes = constant_predictions(
        table, constant_of([1, 0, 0, 0], kind="binary", classes=(1,)), kind="binary", classes=(1,)
    )
    assert yes["p_1"].tolist() == [0.25, 0.25]
    age = constant_predictions(table, constant_of([1.0, 3.0], kind="regression"), kind="regression")
    assert age["predicted"].tolist() == [2.0, 2.0]


def test_ridge_reads_a_grey_level():
    images, labels = bright(200, seed=1)
    test, truth = bright(100, seed=2)
    table = pd.DataFrame({"id": range(100), "label": truth})
    found = linear_predictions(table, test, training=(images, list(labels)), kind="regression", seed=1)
    assert metrics.regression(truth, found["predicted"])["mae"] < 2


def test_logistic_regression_reads_a_grey_level():
    images, labels = bright(200, seed=3)
    test, truth = bright(100, seed=4)
    names = np.array(["young", "middle", "old"])
    table = pd.DataFrame({"id": range(100), "label": names[np.digitize(truth, [40, 65])]})
    training = (images, list(names[np.digitize(labels, [40, 65])]))
    found = linear_predictions(table, test, training=training, kind="classes", classes=list(names), seed=1)
    p = found[[f"p_{name}" for name in names]].to_numpy()
    assert metrics.several(list(table["label"]), p, list(names))["accuracy"] > 0.85
    old = linear_predictions(
        table, test, training=(images, list((labels > 65).astype(int))), kind="binary", classes=(0, 1), seed=1
    )
    assert metrics.binary(truth > 65, old["p_1"])["auroc"] > 0.95


def test_noise_gives_nothing():
    generator = np.random.default_rng(5)
    images, labels = generator.normal(size=(300, 32, 32, 3)), generator.uniform(20, 90, 300)
    test, truth = generator.normal(size=(200, 32, 32, 3)), generator.uniform(20, 90, 200)
    table = pd.DataFrame({"id": range(200), "label": truth})
    found = linear_predictions(table, test, training=(images, list(labels)), kind="regression", seed=1)
    assert metrics.regression(truth, found["predicted"])["r2"] < 0.05


def test_black_thumbnails_and_a_single_class_give_the_constant():
    black = np.zeros((10, 32, 32, 1))
    table = pd.DataFrame({"id": range(10)})
    found = linear_predictions(table, black, training=(black, list(range(10))), kind="regression", seed=1)
    assert found["predicted"].tolist() == pytest.approx([4.5] * 10)
    alone = linear_predictions(table, black, training=(black, [1] * 10), kind="binary", classes=(0, 1), seed=1)
    assert alone["p_1"].tolist() == [1.0] * 10


def test_a_class_absent_from_training_gets_no_probability():
    images, labels = bright(60, seed=6)
    table = pd.DataFrame({"id": range(60)})
    names = list(np.where(labels > 50, "b", "a"))
    found = linear_predictions(table, images, training=(images, names), kind="classes", classes="abc", seed=1)
    assert (found["p_c"] == 0).all()
    assert (found["p_a"] + found["p_b"]).to_numpy() == pytest.approx(1)


def test_at_most_5000_examples_are_drawn_by_the_seed():
    images, labels = np.random.default_rng(7).normal(size=(5200, 2, 2)), np.random.default_rng(8).normal(size=5200)
    table = pd.DataFrame({"id": range(5200)})
    one, again, other = (
        linear_predictions(table, images, training=(images, list(labels)), kind="regression", seed=seed)["predicted"]
        for seed in (1, 1, 2)
    )
    assert one.equals(again)
    assert not one.equals(other)


def test_thumbnails_that_do_not_match_their_rows_are_refused():
    with pytest.raises(DataError, match="differ in number"):
        linear_predictions(
            pd.DataFrame({"id": [1]}),
            np.zeros((2, 4)),
            training=(np.zeros((3, 4)), [1, 2, 3]),
            kind="regression",
            seed=1,
        )
    with pytest.raises(DataError, match="No training example"):
        constant_of([], kind="regression")
