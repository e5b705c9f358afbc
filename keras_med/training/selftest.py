"""This machine's devices to proof that they compute: one product each, and mirrored training against one device.

Run as a process of its own (`python -m keras_med.training.selftest`): devices belong to a process, and a driver that
crashes takes its process along. The last line of its output is JSON.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_med.errors import EnvironmentProblem, UserError
from keras_med.models import weights
from keras_med.models.builders import efficientnet_b2, mobilenet_v2, resnet18, resnet50, vit
from keras_med.training import runtime
from keras_med.training.runtime import Runtime

BOUND = 1e-5
_SIZE = 512
_ROWS, _BATCH = 32, 8


def main() -> None:
    """Print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    found: dict[str, Any] = {"weights": find_weights(given.weights)}
    gpus = _gpus()
    mirrored = Runtime(devices="gpu:2" if len(gpus) > 1 else "cpu:2")
    if keras.backend.backend() == "tensorflow":
        runtime.start(mirrored, seed=0)
    found["devices"] = [product(device) for device in (gpus or ["cpu:0"])]
    if keras.backend.backend() == "tensorflow" and not given.quick:
        found["mirrored"] = {"devices": mirrored.devices, **_told(lambda: mirrored_difference(mirrored))}
    print(json.dumps(found))


def product(device: str) -> dict[str, Any]:
    """Multiply two matrices on a device and compare with NumPy."""

    def multiplied() -> float:
        left, right = np.random.default_rng(0).normal(size=(2, _SIZE, _SIZE)).astype(np.float32)
        with keras.device(device):
            found = keras.ops.convert_to_numpy(keras.ops.matmul(left, right))
        return float(np.abs(found - left @ right).max() / np.sqrt(_SIZE))

    return {"device": device, **_told(multiplied)}


def mirrored_difference(machine: Runtime) -> float:
    """Train the same network on one device and on two, and return the largest difference of a weight.

    With SGD and whole batches, and BatchNorm over both: two replicas then equal one device but for rounding.
    """
    alone = _trained(_network())
    with runtime.scope(machine):
        shared = _network()
    return max(float(np.abs(one - two).max()) for one, two in zip(alone, _trained(shared), strict=True))


def find_weights(folder: Path | None) -> list[dict[str, str]]:
    """Look for the published weights of every backbone, on this machine alone."""
    image = keras.Input((224, 224, 3))
    published = {
        "resnet18": resnet18.PUBLISHED,
        "resnet50": resnet50.PUBLISHED,
        "mobilenet_v2": mobilenet_v2.published(1.0, image),
        "efficientnet_b2": efficientnet_b2.PUBLISHED,
        "vit": vit.published("base"),
    }
    found = []
    for name, wanted in published.items():
        policy = weights.Policy(directory=folder, allow_download=False)
        try:
            found.append({"backbone": name, "file": str(weights.find(name, wanted, policy)), "remedy": ""})
        except EnvironmentProblem as error:
            found.append({"backbone": name, "file": "", "remedy": error.remedy})
    return found


def _told(measured: Any) -> dict[str, Any]:
    """Return the measured difference and its seconds, or what went wrong: a broken device is a finding, no crash."""
    started = time.perf_counter()
    try:
        found: dict[str, Any] = {"difference": measured(), "problem": ""}
    except (UserError, RuntimeError, ValueError) as error:
        found = {"difference": None, "problem": (str(error).strip().splitlines() or [type(error).__name__])[0][:200]}
    return {**found, "seconds": round(time.perf_counter() - started, 2)}


def _gpus() -> list[str]:
    """Name the GPUs that the backend sees, without starting it."""
    return [f"gpu:{number}" for number in range(runtime.visible_gpus(keras.backend.backend()))]


def _network() -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 1))
    x = keras.layers.BatchNormalization(synchronized=True)(keras.layers.Conv2D(4, 3)(image))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("relu")(x))
    model = keras.Model(image, keras.layers.Dense(1)(x))
    model.compile(keras.optimizers.SGD(0.05), loss="mse", jit_compile=False)
    return model


def _trained(model: keras.Model) -> list[np.ndarray]:
    draw = np.random.default_rng(1)
    images, labels = draw.normal(size=(_ROWS, 8, 8, 1)).astype(np.float32), draw.normal(size=(_ROWS, 1))
    model.fit(images, labels.astype(np.float32), batch_size=_BATCH, epochs=2, shuffle=False, verbose=0)
    return model.get_weights()


if __name__ == "__main__":
    main()
