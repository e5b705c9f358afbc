"""Two logical devices against one: the same weights, and no crash where rows, replicas and batches do not divide.

Devices and the strategy belong to a process, so all is trained in one of its own, and the tests look at what it left.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CASES = {
    # name: rows, validation rows, batch, a bias before BatchNormalization, optimizer
    "sgd": (33, 33, 8, True, "sgd"),
    # With Adam such a bias would amplify rounding: its gradient is zero but for that.
    "adam": (33, 33, 8, False, "adam"),
    "three rows": (3, 3, 2, True, "sgd"),
    "validation smaller than a batch": (16, 3, 8, True, "sgd"),
}
SHARED_BY_JAX = ("sgd", "adam", "validation smaller than a batch")
SCRIPT = """
import json
import os
import sys
from keras_med.training import runtime
from keras_med.training.runtime import Runtime

folder, cases, backend = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
machine = Runtime(backend, "cpu:2", threads=1)
os.environ.update(runtime.environment(machine))

import keras
import numpy as np
from keras_med.data import pipeline
from keras_med.training import adam, batch_norm
from keras_med.training.keeper import Watched


def rows_of(count, seed):
    labels = np.arange(count) % 2
    labels[: count // 3] = 0  # one class is the rarer one
    images = np.random.default_rng(seed).normal(0, 1, (count, 8, 8, 1)) + 2 * labels[:, None, None, None]
    images = images.astype(np.float32)
    return pipeline.Rows(lambda at: images[at], (8, 8, 1), labels[:, None].astype(np.float32))


def compiled(bias, optimizer):
    keras.utils.set_random_seed(7)
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, use_bias=bias)(image)
    x = keras.layers.BatchNormalization(synchronized=backend == "tensorflow")(x)  # JAX knows no other way
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("relu")(x))
    model = batch_norm.with_kernels(keras.Model(image, keras.layers.Dense(1)(x)))  # on one device of TensorFlow
    kind = {"sgd": keras.optimizers.SGD, "adam": adam.Adam}[optimizer]
    model.compile(kind(0.05), loss=keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=machine.compiled)
    return model


def train(model, count, validation, batch, devices):
    rows, watched = rows_of(count, 1), rows_of(validation, 2)
    history = model.fit(
        pipeline.training(rows, batch, range(3), 1),
        epochs=3, steps_per_epoch=count // batch, shuffle=False, verbose=0,
    )
    found = {f"w{number:02d}": keras.ops.convert_to_numpy(one) for number, one in enumerate(model.weights)}
    found |= {"loss": history.history["loss"], **Watched(watched, batch, shared_by=devices).look(model)}
    found["steps"] = keras.ops.convert_to_numpy(model.optimizer.iterations)
    kernel = model.layers[1].kernel.value
    found["replicas"] = (
        model.distribute_strategy.num_replicas_in_sync if backend == "tensorflow" else len(kernel.devices())
    )
    found["output"] = model.predict(pipeline.in_order(watched, batch, shared_by=devices), verbose=0)[:validation]
    found["labels"] = watched.labels
    return found


devices = 2 if machine.shares else 1  # of JAX, which shares whole batches only
runtime.start(machine, 7)
with runtime.scope(machine):
    models = {name: compiled(*case[3:]) for name, case in cases.items()}
for name, case in cases.items():
    with runtime.shared(machine):
        np.savez(f"{folder}/two {name}.npz", **train(models[name], *case[:3], devices))
    if name in ("sgd", "adam"):
        np.savez(f"{folder}/one {name}.npz", **train(compiled(*case[3:]), *case[:3], 1))
"""
Found = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """Return what each training left: weights, losses and predictions of the watched rows."""
    return trainings(tmp_path_factory.mktemp("replicas"), CASES, "tensorflow")


def trainings(folder: Path, cases: dict[str, tuple[int, int, int, bool, str]], backend: str) -> dict[str, Found]:
    typed = [sys.executable, "-c", SCRIPT, str(folder), json.dumps(cases), backend]
    ended = subprocess.run(typed, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return {file.stem: read(file) for file in folder.iterdir()}


def read(file: Path) -> Found:
    with np.load(file) as saved:
        return {name: saved[name] for name in saved.files}


def weights_of(found: Found) -> np.ndarray:
    return np.concatenate([found[name].ravel() for name in sorted(found) if name.startswith("w")])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_two_replicas_give_the_weights_of_one_device(trained: dict[str, Found], optimizer: str) -> None:
    compare(trained[f"one {optimizer}"], trained[f"two {optimizer}"])


def test_jax_shares_whole_batches_between_devices_with_the_same_result(tmp_path: Path) -> None:
    found = trainings(tmp_path, {name: CASES[name] for name in SHARED_BY_JAX}, "jax")
    for optimizer in ("sgd", "adam"):
        compare(found[f"one {optimizer}"], found[f"two {optimizer}"])
    check_finite(found["two validation smaller than a batch"], CASES["validation smaller than a batch"])
    check_validation_loss(found["two validation smaller than a batch"])


def compare(one: Found, two: Found) -> None:
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert one["steps"] == two["steps"] == 3 * 4  # 33 rows: both skip the same one in each epoch
    np.testing.assert_allclose(weights_of(two), weights_of(one), rtol=0, atol=1e-5)
    np.testing.assert_allclose(two["output"], one["output"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-5)
    np.testing.assert_allclose(two["validation_loss"], one["validation_loss"], rtol=1e-4)
    assert len(np.unique(one["loss"])) == 3  # something was trained


@pytest.mark.parametrize("case", CASES)
def test_rows_that_do_not_divide_neither_crash_nor_spoil_anything(trained: dict[str, Found], case: str) -> None:
    check_finite(trained[f"two {case}"], CASES[case])


def check_finite(found: Found, case: tuple[int, int, int, bool, str]) -> None:
    count, watched, batch = case[:3]
    assert found["output"].shape == (watched, 1)
    for values in found.values():
        assert np.isfinite(values).all()
    assert found["steps"] == 3 * (count // batch)


@pytest.mark.parametrize("case", CASES)
def test_the_validation_loss_of_two_replicas_is_the_mean_over_all_rows(trained: dict[str, Found], case: str) -> None:
    check_validation_loss(trained[f"two {case}"])


def check_validation_loss(found: Found) -> None:
    logits, labels = found["output"].astype(float), found["labels"]
    expected = np.mean(np.logaddexp(0, logits) - labels * logits)
    assert float(found["validation_loss"]) == pytest.approx(expected, rel=1e-4)
