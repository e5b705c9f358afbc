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
SCRIPT = """
import json
import sys
import keras
import numpy as np
from keras_med.data import pipeline
from keras_med.training import runtime
from keras_med.training.keeper import Watched
from keras_med.training.runtime import Runtime


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
    x = keras.layers.BatchNormalization(synchronized=True)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("relu")(x))
    model = keras.Model(image, keras.layers.Dense(1)(x))
    kind = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam}[optimizer]
    model.compile(kind(0.05), loss=keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=False)
    return model


def train(model, count, validation, batch):
    rows, watched = rows_of(count, 1), rows_of(validation, 2)
    history = model.fit(
        pipeline.training(rows, batch, range(3), 1),
        epochs=3, steps_per_epoch=count // batch, shuffle=False, verbose=0,
    )
    found = {f"w{number:02d}": keras.ops.convert_to_numpy(one) for number, one in enumerate(model.weights)}
    found |= {"loss": history.history["loss"], **Watched(watched, batch).look(model)}
    found["steps"] = keras.ops.convert_to_numpy(model.optimizer.iterations)
    found["replicas"] = model.distribute_strategy.num_replicas_in_sync
    found["output"] = model.predict(pipeline.in_order(watched, batch), verbose=0)
    found["labels"] = watched.labels
    return found


folder, cases = sys.argv[1], json.loads(sys.argv[2])
machine = Runtime(devices="cpu:2", threads=1)
runtime.start(machine, 7)
with runtime.scope(machine):
    models = {name: compiled(*case[3:]) for name, case in cases.items()}
for name, case in cases.items():
    np.savez(f"{folder}/two {name}.npz", **train(models[name], *case[:3]))
    if name in ("sgd", "adam"):
        np.savez(f"{folder}/one {name}.npz", **train(compiled(*case[3:]), *case[:3]))
"""
Found = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """Return what each training left: weights, losses and predictions of the watched rows."""
    folder = tmp_path_factory.mktemp("replicas")
    typed = [sys.executable, "-c", SCRIPT, str(folder), json.dumps(CASES)]
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
    one, two = trained[f"one {optimizer}"], trained[f"two {optimizer}"]
    assert (one["replicas"], two["replicas"]) == (1, 2)
    assert one["steps"] == two["steps"] == 3 * 4  # 33 rows: both skip the same one in each epoch
    np.testing.assert_allclose(weights_of(two), weights_of(one), rtol=0, atol=1e-5)
    np.testing.assert_allclose(two["output"], one["output"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-5)
    np.testing.assert_allclose(two["validation_loss"], one["validation_loss"], rtol=1e-4)
    assert len(np.unique(one["loss"])) == 3  # something was trained


@pytest.mark.parametrize("case", CASES)
def test_rows_that_do_not_divide_neither_crash_nor_spoil_anything(trained: dict[str, Found], case: str) -> None:
    count, watched, batch = CASES[case][:3]
    found = trained[f"two {case}"]
    assert found["output"].shape == (watched, 1)
    for values in found.values():
        assert np.isfinite(values).all()
    assert found["steps"] == 3 * (count // batch)


@pytest.mark.parametrize("case", CASES)
def test_the_validation_loss_of_two_replicas_is_the_mean_over_all_rows(trained: dict[str, Found], case: str) -> None:
    found = trained[f"two {case}"]
    logits, labels = found["output"].astype(float), found["labels"]
    expected = np.mean(np.logaddexp(0, logits) - labels * logits)
    assert float(found["validation_loss"]) == pytest.approx(expected, rel=1e-4)
