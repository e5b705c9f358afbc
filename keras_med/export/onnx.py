"""A SavedModel to an ONNX file with the outputs `logits` and `serve`, and to answers from ONNX Runtime.

By way of the SavedModel: what `keras.Model.export(format="onnx")` writes is refused by ONNX Runtime for any
Normalization layer, so for EfficientNet.
"""

from pathlib import Path

import numpy as np

from keras_med import conversion
from keras_med.errors import EnvironmentProblem
from keras_med.export.golden import Answer
from keras_med.export.outputs import together
from keras_med.export.quiet import tensorflow

INSTALL = "pip install 'keras_med[onnx]'"


def write(saved_model: Path, file: Path, shape: tuple[int, ...]) -> None:
    """Convert a SavedModel; the batch stays of any size."""
    tensorflow()
    try:
        import onnxruntime  # noqa: F401  what nothing here can verify is not written either
        import tf2onnx  # noqa: F401  which the conversion needs: told here, and not in the middle of it
    except ImportError as error:
        raise EnvironmentProblem(f"ONNX needs {error.name}, which is not installed.", remedy=INSTALL) from None
    _loaded, outputs = together(saved_model, shape)
    # frozen here: tf2onnx would turn what a SavedModel captured, a Normalization's mean, into inputs of the file
    traced = outputs.get_concrete_function()
    frozen = conversion.frozen(traced)
    names = ["pixels", *sorted(traced.structured_outputs)]
    tensors = [tensor.name for tensor in (*frozen.inputs, *frozen.outputs)]
    file.write_bytes(conversion.to_onnx(frozen, dict(zip(tensors, names, strict=True))))


def answers(file: Path) -> dict[str, Answer]:
    """Return each output of the file as a function of pixels, run by ONNX Runtime on the processor."""
    try:
        import onnxruntime
    except ImportError:
        raise EnvironmentProblem(f"{file.name} needs onnxruntime, which is not installed.", remedy=INSTALL) from None
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def answer(name: str) -> Answer:
        def run(pixels: np.ndarray) -> np.ndarray:
            return session.run([name], {"pixels": pixels})[0]

        return run

    return {output.name: answer(output.name) for output in session.get_outputs()}
