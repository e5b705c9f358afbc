"""Backend, devices, threads and determinism: settled before Keras is imported, or before its first operation.

The only room of `training` that names TensorFlow.
"""

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from keras_med import runfolder
from keras_med.errors import EnvironmentProblem, RecipeError
from keras_med.runfolder import RunFolder

_PACKAGES = (
    "keras-med",
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "opencv-python",
    "onnxruntime",
    "openvino",
)


@dataclass(frozen=True)
class Runtime:
    """What a fit runs on; recorded, and obeyed by every worker.

    devices: as typed: auto, cpu, cpu:N or gpu:N.
    threads: of one process; None for every core.
    deterministic: ask the backend for repeatable operations.
    """

    backend: str = "tensorflow"
    devices: str = "auto"
    threads: int | None = None
    deterministic: bool = False

    @property
    def gpu(self) -> bool:
        """Whether GPUs were asked for by name."""
        return self.devices.startswith("gpu")

    @property
    def shares(self) -> bool:
        """Whether JAX shares each batch between devices; TensorFlow does so by a strategy of its own."""
        return self.backend == "jax" and _asked(self.devices)[1] > 1

    @property
    def compiled(self) -> bool:
        """Whether XLA compiles a step: JAX needs it, and TensorFlow on a processor is 8 times slower with it."""
        return self.backend == "jax"

    def settings(self) -> dict[str, Any]:
        """Return the plain values, as settings.json holds them."""
        return asdict(self)


def environment(runtime: Runtime) -> dict[str, str]:
    """Return the variables that must stand before Keras is imported."""
    variables = {
        "KERAS_BACKEND": runtime.backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "PYTHONHASHSEED": "0",
    }
    if _asked(runtime.devices)[0] == "cpu":
        variables |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    if runtime.shares:  # JAX splits a processor by nothing else; with GPUs it changes nothing
        count = f"--xla_force_host_platform_device_count={_asked(runtime.devices)[1]}"
        variables["XLA_FLAGS"] = " ".join(filter(None, (os.environ.get("XLA_FLAGS"), count)))
    if runtime.threads:
        variables |= {"OMP_NUM_THREADS": str(runtime.threads), "OPENBLAS_NUM_THREADS": str(runtime.threads)}
    return variables


def check(runtime: Runtime, batch_size: int, precision: str = "float32") -> None:
    """Refuse what can be seen to fail without starting the backend."""
    kind, count = _asked(runtime.devices)
    if precision == "float16" and (kind == "cpu" or count > 1 or runtime.backend != "tensorflow"):
        raise _no_float16(f"{runtime.backend} with --devices {runtime.devices}")
    if count and batch_size % count:
        remedy = f"--set train.batch_size={(batch_size // count + 1) * count}"
        raise RecipeError(f"A batch of {batch_size} cannot be shared by {count} devices evenly.", remedy=remedy)
    if runtime.backend == "torch" and count > 1:
        remedy = "Leave --devices out, or KERAS_BACKEND=tensorflow or jax."
        raise RecipeError(f"On torch a fit runs on one device; {kind}:{count} was asked for.", remedy=remedy)


def start(runtime: Runtime, seed: int) -> None:
    """Set threads, devices and seeds in this process; must come before the first operation of the backend."""
    import keras

    if runtime.backend == "tensorflow":
        _start_tensorflow(runtime)
    keras.utils.set_random_seed(seed)
    if runtime.deterministic and runtime.backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


@contextmanager
def scope(runtime: Runtime) -> Iterator[int]:
    """Build and compile inside; yields the number of replicas, each of which takes its part of every batch."""
    names = _replicas(runtime)
    if len(names) < 2 or runtime.shares:
        with shared(runtime):
            yield max(1, len(names))
        return
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(names).scope():  # one a process: a second object with another model crashes
        yield len(names)


@contextmanager
def shared(runtime: Runtime) -> Iterator[None]:
    """Train inside: JAX looks at each step whether batches are shared, and whole batches alone can be."""
    if not runtime.shares:
        yield
        return
    import keras

    kind, count = _asked(runtime.devices)
    with keras.distribution.DataParallel(devices=keras.distribution.list_devices(kind)[:count]).scope():
        yield


@contextmanager
def precise(precision: str) -> Iterator[None]:
    """Build and compile inside: layers compute in this precision, and keep their weights in float32."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def probe(folder: Path) -> None:
    """Write environment.json: what this machine is and which devices the fits will have."""
    run = RunFolder(folder.parent.parent)
    settings = runfolder.read_json(folder / "settings.json")
    runtime = Runtime(**settings["runtime"])
    start(runtime, seed=0)
    names, precision = _replicas(runtime), str(settings["precision"])
    if precision == "float16" and (len(names) != 1 or not names[0].startswith("GPU")):
        raise _no_float16(f"{max(1, len(names))} x {_device_name(runtime)}")
    count = max(1, len(names))
    batch = int(settings["batch_size"])
    if batch % count:
        remedy = f"--set train.batch_size={(batch // count + 1) * count}, or --devices gpu:1"
        raise RecipeError(f"A batch of {batch} cannot be shared by {count} devices evenly.", remedy=remedy)
    name = _device_name(runtime)
    threads = runtime.threads or cores()
    line = f"batch {batch} = {count} x {batch // count}, {precision}, {count} x {name}, {threads} threads"
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "packages": packages(),
        "replicas": count,
        "gpus": sum(device.startswith("GPU") for device in names),
        "line": line,
        **runtime.settings(),
    }
    runfolder.write_json(run.environment, found)
    runfolder.write_json(folder / "done.json", {"line": line})


def _no_float16(place: str) -> RecipeError:
    """Refuse it: processors are slower in it, and the scaling of its loss does not see what overflows elsewhere."""
    what = f"train.precision=float16 needs one GPU with TensorFlow; this is {place}."
    return RecipeError(what, remedy="--set train.precision=bfloat16, or --devices gpu:1")


def visible_gpus(backend: str = "tensorflow") -> int:
    """Count the GPUs that a backend sees; asking TensorFlow starts nothing."""
    if backend == "jax":
        import jax

        return sum(device.platform == "gpu" for device in jax.devices())
    if backend == "torch":
        import torch

        return torch.cuda.device_count()
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


def on_one_processor() -> bool:
    """Say whether this process trains with TensorFlow on a processor and shares its batches with no other device."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync == 1 and not tf.config.get_visible_devices("GPU")


def packages() -> dict[str, str]:
    """Return the versions of what decides about numbers; what is not installed is left out."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _asked(devices: str) -> tuple[str, int]:
    """Return kind and count; a count of 0 means all there are."""
    match = re.fullmatch(r"(auto|cpu|gpu)(?::([1-9]\d*))?", devices)
    if not match or (match[1] == "auto" and match[2]):
        raise RecipeError(f"--devices {devices} is not understood.", remedy="Type auto, cpu, cpu:2 or gpu:1.")
    return match[1], int(match[2] or (1 if match[1] == "cpu" else 0))


def _start_tensorflow(runtime: Runtime) -> None:
    import tensorflow as tf

    kind, count = _asked(runtime.devices)
    try:
        if runtime.threads:
            tf.config.threading.set_intra_op_parallelism_threads(runtime.threads)
            tf.config.threading.set_inter_op_parallelism_threads(runtime.threads)
        if kind == "cpu" and count > 1:
            (processor,) = tf.config.list_physical_devices("CPU")
            parts = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
            tf.config.set_logical_device_configuration(processor, parts)
    except RuntimeError as error:
        raise EnvironmentProblem(f"TensorFlow was used before its threads and devices were set: {error}") from None


def _replicas(runtime: Runtime) -> list[str]:
    """Return the names of the devices that share each batch; JAX and torch take one unless more are named."""
    kind, count = _asked(runtime.devices)
    if kind == "cpu":
        return [f"CPU:{number}" for number in range(count)]
    found = visible_gpus(runtime.backend)
    if kind == "gpu" and found < max(count, 1):
        what = f"{found} GPUs are visible; --devices {runtime.devices} asks for {max(count, 1)}."
        raise EnvironmentProblem(
            what, remedy='Type --devices cpu, or pip install "keras_med[gpu]" for the CUDA libraries.'
        )
    alone = runtime.backend != "tensorflow"
    return [f"GPU:{number}" for number in range(count or (min(found, 1) if alone else found))]


def _device_name(runtime: Runtime) -> str:
    names = _replicas(runtime)
    if names and names[0].startswith("GPU"):
        if runtime.backend != "tensorflow":
            return "GPU"
        import tensorflow as tf

        device = tf.config.list_physical_devices("GPU")[0]
        return str(tf.config.experimental.get_device_details(device).get("device_name", "GPU"))
    return processor()


def processor() -> str:
    """Name the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
