"""The word for a network: the function that builds it, and its keyword-only parameters as settings."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from keras_med.errors import RecipeError
from keras_med.recipe.checking import checked
from keras_med.recipe.kinds import near


class Model:
    """The function that builds the network, and its settings.

    Args:
        network: takes the image as a Keras tensor and returns features; its keyword-only parameters are the settings
            under `model.`, each with an annotation and a default.
        head: let the trainer add the last layer that the target needs; False when the network returns the output.
        **settings: values for the network's keyword-only parameters.
    """

    network: Callable[..., Any]
    head: bool
    settings: Mapping[str, object]

    def __init__(self, network: Callable[..., Any], *, head: bool = True, **settings: object) -> None:
        if not callable(network):
            raise RecipeError(f"Model(network) is {network!r}; expected a function")
        kinds = network_settings(network)
        for name in settings:
            if name not in kinds:
                remedy = near(name, [*kinds, "head"])
                raise RecipeError(f"network() has no keyword-only parameter {name!r}", remedy=remedy)
        values = {name: checked(f"model.{name}", settings.get(name, p.default), p.kind) for name, p in kinds.items()}
        self.__dict__.update(
            network=network, head=checked("Model(head=...)", head, bool), settings=types.MappingProxyType(values)
        )

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A keyword-only parameter of a network: its annotation and default."""

    kind: object
    default: object


def network_settings(network: Callable[..., Any]) -> dict[str, Parameter]:
    """Return the keyword-only parameters of a network; a RecipeError names one without annotation or default."""
    parameters = inspect.signature(network).parameters.items()
    keywords = {name: parameter for name, parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY}
    hints = _annotations(network, list(keywords))
    found = {}
    for name, parameter in keywords.items():
        if name == "head":
            raise RecipeError("network()'s parameter 'head' is a word of Model", remedy="Give it another name.")
        if name not in hints or parameter.default is inspect.Parameter.empty:
            raise RecipeError(
                f"network()'s parameter {name!r} needs an annotation and a default", remedy=f"{name}: float = 0.5"
            )
        found[name] = Parameter(hints[name], parameter.default)
    return found


def _annotations(network: Callable[..., Any], names: list[str]) -> dict[str, Any]:
    """Evaluate the annotations of some parameters; the image's may name Keras, which nobody has imported yet."""
    plain = inspect.unwrap(network)
    own = getattr(plain, "__annotations__", {})
    chosen = types.SimpleNamespace(__annotations__={name: own[name] for name in names if name in own})
    return typing.get_type_hints(chosen, globalns=getattr(plain, "__globals__", {}), include_extras=True)
