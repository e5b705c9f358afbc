"""The tree of named settings: list them, read `--set name=value`, and make a changed recipe."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from keras_med.errors import RecipeError
from keras_med.recipe.kinds import Mismatch, describe, near, parse
from keras_med.recipe.model import Model, network_settings
from keras_med.recipe.words import Recipe

_SECTIONS = {field.name: field for field in dataclasses.fields(Recipe)}


@dataclass(frozen=True)
class Setting:
    """One named value of a recipe, with what it may be and what it means."""

    name: str
    value: object
    kind: object
    meaning: str

    @property
    def expected(self) -> str:
        """What the value may be, in words."""
        return describe(self.kind)


def settings_of(recipe: Recipe) -> dict[str, Setting]:
    """Return every setting of the recipe under its dotted name, in the order of the words."""
    found: list[Setting] = []
    for section in _SECTIONS:
        value = getattr(recipe, section)
        if isinstance(value, Model):
            found += _network_settings(value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            found += _word_settings(section, value)
        elif value is not None:
            kinds = typing.get_type_hints(Recipe, include_extras=True)
            found.append(Setting(section, value, kinds[section], meanings(Recipe)[section]))
    return {setting.name: setting for setting in found}


def changed(recipe: Recipe, name: str, value: object) -> Recipe:
    """Return the recipe with one setting changed, checked as if the file had said so."""
    _setting(recipe, name)
    section, _, field = name.partition(".")
    part: dict[str, Any] = {section: _changed_part(getattr(recipe, section), field, value) if field else value}
    return dataclasses.replace(recipe, **part)


def assigned(recipe: Recipe, assignments: list[str]) -> Recipe:
    """Return the recipe with each `name=value` of the command line applied."""
    for assignment in assignments:
        name, text = _halves(assignment)
        setting = _setting(recipe, name)
        recipe = changed(recipe, name, _parsed(assignment, text, setting.kind))
    return recipe


def lines(recipe: Recipe) -> list[str]:
    """List every setting with its present value, its meaning and what it may be."""
    told = []
    for setting in settings_of(recipe).values():
        told += [f"{setting.name} = {setting.value!r}", f"    {setting.meaning} ({setting.expected})"]
    return told


def check_assignments(assignments: list[str]) -> None:
    """Refuse what is wrong in any recipe, before the recipe file itself is run."""
    for assignment in assignments:
        name, text = _halves(assignment)
        section, _, field = name.partition(".")
        if section not in _SECTIONS:
            raise RecipeError(f"There is no setting {name!r}", where=f"--set {assignment}", remedy=_nearest(name))
        words = _words(section)
        if not words:
            continue
        kinds = [kind for word in words for own, kind in _field_kinds(word).items() if own == field]
        if not kinds:
            names = [f"{section}.{own}" for word in words for own in _field_kinds(word)]
            raise RecipeError(
                f"There is no setting {name!r}",
                where=f"--set {assignment}",
                remedy=near(name, list(dict.fromkeys(names))),
            )
        if len(words) == 1:
            _parsed(assignment, text, kinds[0])


def values_of(recipe: Recipe) -> dict[str, object]:
    """Return the plain values of all settings, as settings.json holds them."""
    return {name: setting.value for name, setting in settings_of(recipe).items()}


def with_values(recipe: Recipe, values: Mapping[str, object]) -> Recipe:
    """Return the recipe with the values that settings.json holds; equal ones are left alone."""
    for name, setting in settings_of(recipe).items():
        if name in values and values[name] != setting.value:
            recipe = changed(recipe, name, values[name])
    return recipe


def meanings(described: object) -> dict[str, str]:
    """Read the `name: meaning` lines of a docstring."""
    lines = re.findall(r"^\s*(\w+): (.+)$", inspect.getdoc(described) or "", flags=re.MULTILINE)
    return dict(lines)


def _changed_part(word: Any, field: str, value: object) -> object:
    change: dict[str, Any] = {field: value}
    if isinstance(word, Model):
        return Model(word.network, **{"head": word.head, **word.settings, **change})
    return dataclasses.replace(word, **change)


def _word_settings(section: str, word: Any) -> list[Setting]:
    told = meanings(type(word))
    return [
        Setting(f"{section}.{name}", getattr(word, name), kind, told[name])
        for name, kind in _field_kinds(type(word)).items()
    ]


def _network_settings(model: Model) -> list[Setting]:
    told = meanings(model.network)
    head = Setting("model.head", model.head, bool, "let the trainer add the last layer that the target needs")
    return [head] + [
        Setting(f"model.{name}", model.settings[name], parameter.kind, told.get(name, "a setting of the network"))
        for name, parameter in network_settings(model.network).items()
    ]


def _field_kinds(word: type) -> dict[str, object]:
    """Return the fields that are settings: those of plain values, whose meaning the docstring tells."""
    kinds = typing.get_type_hints(word, include_extras=True)
    told = meanings(word)
    return {field.name: kinds[field.name] for field in dataclasses.fields(word) if field.name in told}


def _words(section: str) -> list[type]:
    """Return the words that may stand in a section; none for plain values and for the network."""
    kind = typing.get_type_hints(Recipe, include_extras=True)[section]
    members = get_args(kind) if get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    return [member for member in members if dataclasses.is_dataclass(member) and isinstance(member, type)]


def _setting(recipe: Recipe, name: str) -> Setting:
    known = settings_of(recipe)
    if name in known:
        return known[name]
    section = name.partition(".")[0]
    if section in _SECTIONS and getattr(recipe, section) is None:
        raise RecipeError(
            f"{name!r} cannot be set: this recipe has no {section}", remedy=f"Give the recipe a {section}=."
        )
    raise RecipeError(f"There is no setting {name!r} in this recipe", remedy=near(name, list(known)))


def _parsed(assignment: str, text: str, kind: object) -> object:
    try:
        return parse(text, kind)
    except Mismatch as expected:
        raise RecipeError(f"{text!r} does not fit; expected {expected}", where=f"--set {assignment}") from None


def _halves(assignment: str) -> tuple[str, str]:
    name, equals, text = assignment.partition("=")
    if not equals or not name.strip():
        raise RecipeError(
            "A setting is given as name=value", where=f"--set {assignment}", remedy="For example --set train.epochs=5"
        )
    return name.strip(), text.strip()


def _nearest(name: str) -> str:
    """Return the nearest of all names that a recipe can have."""
    names = [f"{section}.{own}" for section in _SECTIONS for word in _words(section) for own in _field_kinds(word)]
    return near(name, list(dict.fromkeys([*names, "seed", "model.*"])))
