"""Training steps a second of the recipes' networks on this card: JAX against PyTorch, and the share of the card's peak.

    python benchmarks/accelerator.py [--torch PYTHON] [--batch 64] [--size 224] [--models resnet18 resnet50 vit conv3d]
    python benchmarks/accelerator.py --batch 2 --size 32 --turns 1 --seconds 0.1      without a card: that it runs

Needs JAX, Keras and NumPy, and PyTorch with torchvision; no TensorFlow. Every side is a process of its own, that holds
one batch on the device: forward, backward, Adam, in bfloat16 mixed precision. JAX trains keras_med's networks in one
compiled step; PyTorch its own, channels last, under autocast, with a fused Adam on a card, as it is and through
torch.compile. All sides compile at once (with fewer than 8 cores: those of one network); then they take turns, one at a
time, the others waiting, and the median turn counts. The share of the peak is the arithmetic of a step, forward and
backward, as XLA counts it before it optimizes, of the same network on either side, over the card's dense bfloat16 peak
in NVIDIA's data sheets.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODELS = ("resnet18", "resnet50", "vit", "conv3d")
SIDES = ("jax", "torch", "torch compiled")
COUNT = "count"
PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "L40S": 362e12, "L40": 181e12, "L4": 121e12, "A10": 125e12}
CLASSES = 3

Found = dict[str, Any]
Step = Callable[[], object]
Wait = Callable[[object], object]


class Side:
    """A process that trains one network with one framework, and answers a line with a line."""

    def __init__(self, kind: str, model: str, given: argparse.Namespace) -> None:
        python = given.torch if kind.startswith("torch") else sys.executable
        # JAX takes three quarters of the card's memory at once where it is not told otherwise
        environment = os.environ | {"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        if kind == COUNT:
            environment["JAX_PLATFORMS"] = "cpu"
        self._told = tempfile.TemporaryFile("w+")  # noqa: SIM115 (open as long as the process)
        self._process = subprocess.Popen(
            [python, __file__, "--side", kind, model, str(given.batch), str(given.size)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._told,
            text=True,
        )

    def heard(self) -> Found:
        """Return the next answer, or the last words of a process that ended without one."""
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._told.seek(0)
        words = [line for line in self._told.read().splitlines() if line.strip()]
        return {"problem": (words or ["failed without a word"])[-1][:110]}

    def asked(self, seconds: float) -> Found:
        """Let it train for some seconds, alone."""
        print(seconds, file=self._process.stdin, flush=True)
        return self.heard()

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._told.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of one turn")
    parser.add_argument("--ready", type=float, default=150, help="seconds to compile; who is later is left out")
    given = parser.parse_args()
    together = len(given.models) if (os.cpu_count() or 1) >= 8 else 1
    for start in range(0, len(given.models), together):
        compare(given.models[start : start + together], given)
    return 0


def compare(models: Sequence[str], given: argparse.Namespace) -> None:
    """Start all sides of some networks, and end them whatever happens."""
    sides = {(model, kind): Side(kind, model, given) for model in models for kind in (COUNT, *SIDES)}
    try:
        take_turns(sides, models, given)
    finally:
        for side in sides.values():
            side.end()


def take_turns(sides: dict[tuple[str, str], Side], models: Sequence[str], given: argparse.Namespace) -> None:
    """Wait until all have compiled, let one after the other train, and print what they did."""
    ready = all_ready(sides, given.ready)
    for model in models:
        running = [kind for kind in SIDES if "problem" not in ready[model, kind]]
        rates: dict[str, list[float]] = {kind: [] for kind in running}
        for _ in range(given.turns):
            for kind in running:
                rates[kind].append(sides[model, kind].asked(given.seconds).get("steps", float("nan")))
        for kind in SIDES:
            found = ready[model, kind] | ({"rates": rates[kind]} if kind in rates else {})
            print(f"{model:10}{kind:16}{told(found, ready[model, COUNT].get('operations', 0))}", flush=True)
        medians = {kind: statistics.median(values) for kind, values in rates.items()}
        theirs = [rate for kind, rate in medians.items() if kind != "jax"]
        if "jax" in medians and theirs:
            print(f"{model:10}jax / PyTorch's best  {medians['jax'] / max(theirs):.2f}", flush=True)
        for kind in SIDES:
            sides[model, kind].end()  # gives its memory back


def all_ready(sides: dict[tuple[str, str], Side], seconds: float) -> dict[tuple[str, str], Found]:
    """Return what each says when it has compiled, or why it does not."""
    ends, found = time.monotonic() + seconds, {}
    with ThreadPoolExecutor(len(sides)) as threads:
        hearing = {name: threads.submit(side.heard) for name, side in sides.items()}
        for name, one in hearing.items():
            try:
                found[name] = one.result(timeout=max(0.0, ends - time.monotonic()))
            except Late:
                found[name] = {"problem": f"not ready after {seconds:.0f} s"}
                sides[name].end()
    return found


def told(found: Found, operations: float) -> str:
    if "problem" in found:
        return found["problem"]
    rates = found["rates"]
    steps = statistics.median(rates)
    peak = next((value for name, value in PEAKS.items() if name in found["device"]), None)
    share = f", {100 * operations * steps / peak:.1f} % of the peak" if peak and operations else ""
    work = f", {operations * steps / 1e12:.4g} TFLOP/s" if operations else ""
    spread = f"({min(rates):.2f} to {max(rates):.2f})"
    compiled = f"ready after {found['ready']:.0f} s"
    return f"{steps:9.2f} steps/s {spread}{work}{share}; {compiled}; {found['device']}{found.get('note', '')}"


def answer(kind: str, model: str, batch: int, size: int) -> None:
    """Be one side: compile, say so, then train for as long as each line asks for."""
    began = time.monotonic()
    if kind == COUNT:
        print(json.dumps({"operations": counted(model, size) * batch}), flush=True)
        return
    step, wait, found = jax_side(model, batch, size) if kind == "jax" else torch_side(kind, model, batch, size)
    for _ in range(3):
        wait(step())
    loss = float(wait(step()))
    if loss != loss:
        raise SystemExit("the loss is no number")
    print(json.dumps({"ready": time.monotonic() - began, **found}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"steps": rate(step, wait, float(line))}), flush=True)


def rate(step: Step, wait: Wait, seconds: float) -> float:
    """Return steps a second: many are asked for at once, as a fit does, and the last one is waited for."""
    started = time.perf_counter()
    wait(step())
    count = max(3, round(seconds / (time.perf_counter() - started)))
    started = time.perf_counter()
    for _ in range(count - 1):
        step()
    wait(step())
    return count / (time.perf_counter() - started)


def shape_of(model: str, size: int) -> tuple[int, ...]:
    """Return the shape of an image, or of a volume of 128 x 128 x 64 where images are of 224 x 224."""
    side = max(16, size * 4 // 7)
    return (side, side, max(16, side // 2), 1) if model == "conv3d" else (size, size, 3)


def jax_side(model: str, batch: int, size: int) -> tuple[Step, Wait, Found]:
    import jax

    device = jax.devices()[0]
    found = {"device": getattr(device, "device_kind", str(device))}
    try:
        step = jax_step(model, batch, size)
        jax.block_until_ready(step())
    except Exception as problem:  # Keras asks for cuDNN's attention, which has no gradient for an odd number of tokens
        if model != "vit":
            raise
        import keras

        keras.config.disable_flash_attention()
        found["note"] = f"; without flash attention ({type(problem).__name__})"
        step = jax_step(model, batch, size)
    return step, jax.block_until_ready, found


def jax_step(model: str, batch: int, size: int) -> Step:
    """Return one compiled step that keeps its weights on the device."""
    import jax
    import numpy as np

    gradients, optimizer, state = keras_parts(model, size)
    images = np.random.default_rng(0).uniform(0, 255, (batch, *shape_of(model, size))).astype(np.float32)
    on_device = jax.device_put(images), jax.device_put(np.arange(batch) % CLASSES)

    def trained(state: Any, images: Any, labels: Any) -> Any:
        weights, others, optimizing = state
        (loss, others), slopes = gradients(weights, others, images, labels)
        weights, optimizing = optimizer.stateless_apply(optimizing, slopes, weights)
        return (weights, others, optimizing), loss

    compiled, kept = jax.jit(trained, donate_argnums=0), [state]

    def step() -> object:
        kept[0], loss = compiled(kept[0], *on_device)
        return loss

    return step


def keras_parts(model: str, size: int) -> tuple[Callable[..., Any], Any, Any]:
    """Return the loss with its gradients, the optimizer, and the values of all weights."""
    sys.path.insert(0, str(HERE.parent))
    import jax
    import keras

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = keras_network(model, size)
    optimizer, loss_of = keras.optimizers.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer.build(network.trainable_variables)

    def lost(weights: Any, others: Any, images: Any, labels: Any) -> Any:
        outputs, others = network.stateless_call(weights, others, images, training=True)
        return loss_of(labels, outputs), others

    parts = network.trainable_variables, network.non_trainable_variables, optimizer.variables
    state = tuple([one.value for one in part] for part in parts)
    return jax.value_and_grad(lost, has_aux=True), optimizer, state


def keras_network(model: str, size: int) -> Any:
    """Return keras_med's network with an output for each class, all of it trained."""
    import keras

    from keras_med.models import conv3d, resnet18, resnet50, vit

    image = keras.Input(shape_of(model, size))
    build = {"resnet18": resnet18, "resnet50": resnet50, "vit": vit}.get(model)
    features = build(image, frozen=False, pretrained=False) if build else conv3d(image)
    return keras.Model(image, keras.layers.Dense(CLASSES, dtype="float32")(features))


def counted(model: str, size: int) -> float:
    """Return the operations of one image's forward and backward pass."""
    import jax
    import numpy as np

    gradients, _, state = keras_parts(model, size)
    given = state[0], state[1], np.zeros((1, *shape_of(model, size)), np.float32), np.zeros(1, np.int32)
    return float((jax.jit(gradients).lower(*given).cost_analysis() or {}).get("flops", 0))


def torch_side(kind: str, model: str, batch: int, size: int) -> tuple[Step, Wait, Found]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    network, layout, shape = torch_network(model, batch, size)
    network = network.to(device, memory_format=layout).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=device == "cuda")
    images = torch.rand(*shape, device=device).to(memory_format=layout)
    labels = torch.arange(batch, device=device) % CLASSES
    called = torch.compile(network) if kind == "torch compiled" else network

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(called(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return step, lambda loss: float(loss.detach()), {"device": name}


def torch_network(model: str, batch: int, size: int) -> tuple[Any, Any, tuple[int, ...]]:
    """Return PyTorch's own network, the layout that is best for it, and the shape of a batch."""
    import torch
    import torchvision

    *sides, channels = shape_of(model, size)
    shape = (batch, channels, *sides)
    if model == "conv3d":
        nn = torch.nn
        layers = [nn.Conv3d(1, 16, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(16, 32, 3), nn.ReLU(), nn.MaxPool3d(2)]
        network = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, CLASSES))
        network(torch.zeros(1, *shape[1:]))
        return network, torch.channels_last_3d, shape
    made = {"image_size": size} if model == "vit" else {}
    name = {"vit": "vit_b_16"}.get(model, model)
    network = torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **made)
    for block in network.modules():
        if isinstance(block, torchvision.models.resnet.Bottleneck):  # strides where Keras has them: 6 % less work
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    return network, torch.channels_last, shape


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        answer(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
        sys.exit()
    sys.exit(main())
