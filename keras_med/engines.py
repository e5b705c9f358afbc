"""A network that needs no gradient to a fast function on this machine: by TensorFlow, ONNX Runtime or OpenVINO.

Seen, EfficientNetB2 at 260x260 on two cores, images a second: `predict_on_batch` 40, TensorFlow with its weights frozen
into the graph 47, ONNX Runtime 64, OpenVINO 75 (132 in bfloat16). All but bfloat16 give TensorFlow's numbers to 1e-4.
Backends other than TensorFlow have no graph to convert, and a GPU needs none: there the backend itself is the engine.
"""

import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keras_med import conversion
from keras_med.errors import EnvironmentProblem, RecipeError

if TYPE_CHECKING:
    import keras

Run = Callable[[np.ndarray], np.ndarray]
Name = Literal["auto", "tensorflow", "onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16"]

TENSORFLOW, ONNXRUNTIME, OPENVINO = "tensorflow", "onnxruntime", "openvino"
BOUND = 1e-4
INSTALL = 'pip install "keras_med[onnx]"'
_NEEDS = {TENSORFLOW: ("tensorflow",), ONNXRUNTIME: ("onnxruntime", "tf2onnx"), OPENVINO: ("openvino",)}
# Seconds of work left from which an engine is tried, in this order. Converting an EfficientNetB2 takes OpenVINO 2 and
# ONNX Runtime 12; where both are here, the second was not seen to win.
_WORTH = {OPENVINO: 6.0, ONNXRUNTIME: 120.0}
_SHORT = 0.2  # seconds that are measured at least


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What runs a network, fixed before the first batch and obeyed by every worker.

    name: of the engine, or of a Keras backend that has none.
    precision: of its computation.
    threads: of one process; None for every core.
    """

    name: str = TENSORFLOW
    precision: str = "float32"
    threads: int | None = None

    def settings(self) -> dict[str, Any]:
        """Return the plain values and the engine's version, as a feature key holds them."""
        version = metadata.version(self.name) if importlib.util.find_spec(self.name) else ""
        return {**asdict(self), "version": version}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The engine that was chosen.

    rates: images a second of each that was tried.
    told: why not another, in words; empty where nothing is to say.
    """

    engine: Engine
    rates: dict[str, float]
    told: str = ""


def installed() -> list[str]:
    """Name the engines whose packages are here; nothing is imported."""
    return [name for name, needs in _NEEDS.items() if all(importlib.util.find_spec(need) for need in needs)]


def check(name: Name, precision: Precision, backend: str) -> None:
    """Refuse an engine that this machine or backend does not have."""
    wanted = OPENVINO if name == "auto" and precision == "bfloat16" else name
    if precision == "bfloat16" and wanted != OPENVINO:
        what = f"train.engine_precision=bfloat16 is OpenVINO's alone; train.engine is {name}."
        raise RecipeError(what, remedy="--set train.engine=openvino")
    if wanted == "auto":
        return
    if backend != TENSORFLOW:
        what = f"train.engine={wanted} converts TensorFlow's graph; the backend is {backend}."
        raise RecipeError(what, remedy="--set train.engine=auto, or KERAS_BACKEND=tensorflow.")
    missing = [need for need in _NEEDS[wanted] if importlib.util.find_spec(need) is None]
    if missing:
        raise EnvironmentProblem(f"{wanted} needs {', '.join(missing)}, which is not installed.", remedy=INSTALL)


@dataclass(frozen=True, kw_only=True)
class Function:
    """What an engine runs: a network in inference mode.

    call: of tensors.
    shape: of one example.
    backend: that made it.
    plain: of arrays, by a backend whose graph cannot be converted.
    """

    call: Callable[[Any], Any]
    shape: tuple[int | None, ...]
    backend: str
    plain: Run


def function_of(model: "keras.Model") -> Function:
    """Return a network with one input and one output as a function, by whatever backend Keras runs on."""
    import keras

    return Function(
        call=lambda images: model(images, training=False),
        shape=tuple(model.inputs[0].shape[1:]),
        backend=keras.backend.backend(),
        plain=lambda images: keras.ops.convert_to_numpy(model.predict_on_batch(images)),
    )


class Compiler:
    """One network for every engine: its graph is traced once, and the function of each engine is made once.

    Args:
        network: a Keras model, or a function as a SavedModel has it.
        batch: of every call, where it is always the same: a known size is faster; None for any.
    """

    def __init__(self, network: "keras.Model | Function", batch: int | None = None) -> None:
        self._function = network if isinstance(network, Function) else function_of(network)
        self._batch = batch
        self._made: dict[Engine, Run] = {}

    @property
    def backend(self) -> str:
        """The backend that made the network."""
        return self._function.backend

    def run(self, engine: Engine) -> Run:
        """Return the network, in inference mode, as a function of one batch."""
        if engine not in self._made:
            self._made[engine] = self._run(engine)
        return self._made[engine]

    def _run(self, engine: Engine) -> Run:
        if engine.name == OPENVINO:
            return _openvino(self._frozen, engine)
        if engine.name == ONNXRUNTIME:
            return _onnxruntime(self._frozen, engine)
        if engine.name == TENSORFLOW == self.backend:
            return _tensorflow(self._frozen)
        return self._function.plain

    @cached_property
    def _frozen(self) -> Any:
        """Trace the network with its weights as constants of the graph, which every engine folds."""
        import tensorflow as tf

        shape = (self._batch, *self._function.shape)
        traced = tf.function(self._function.call, jit_compile=False, autograph=False)
        return conversion.frozen(traced.get_concrete_function(tf.TensorSpec(shape, tf.float32, "pixels")))


def choose(
    compiler: Compiler, name: Name, precision: Precision, threads: int | None, images: np.ndarray, rows: int
) -> Choice:
    """Choose the engine: the one that was named, or the fastest in a short trial; never one with other numbers.

    Args:
        images: a batch of real ones, as every later batch is large.
        rows: to be computed; a conversion has to be worth it.
    """
    own = Engine(name=compiler.backend, threads=threads)
    plain = name == "auto" and precision == "float32"
    if own.name != TENSORFLOW or name == TENSORFLOW or (plain and _on_gpu()):
        return Choice(engine=own, rates={})
    reference = compiler.run(own)
    expected = reference(images)
    if precision == "bfloat16":
        return _half(compiler, replace(own, name=OPENVINO, precision=precision), images, expected)
    rates = {TENSORFLOW: _rate(reference, images)}
    problems, best = [], own
    for other in _WORTH if name == "auto" else (name,):
        if name == "auto" and (other not in installed() or rows / rates[best.name] < _WORTH[other]):
            continue
        trial = replace(own, name=other)
        rate, problem = _tried(compiler, trial, images, expected)
        if problem:
            problems.append(problem)
            continue
        rates[other] = rate
        if name == other or rate > rates[best.name]:
            best = trial
    return Choice(engine=best, rates=rates, told=" ".join(problems))


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Return the largest |a - b| / max(1, |a|); infinite where shapes differ or a value is no number."""
    if expected.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    wide = expected.astype(np.float64)
    return float(np.max(np.abs(wide - found) / np.maximum(1, np.abs(wide)), initial=0.0))


def _tried(compiler: Compiler, engine: Engine, images: np.ndarray, expected: np.ndarray) -> tuple[float, str]:
    """Return the engine's images a second, and what is wrong with it; a failing engine is no failing run."""
    try:
        run = compiler.run(engine)
        far = difference(expected, run(images))
    except Exception as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        return 0.0, f"{engine.name} cannot run this network ({told[0][:120]}); TensorFlow does."
    if not far <= BOUND:
        return 0.0, f"{engine.name} differs from TensorFlow by {far:.2g} (allowed: {BOUND:g}) and is not used."
    return _rate(run, images), ""


def _half(compiler: Compiler, engine: Engine, images: np.ndarray, expected: np.ndarray) -> Choice:
    """Say how far bfloat16 is off, instead of holding it to a bound that it cannot keep."""
    run = compiler.run(engine)
    far = difference(expected, run(images))
    told = f"bfloat16, as asked: features differ from float32 by up to {far:.2g}."
    return Choice(engine=engine, rates={engine.name: _rate(run, images)}, told=told)


def _rate(run: Run, images: np.ndarray) -> float:
    """Time two calls after the first, or more where they are short, and return images a second of the fastest."""
    seconds, begun = list[float](), time.perf_counter()
    while len(seconds) < 2 or time.perf_counter() - begun < _SHORT:
        started = time.perf_counter()
        run(images)
        seconds.append(time.perf_counter() - started)
    return len(images) / max(min(seconds), 1e-9)


def _on_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.get_visible_devices("GPU"))


def _tensorflow(frozen: Any) -> Run:
    import tensorflow as tf

    def run(images: np.ndarray) -> np.ndarray:
        result = frozen(tf.constant(images))
        return (result[0] if isinstance(result, Sequence) else result).numpy()

    return run


def _openvino(frozen: Any, engine: Engine) -> Run:
    """Convert by the front end alone: `openvino.convert_model` asks for consent to telemetry, and may send it."""
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.tensorflow.graph_iterator import GraphIteratorTFGraph

    front_end = FrontEndManager().load_by_framework("tf")
    graph = GraphIteratorTFGraph(frozen.graph, True)
    loaded = front_end.load(graph)
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[engine.precision],
        "NUM_STREAMS": 1,
        **({"INFERENCE_NUM_THREADS": engine.threads} if engine.threads else {}),
    }
    made = openvino.Core().compile_model(front_end.convert(loaded), "CPU", settings)
    request = made.create_infer_request()

    def run(images: np.ndarray) -> np.ndarray:
        return np.array(request.infer({0: images})[0], np.float32)  # a copy: the request writes there again

    return run


def _onnxruntime(frozen: Any, engine: Engine) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = engine.threads or 0
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(conversion.to_onnx(frozen), options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    return lambda images: session.run(None, {given.name: images})[0]
