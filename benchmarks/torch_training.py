"""Training steps of ResNet18, ResNet50, ViT-B/16 and the 3-D network: keras_med's networks against PyTorch's own.

    python benchmarks/torch_training.py [--torch PYTHON] [--models resnet18 resnet50 vit conv3d] [--rounds 3]
                                        [--batch 8] [--only tensorflow jax keras-torch torch] [--steps 3]

Every side trains on one batch in memory: forward, backward, Adam, cross-entropy, in training mode, one process at a
time. Sides take turns, a fresh process each; the median step counts, and of those the median of the rounds. Keras
runs with TensorFlow, with JAX and with PyTorch as its backend, in float32 and bfloat16; PyTorch itself with channels
last, in float32 and under bfloat16 autocast, eager, on the same number of threads; its ResNet50 has its strides where
Keras has them, or it had 6 % more to do. Volumes are of 128x128x64 where pictures are of 224x224. Beside the clock
stand images a second of a processor, which other work on the machine changes less. `--torch` names the Python that has
torch, torchvision and, for Keras on it, keras; the default is this one. Wanted: at least PyTorch's best, and 3 times it
for volumes.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from accelerator import CLASSES, MODELS, keras_network, shape_of, torch_network

HERE = Path(__file__).resolve().parent
KERAS = [
    (backend, precision) for backend in ("tensorflow", "jax", "keras-torch") for precision in ("float32", "bfloat16")
]
TORCH = [("torch", "float32"), ("torch", "bfloat16")]
_SECONDS = 4.0  # of one round


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=3, help="the least of a round")
    parser.add_argument("--only", nargs="+", default=("tensorflow", "jax", "keras-torch", "torch"), metavar="FRAMEWORK")
    given = parser.parse_args()
    given.sides = [one for one in KERAS + TORCH if one[0] in given.only]
    for model in given.models:
        compare(model, given)
    return 0


def compare(model: str, given: argparse.Namespace) -> None:
    rates: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(given.rounds):
        for framework, precision in given.sides:
            rate = measured(framework, precision, model, given)
            if rate is not None:
                rates.setdefault((framework, precision), []).append(rate)
    medians = {
        one: [statistics.median(value[which] for value in values) for which in (0, 1)] for one, values in rates.items()
    }
    for (framework, precision), (clock, processor) in medians.items():
        low, high = min(rates[framework, precision])[0], max(rates[framework, precision])[0]
        told = f"{clock:8.2f} images/s  ({low:.2f} to {high:.2f}), {processor:.2f} a second of a processor"
        print(f"{model:10}{framework:12}{precision:10}{told}", flush=True)
    for which, of in enumerate(("by the clock", "by the processor")):
        ours = max((median[which] for (framework, _), median in medians.items() if framework != "torch"), default=0)
        theirs = max((median[which] for (framework, _), median in medians.items() if framework == "torch"), default=0)
        if ours and theirs:
            print(f"{model:10}ours / PyTorch's best, {of}  {ours / theirs:.2f}", flush=True)


def measured(framework: str, precision: str, model: str, given: argparse.Namespace) -> tuple[float, float] | None:
    """Return images a second of a fresh process, and of a processor; none where the framework is not there."""
    python = given.torch if framework.endswith("torch") else sys.executable
    typed = [python, __file__, "--side", framework, precision, model, *map(str, (given.batch, given.size, given.steps))]
    backend = framework.removeprefix("keras-")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if backend == "torch":
        environment["OMP_WAIT_POLICY"] = "passive"  # or threads that wait would count as work
    done = subprocess.run(typed, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(
            f"{model:10}{framework:12}{precision:10}  {(done.stderr.splitlines() or ['failed'])[-1][:80]}", flush=True
        )
        return None
    clock, processor = map(float, done.stdout.splitlines()[-1].split())
    return clock, processor


def side(framework: str, precision: str, model: str, batch: int, size: int, least: int) -> None:
    """Take two steps, then print images a second of the median of the next ones, and those of a processor."""
    step = (torch_step if framework == "torch" else keras_step)(precision, model, batch, size)
    for _ in range(2):
        step()
    seconds, worked, begun = list[float](), list[float](), time.perf_counter()
    while len(seconds) < least or time.perf_counter() - begun < _SECONDS:
        started, work = time.perf_counter(), time.process_time()
        step()
        seconds.append(time.perf_counter() - started)
        worked.append(time.process_time() - work)
    print(batch / statistics.median(seconds), batch / statistics.median(worked))


def keras_step(precision: str, model: str, batch: int, size: int) -> Callable[[], object]:
    sys.path.insert(0, str(HERE.parent))
    import keras
    import numpy as np

    from keras_med.training import batch_norm
    from keras_med.training.adam import Adam

    keras.utils.set_random_seed(0)
    if precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    network = batch_norm.with_kernels(keras_network(model, size))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    jit = keras.backend.backend() == "jax"  # TensorFlow's XLA is slow on a CPU, JAX has nothing else
    network.compile(Adam(1e-4), loss=loss, jit_compile=jit)
    images = np.random.default_rng(0).uniform(0, 255, (batch, *shape_of(model, size))).astype(np.float32)
    labels = np.arange(batch) % CLASSES
    return lambda: network.train_on_batch(images, labels)


def torch_step(precision: str, model: str, batch: int, size: int) -> Callable[[], object]:
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network, layout, shape = torch_network(model, batch, size)
    network = network.train().to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    images = torch.rand(*shape).to(memory_format=layout)
    labels = torch.arange(batch) % CLASSES

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        side(*sys.argv[2:5], *map(int, sys.argv[5:8]))
        sys.exit()
    sys.exit(main())
