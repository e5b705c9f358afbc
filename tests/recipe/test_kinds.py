import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest

from keras_med.recipe.kinds import Mismatch, Within, check, describe, near, parse


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3, int, 3),
        (3, float, 3.0),
        (1, int | float, 1),
        (1.5, int | float, 1.5),
        ([1, 2], tuple[int, int], (1, 2)),
        ([[40, 80]], tuple[tuple[float, float], ...], ((40.0, 80.0),)),
        ("a", Literal["a", "b"], "a"),
        (None, int | None, None),
        (len, Callable[..., Any], len),
        (True, bool, True),
    ],
)
def test_a_fitting_value_takes_the_form_of_its_kind(value: object, kind: object, expected: object) -> None:
    made = check(value, kind)
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, int),
        (True, float),
        (1.0, int),
        ("3", int),
        (1, bool),
        (1, Literal[True, "x"]),
        ((1, 2, 3), tuple[int, int]),
        ("ab", tuple[str, str]),
        (0, Annotated[int, Within(1)]),
        (math.nan, Annotated[float, Within(0)]),
        (1.0, Annotated[float, Within(0, 1, open_high=True)]),
        (3, Callable[..., Any]),
        ({}, int | None),
    ],
)
def test_a_value_of_another_kind_is_refused(value: object, kind: object) -> None:
    with pytest.raises(Mismatch):
        check(value, kind)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("1e-3", float, 0.001),
        ("3", float, 3.0),
        ("true", bool, True),
        ("None", int | None, None),
        ("260,260", tuple[int, int], (260, 260)),
        ("[(40, 80), (80, 200)]", tuple[tuple[float, float], ...], ((40.0, 80.0), (80.0, 200.0))),
        ("cosine", Literal["constant", "cosine"], "cosine"),
        ("1", str, "1"),
        ("1", str | int, 1),
        ("__import__('os')", str, "__import__('os')"),
    ],
)
def test_typed_text_becomes_a_value_of_its_kind(text: str, kind: object, expected: object) -> None:
    assert parse(text, kind) == expected


@pytest.mark.parametrize("text", ["__import__('os').getcwd()", "1+1", "(" * 5000])
def test_typed_text_is_never_run(text: str) -> None:
    with pytest.raises(Mismatch):
        parse(text, int)


def test_a_kind_is_described_in_words() -> None:
    assert describe(Annotated[int, Within(1)] | None) == "a whole number at least 1 or None"
    assert describe(tuple[float, ...]) == "a list of a number"


def test_a_near_name_is_offered_and_all_names_where_none_is_near() -> None:
    assert near("epoch", ["epochs", "batch_size"]) == "Did you mean epochs?"
    assert near("zzz", ["epochs", "batch_size"]) == "Known: epochs, batch_size."
