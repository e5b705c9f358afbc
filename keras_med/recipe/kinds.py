"""Annotations to checked values: the small type checker behind every setting."""

import ast
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Union, get_args, get_origin


@dataclass(frozen=True)
class Within:
    """Bounds of a number; `open_low` and `open_high` leave the bound itself out."""

    low: float = float("-inf")
    high: float = float("inf")
    open_low: bool = False
    open_high: bool = False

    def allows(self, value: float) -> bool:
        """Tell whether the value lies inside; a NaN never does."""
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        low = f"{'above' if self.open_low else 'at least'} {self.low:g}" if self.low != float("-inf") else ""
        high = f"{'below' if self.open_high else 'at most'} {self.high:g}" if self.high != float("inf") else ""
        return " and ".join(part for part in (low, high) if part)


Count = Annotated[int, Within(1)]
Seed = Annotated[int, Within(0, 2**31 - 1)]
Positive = Annotated[float, Within(0, open_low=True)]
Share = Annotated[float, Within(0, 1, open_low=True, open_high=True)]
ShareOrZero = Annotated[float, Within(0, 1, open_high=True)]


class Mismatch(Exception):
    """A value is not of the kind that its annotation asks for."""


def check(value: object, kind: object) -> object:
    """Return the value in the kind's own form (a list becomes a tuple, an int a float), or raise Mismatch."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _check_bounds(value, kind)
    if origin is Literal:
        return _check_choice(value, kind)
    if origin in (Union, types.UnionType):
        return _check_union(value, kind)
    if origin is tuple:
        return _check_tuple(value, kind)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Callable):  # type: ignore[arg-type]
        return _check_instance(value, kind, callable(value))
    return _check_plain(value, kind)


def describe(kind: object) -> str:
    """Say in words what the kind expects."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is None or kind is type(None):
        return "None"
    if origin is Annotated:
        return f"{describe(arguments[0])} {arguments[1]}"
    if origin is Literal:
        return " or ".join(repr(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(argument) for argument in arguments))
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return f"a list of {describe(arguments[0])}"
    if origin is tuple:
        return "(" + ", ".join(describe(argument) for argument in arguments) + ")"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a path"}
    if isinstance(kind, type) and kind in names:
        return names[kind]
    return "a function" if origin is not None else getattr(kind, "__name__", str(kind))


def parse(text: str, kind: object) -> object:
    """Read a value typed on the command line; what is no Python literal is a text."""
    words = {"true": True, "false": False, "none": None}
    try:
        value: object = words[text.lower()] if text.lower() in words else ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = text
    try:
        return check(value, kind)
    except Mismatch:
        return check(text, kind)  # `--set target.positive=1` may mean the text "1"


def near(name: str, names: list[str]) -> str:
    """Return the remedy for a misspelt name: the nearest one, or all of them."""
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"Did you mean {close[0]}?" if close else "Known: " + ", ".join(names) + "."


def _check_bounds(value: object, kind: object) -> object:
    plain, bounds = get_args(kind)[:2]
    try:
        number = check(value, plain)
    except Mismatch:
        raise Mismatch(describe(kind)) from None
    if isinstance(bounds, Within) and isinstance(number, (int, float)) and not bounds.allows(number):
        raise Mismatch(describe(kind))
    return number


def _check_choice(value: object, kind: object) -> object:
    for choice in get_args(kind):
        if type(value) is type(choice) and value == choice:
            return value
    raise Mismatch(describe(kind))


def _check_union(value: object, kind: object) -> object:
    members = get_args(kind)
    exact = [member for member in members if isinstance(member, type) and type(value) is member]
    for member in (*exact, *members):  # 1 stays an int where both int and float are allowed
        try:
            return check(value, member)
        except Mismatch:
            continue
    raise Mismatch(describe(kind))


def _check_tuple(value: object, kind: object) -> object:
    members = get_args(kind)
    if not isinstance(value, (list, tuple)):
        raise Mismatch(describe(kind))
    if len(members) == 2 and members[1] is Ellipsis:
        members = (members[0],) * len(value)
    if len(members) != len(value):
        raise Mismatch(describe(kind))
    return tuple(check(item, member) for item, member in zip(value, members, strict=True))


def _check_plain(value: object, kind: object) -> object:
    if kind is None or kind is type(None):
        return _check_instance(value, kind, value is None)
    if kind is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(_check_instance(value, kind, number))  # type: ignore[arg-type]
    if kind is int:
        return _check_instance(value, kind, isinstance(value, int) and not isinstance(value, bool))
    if isinstance(kind, type):
        return _check_instance(value, kind, isinstance(value, kind))
    if get_origin(kind) in (Mapping, dict):
        return _check_instance(value, kind, isinstance(value, Mapping))
    return value


def _check_instance(value: object, kind: object, fits: bool) -> object:
    if not fits:
        raise Mismatch(describe(kind))
    return value
