"""What is followed beside the loss, worked out by hand."""

import numpy as np
import pytest

from keras_med import Binary, Classes, Data, Holdout, Image, Model, Recipe, Regression
from keras_med.training.deciding import figures_of

Target = Binary | Classes | Regression


def recipe(target: Target, *, head: bool = True) -> Recipe:
    def nothing(given: object) -> None:
        pass

    return Recipe(
        target=target, data=Data(nothing), image=Image(size=(8, 8)), split=Holdout(), model=Model(nothing, head=head)
    )


@pytest.mark.parametrize(
    ("head", "output"), [(True, [3.0, -1.0, 0.2, -2.0, -0.1]), (False, [0.9, 0.4, 0.6, 0.1, 0.45])]
)
def test_a_binary_network_is_followed_at_one_half(head: bool, output: list[float]) -> None:
    labels = np.array([1, 1, 0, 0, 1], np.float32)[:, None]  # one of three found, one false alarm
    found = figures_of(recipe(Binary(), head=head))(labels, np.array(output, np.float32)[:, None])
    assert found == {"sensitivity": pytest.approx(1 / 3), "precision": 0.5, "accuracy": pytest.approx(2 / 5)}


def test_a_network_that_calls_nothing_positive_has_no_precision() -> None:
    found = figures_of(recipe(Binary()))(np.ones((2, 1)), np.full((2, 1), -1.0))
    assert found == {"sensitivity": 0.0, "precision": 0.0, "accuracy": 0.0}


def test_of_classes_the_means_are_over_those_that_the_labels_have() -> None:
    labels, called = np.array([0, 0, 1, 1]), np.eye(3)[[0, 1, 1, 2]]
    found = figures_of(recipe(Classes(names=("a", "b", "c"))))(labels, called)
    assert found == {"macro_recall": 0.5, "macro_precision": (1 + 1 / 2) / 2, "accuracy": 0.5}


def test_of_numbers_the_mean_error() -> None:
    found = figures_of(recipe(Regression()))(np.array([[1.0], [4.0]]), np.array([[2.0], [1.0]]))
    assert found == {"mae": 2.0}
