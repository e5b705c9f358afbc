"""The decorator that makes a word: a frozen dataclass whose arguments are checked by name and by type."""

import dataclasses
import functools
import typing
from typing import TypeVar, dataclass_transform

from keras_med.errors import RecipeError
from keras_med.recipe.kinds import Mismatch, check, near

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field,))
def word(cls: type[T]) -> type[T]:
    """Make a frozen keyword-only dataclass whose arguments are checked by name and by type."""
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    plain_init = made.__init__
    kinds = typing.get_type_hints(made, include_extras=True)
    names = [field.name for field in dataclasses.fields(made)]  # type: ignore[arg-type]

    @functools.wraps(plain_init)
    def checked_init(self: object, *arguments: object, **settings: object) -> None:
        for name in settings:
            if name not in names:
                raise RecipeError(f"{cls.__name__} has no setting {name!r}", remedy=near(name, names))
        try:
            plain_init(self, *arguments, **settings)
        except TypeError as error:
            raise RecipeError(f"{cls.__name__}: {str(error).removeprefix('__init__() ')}") from None
        for name in names:
            value = checked(f"{cls.__name__}({name}=...)", getattr(self, name), kinds[name])
            object.__setattr__(self, name, value)

    made.__init__ = checked_init  # type: ignore[method-assign]
    return made


def checked(name: str, value: object, kind: object) -> object:
    """Return the value as its kind has it; a RecipeError names what came and what was expected."""
    try:
        return check(value, kind)
    except Mismatch as expected:
        shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
        raise RecipeError(f"{name} is {shown}; expected {expected}") from None
