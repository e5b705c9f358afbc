"""Two logical devices against one: the same weights, and no crash where rows, replicas and batches do not divide.

Threads, devices and the strategy belong to a process, so each case runs in one of its own.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CASE = """
import sys
import keras
import numpy as np
from keras_med.data import pipeline
from keras_med.training import runtime
from keras_med.training.runtime import Runtime

folder, devices, count, batch, bias, optimizer = sys.argv[1:]
count, batch = int(count), int(batch)
machine = Runtime(devices=devices, threads=1)
runtime.start(machine, 7)
draw = np.random.default_rng(0)
labels = np.arange(count) % 2
labels[: count // 3] = 0  # one class is rare, and the replicas' halves of a batch differ
images = draw.normal(0, 1, (count, 8, 8, 1)).astype(np.float32) + 2 * labels[:, None, None, None]
images = images.astype(np.float32)
rows = pipeline.Rows(lambda at: images[at], (8, 8, 1), labels[:, None].astype(np.float32))
with runtime.scope(machine) as replicas:
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, use_bias=bias == "bias")(image)
    x = keras.layers.BatchNormalization(synchronized=True)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("relu")(x))
    model = keras.Model(image, keras.layers.Dense(1)(x))
    kind = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[optimizer]
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(kind(0.05), loss=loss, jit_compile=False)
seen = model.distribute_strategy.num_replicas_in_sync
history = model.fit(
    pipeline.training(rows, batch, range(3), 1),
    validation_data=pipeline.in_order(rows, batch) if count % batch % 2 == 0 else None,
    epochs=3,
    steps_per_epoch=count // batch,
    shuffle=False,
    verbose=0,
)
output = model.predict(pipeline.in_order(rows, batch), verbose=0)
whole = {f"w{number:02d}": np.asarray(keras.ops.convert_to_numpy(one)) for number, one in enumerate(model.weights)}
steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
np.savez(folder, output=output, loss=history.history["loss"], steps=steps, replicas=[replicas, seen], **whole)
"""


def trained(
    folder: Path, devices: str, *, count: int = 32, batch: int = 8, bias: str = "none", optimizer: str = "sgd"
) -> dict[str, np.ndarray]:
    """Train three epochs in a new process and return its weights, predictions and losses."""
    file = folder / f"{devices.replace(':', '')}.npz"
    arguments = [str(file), devices, str(count), str(batch), bias, optimizer]
    typed = [sys.executable, "-c", CASE, *arguments]
    ended = subprocess.run(typed, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    with np.load(file) as saved:
        return {name: saved[name] for name in saved.files}


def weights_of(found: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([found[name].ravel() for name in sorted(found) if name.startswith("w")])


@pytest.mark.parametrize(("bias", "optimizer"), [("bias", "sgd"), ("none", "adam")])
def test_two_replicas_give_the_weights_of_one_device(tmp_path: Path, bias: str, optimizer: str) -> None:
    # 35 rows: both skip the same three in each epoch. With Adam, a bias before BatchNormalization would amplify
    # rounding: its gradient is zero but for that.
    one = trained(tmp_path, "cpu:1", count=35, bias=bias, optimizer=optimizer)
    two = trained(tmp_path, "cpu:2", count=35, bias=bias, optimizer=optimizer)
    assert one["replicas"].tolist() == [1, 1]
    assert two["replicas"].tolist() == [2, 2]
    assert one["steps"] == two["steps"] == 12
    np.testing.assert_allclose(weights_of(two), weights_of(one), rtol=0, atol=1e-5)
    np.testing.assert_allclose(two["output"], one["output"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-5)
    assert len(np.unique(one["loss"])) == 3  # something was trained


@pytest.mark.parametrize(("count", "batch"), [(33, 8), (3, 2)])
def test_rows_that_do_not_divide_neither_crash_nor_spoil_the_weights(tmp_path: Path, count: int, batch: int) -> None:
    found = trained(tmp_path, "cpu:2", count=count, batch=batch, bias="bias")
    assert found["output"].shape == (count, 1)
    assert np.isfinite(found["output"]).all()
    assert np.isfinite(weights_of(found)).all()
    assert np.isfinite(found["loss"]).all()
    assert found["steps"] == 3 * (count // batch)
