"""A SavedModel to a LiteRT file with float32 or 8-bit weights and the outputs `logits` and `serve`; and to answers."""

import tempfile
from pathlib import Path

import numpy as np

from keras_med.errors import EnvironmentProblem, RecipeError
from keras_med.export.golden import Answer
from keras_med.export.outputs import together
from keras_med.export.quiet import stderr_dropped, tensorflow

INSTALL = "pip install 'keras_med[litert]'"


def write(saved_model: Path, file: Path, shape: tuple[int, ...], *, int8: bool = False) -> None:
    """Convert a SavedModel; volumes are refused, because the runtime has no 3-D pooling.

    Args:
        int8: store large weights in 8 bits, a scale for each; what flows between the layers stays float32.
    """
    if len(shape) != 3:
        size = " x ".join(map(str, shape))
        raise RecipeError(
            f"LiteRT cannot run a network on volumes ({size}): it has no MaxPool3D.",
            remedy="Leave litert out of the formats.",
        )
    try:
        import ai_edge_litert.interpreter  # noqa: F401  what nothing here can verify is not written either
    except ImportError:
        raise EnvironmentProblem("LiteRT needs ai-edge-litert, which is not installed.", remedy=INSTALL) from None
    tf = tensorflow()
    loaded, outputs = together(saved_model, shape)
    with tempfile.TemporaryDirectory() as folder:
        # saved here: the converter would save gradients too, fails where an activation has its own, and says nothing
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(loaded, folder, signatures=outputs.get_concrete_function(), options=options)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        file.write_bytes(converter.convert())


def answers(file: Path) -> dict[str, Answer]:
    """Return each signature of the file as a function of pixels, run by LiteRT."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise EnvironmentProblem(f"{file.name} needs ai-edge-litert, which is not installed.", remedy=INSTALL) from None
    with stderr_dropped():  # it announces its delegate
        interpreter = Interpreter(str(file))
        interpreter.allocate_tensors()
        runner = interpreter.get_signature_runner()

    def answer(name: str) -> Answer:
        return lambda pixels: np.array(runner(pixels=pixels)[name])  # a copy: the next call writes over it

    return {name: answer(name) for name in runner.get_output_details()}
