"""Training steps a second of the recipes' networks on this card: JAX against PyTorch, and the share of the card's peak.

    python benchmarks/accelerator.py [--torch PYTHON] [--batch 64] [--size 224] [--models resnet18 resnet50 vit conv3d]
    python benchmarks/accelerator.py --batch 2 --size 64                without a card: that it runs

Each side is a process of its own that trains on one batch on the device: forward, backward, Adam, in bfloat16 mixed
precision; JAX compiled by XLA, PyTorch under autocast, channels last and torch.compile where that works. The share of
the peak counts the matrix work of a step, three times that of a forward pass as XLA counts it, against the card's dense
bfloat16 peak (NVIDIA's data sheets); for a processor no peak is stated.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODELS = ("resnet18", "resnet50", "vit", "conv3d")
PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "L4": 121e12, "L40": 181e12, "A10": 125e12, "4090": 165e12}
_SECONDS = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    given = parser.parse_args()
    for model in given.models:
        found = {name: run(name, model, given) for name in ("jax", "torch")}
        for name, one in found.items():
            print(f"{model:10}{name:8}{told(one)}", flush=True)
        if all("steps" in one for one in found.values()):
            print(f"{model:10}jax / torch  {found['jax']['steps'] / found['torch']['steps']:.2f}", flush=True)
    return 0


def run(framework: str, model: str, given: argparse.Namespace) -> dict[str, Any]:
    """Measure one side in a fresh process, so that one framework's memory is no other's."""
    python = given.torch if framework == "torch" else sys.executable
    typed = [python, __file__, "--side", framework, model, str(given.batch), str(given.size)]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(typed, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"problem": (done.stderr.strip().splitlines() or ["failed"])[-1][:100]}
    return json.loads(done.stdout.splitlines()[-1])


def told(one: dict[str, Any]) -> str:
    if "problem" in one:
        return one["problem"]
    peak = next((value for name, value in PEAKS.items() if name in one["device"]), None)
    rate = one.get("operations", 0) * one["steps"]
    share = f", {100 * rate / peak:.0f} % of the peak" if peak and rate else ""
    work = f", {rate / 1e12:.3g} TFLOP/s" if rate else ""
    return f"{one['steps']:9.2f} steps/s{work}{share}  on {one['device']}"


def side(framework: str, model: str, batch: int, size: int) -> None:
    step, found = (torch_side if framework == "torch" else jax_side)(model, batch, size)
    for _ in range(3):
        step()
    seconds, begun = list[float](), time.perf_counter()
    while len(seconds) < 5 or time.perf_counter() - begun < _SECONDS:
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    print(json.dumps({"steps": 1 / statistics.median(seconds), **found}))


def jax_side(model: str, batch: int, size: int) -> tuple[Callable[[], object], dict[str, Any]]:
    sys.path.insert(0, str(HERE.parent))
    import jax
    import keras
    import numpy as np

    from keras_med.models import conv3d, resnet18, resnet50, vit

    keras.config.set_dtype_policy("mixed_bfloat16")
    volume = model == "conv3d"
    shape = (size // 2, size // 2, size // 4, 1) if volume else (size, size, 3)
    image = keras.Input(shape)
    if volume:
        features = conv3d(image)
    else:
        features = {"resnet18": resnet18, "resnet50": resnet50, "vit": vit}[model](
            image, frozen=False, pretrained=False
        )
    network = keras.Model(image, keras.layers.Dense(3, dtype="float32")(features))
    network.compile(keras.optimizers.Adam(1e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    images = jax.device_put(np.random.default_rng(0).uniform(0, 255, (batch, *shape)).astype(np.float32))
    labels = jax.device_put(np.arange(batch) % 3)
    forward = jax.jit(lambda given: network.stateless_call(state[0], state[1], given)[0])
    state = [[one.value for one in part] for part in (network.trainable_variables, network.non_trainable_variables)]
    cost = forward.lower(images).compile().cost_analysis() or {}
    cost = cost[0] if isinstance(cost, list) else cost
    device = jax.devices()[0]
    name = getattr(device, "device_kind", str(device))
    # the loss that train_on_batch returns is a number of this process: it waits until the step is done
    return lambda: network.train_on_batch(images, labels), {"device": name, "operations": 3 * cost.get("flops", 0)}


def torch_side(model: str, batch: int, size: int) -> tuple[Callable[[], object], dict[str, Any]]:
    import torch
    import torchvision

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if model == "conv3d":
        nn = torch.nn
        shape = (batch, 1, size // 2, size // 2, size // 4)
        layers = [nn.Conv3d(1, 16, 3), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(16, 32, 3), nn.ReLU(), nn.MaxPool3d(2)]
        network, layout = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, 3)), None
        network(torch.zeros(shape))
        layout = torch.channels_last_3d
    else:
        shape, layout = (batch, 3, size, size), torch.channels_last
        name = {"vit": "vit_b_16"}.get(model, model)
        made = {"image_size": size} if model == "vit" else {}
        network = torchvision.models.get_model(name, weights=None, num_classes=3, **made)
    network = network.to(device, memory_format=layout).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    images = torch.rand(*shape, device=device).to(memory_format=layout)
    labels = torch.arange(batch, device=device) % 3
    called = torch.compile(network) if device == "cuda" else network

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(called(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss)  # waits until the step is done

    return step, {"device": torch.cuda.get_device_name() if device == "cuda" else "cpu"}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        side(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
        sys.exit()
    sys.exit(main())
