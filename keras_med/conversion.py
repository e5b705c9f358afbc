"""A traced function to a graph with its weights inside, as other engines read it, and to an ONNX file."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

_OPSET = 17
_LARGE = 2**22  # bytes of a matrix that is not converted with the rest


def frozen(concrete: Any) -> Any:
    """Return the function with its weights as constants of the graph, which every engine folds."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)


def to_onnx(function: Any, names: Mapping[str, str] | None = None) -> bytes:
    """Convert a frozen function to the content of an ONNX file.

    Large matrices are left out of what is converted, and come back afterwards: tf2onnx copies a graph so often that one
    of 100 million weights took more than 23 GiB.

    Args:
        names: of its inputs and outputs, by their names in the graph, where others are wanted.
    """
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    graph = function.graph.as_graph_def()
    matrices = _take_out(graph)
    proto, _ = tf2onnx.convert.from_graph_def(
        graph,
        input_names=[*(tensor.name for tensor in function.inputs), *matrices],
        output_names=[tensor.name for tensor in function.outputs],
        tensors_to_rename=dict(names or {}),
        opset=_OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    _put_back(proto.graph, matrices)
    return bytes(proto.SerializeToString())


def _take_out(graph: Any) -> dict[str, np.ndarray]:
    """Make inputs of the large matrices that nothing but products read, and return them by name."""
    from tensorflow.python.framework import tensor_util

    source = {node.name: node.input[0].partition(":")[0] for node in graph.node if node.op == "Identity"}
    readers = defaultdict[str, list[tuple[Any, int]]](list)
    for node in graph.node:
        for place, given in enumerate(node.input if node.op != "Identity" else ()):
            readers[_origin(given.partition(":")[0], source)].append((node, place))
    found = dict[str, np.ndarray]()
    for node in graph.node:
        read = readers[node.name]
        large = node.op == "Const" and len(node.attr["value"].tensor.tensor_content) >= _LARGE
        if not large or {reader.op for reader, _ in read} != {"MatMul"}:
            continue
        found[f"{node.name}:0"] = tensor_util.MakeNdarray(node.attr["value"].tensor)
        for reader, place in read:
            reader.input[place] = node.name
        node.op = "Placeholder"
        node.attr["shape"].shape.CopyFrom(node.attr["value"].tensor.tensor_shape)
        del node.attr["value"]
    return found


def _origin(name: str, source: Mapping[str, str]) -> str:
    """Follow a name through the nodes that only pass on what they are given."""
    while name in source:
        name = source[name]
    return name


def _put_back(graph: Any, matrices: Mapping[str, np.ndarray]) -> None:
    """Make the inputs of an ONNX graph that stand for matrices constants again."""
    from onnx import numpy_helper

    kept = [given for given in graph.input if given.name not in matrices]
    del graph.input[:]
    graph.input.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in matrices.items())


def _erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Write erfc(x), of which TensorFlow makes an exact GELU, as 1 - erf(x): ONNX has no other."""
    node.type = "Erf"
    one = graph.make_const(f"{name}/one", np.ones((), np.float32)).output[0]
    graph.insert_new_node_on_output("Sub", node.output[0], name=f"{name}/sub", inputs=[one, node.output[0]])
