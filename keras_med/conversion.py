"""A traced function to a graph with its weights inside, as other engines read it, and to an ONNX file."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

_OPSET = 17


def frozen(concrete: Any) -> Any:
    """Return the function with its weights as constants of the graph, which every engine folds."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(concrete, lower_control_flow=False, aggressive_inlining=True)


def to_onnx(function: Any, names: Mapping[str, str] | None = None) -> bytes:
    """Convert a frozen function to the content of an ONNX file.

    Args:
        names: of its inputs and outputs, by their names in the graph, where others are wanted.
    """
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    proto, _ = tf2onnx.convert.from_graph_def(
        function.graph.as_graph_def(),
        input_names=[tensor.name for tensor in function.inputs],
        output_names=[tensor.name for tensor in function.outputs],
        tensors_to_rename=dict(names or {}),
        opset=_OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    return bytes(proto.SerializeToString())


def _erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Write erfc(x), of which TensorFlow makes an exact GELU, as 1 - erf(x): ONNX has no other."""
    node.type = "Erf"
    one = graph.make_const(f"{name}/one", np.ones((), np.float32)).output[0]
    graph.insert_new_node_on_output("Sub", node.output[0], name=f"{name}/sub", inputs=[one, node.output[0]])
