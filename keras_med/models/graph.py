"""A functional model to its steps in the order of computation: the one place that knows how Keras stores a graph."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One call of a layer or operation.

    arguments, keywords: as it was called, symbolic tensors among them.
    inputs, outputs: the identities of the symbolic tensors.
    """

    operation: keras.Operation
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    results: tuple[keras.KerasTensor, ...]


def steps(model: keras.Model) -> list[Step]:
    """List the calls of a functional model, those of input layers left out, each after all that it needs."""
    found = []
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.operation and not node.is_input:
                found.append(_step(node))
    return found


def _step(node: Any) -> Step:
    return Step(
        operation=node.operation,
        arguments=node.arguments.args,
        keywords=node.arguments.kwargs,
        inputs=tuple(id(tensor) for tensor in node.input_tensors),
        outputs=tuple(id(tensor) for tensor in node.output_tensors),
        results=tuple(node.output_tensors),
    )


def again(
    planned: Sequence[Step], given: Mapping[int, Any], instead: Mapping[int, keras.Operation] | None = None
) -> dict[int, Any]:
    """Call the same layers on other symbolic tensors, un-nested; return those that stand for each of the old ones.

    Args:
        given: what stands for the tensors that the steps begin with, by identity.
        instead: layers that are called in place of others, by the identity of these.
    """
    values, others = dict(given), instead or {}

    def other(value: Any) -> Any:
        return values[id(value)] if isinstance(value, keras.KerasTensor) else value

    for step in planned:
        arguments, keywords = keras.tree.map_structure(other, (step.arguments, step.keywords))
        operation = others.get(id(step.operation), step.operation)
        values.update(zip(step.outputs, keras.tree.flatten(operation(*arguments, **keywords)), strict=True))
    return values


class Values:
    """The tensors computed so far, each dropped after the last step that reads it."""

    def __init__(self, given: dict[int, Any], planned: Sequence[Step]) -> None:
        self._values = dict(given)
        self._readers = Counter(tensor for step in planned for tensor in step.inputs)

    def __getitem__(self, tensor: int) -> Any:
        return self._values[tensor]

    def run(self, step: Step) -> None:
        """Compute one step in inference mode."""
        arguments, keywords = keras.tree.map_structure(self._filled, (step.arguments, step.keywords))
        if isinstance(step.operation, keras.Layer) and step.operation._call_has_training_arg:
            keywords = keywords | {"training": False}
        result = step.operation(*arguments, **keywords)
        self._values.update(zip(step.outputs, keras.tree.flatten(result), strict=True))
        self._drop(step)

    def _filled(self, value: Any) -> Any:
        return self._values[id(value)] if isinstance(value, keras.KerasTensor) else value

    def _drop(self, step: Step) -> None:
        for tensor in step.inputs:
            self._readers[tensor] -= 1
            if not self._readers[tensor]:
                self._values.pop(tensor, None)
