"""Two stages of training through the command, in half precision: the head, then layers of the frozen part with it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from keras_med.runfolder import RunFolder

Command = Callable[..., "subprocess.CompletedProcess[str]"]
RATE = 1e-4
RECIPE = f'''"""The width of stripes, from convolutions that are frozen at first."""

from keras_med import Data, Holdout, Image, Model, Recipe, Regression, Report, Train, tables


def index(root):
    return tables.labelled(tables.files(root, "*.png"), root / "labels.csv", key="name", label="width")


def network(image):
    import keras

    x = keras.layers.Rescaling(1 / 255)(image)
    for number in (1, 2):
        x = keras.layers.Conv2D(4, 3, strides=2, trainable=False, name=f"conv{{number}}")(x)
        x = keras.layers.BatchNormalization(trainable=False, name=f"norm{{number}}")(x)
    x = keras.layers.Dense(8, activation="relu", name="own")(keras.layers.Flatten()(x))
    return keras.layers.Dropout(0.2)(keras.layers.BatchNormalization(name="own_norm")(x))


recipe = Recipe(
    target=Regression(unit="pixels"),
    data=Data(index),
    image=Image(size=(24, 24)),
    split=Holdout(validation=0.2, test=0.2),
    model=Model(network),
    train=Train(
        epochs=3, batch_size=16, learning_rate=1e-2, threads=1,
        precision="bfloat16", fine_tune_from="conv2", fine_tune_epochs=3, fine_tune_rate={RATE},
    ),
    report=Report(heat=False),
    seed=5,
)
'''  # fmt: skip


def start(folder: Path, stripes: Path, cache: Path, *arguments: str) -> "subprocess.Popen[str]":
    (folder / "tuned.py").write_text(RECIPE)
    given = arguments or ("--data", str(stripes / "data"))
    typed = [sys.executable, "-m", "keras_med.run", "tuned.py", "--deterministic", *given]
    environment = {**os.environ, "KERAS_MED_CACHE": str(cache)}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(typed, cwd=folder, env=environment, start_new_session=True, **output)  # type: ignore[call-overload, no-any-return]


def kill_when(pattern: str, folder: Path, process: "subprocess.Popen[str]") -> RunFolder:
    """Wait for a file of the run, kill all its processes, and return its folder."""
    deadline = time.monotonic() + 300
    while not list(folder.glob(f"runs/tuned/*-????/{pattern}")):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return run_in(folder)


def run_in(folder: Path) -> RunFolder:
    return RunFolder((folder / "runs" / "tuned" / "latest").resolve())


def metrics_of(run: RunFolder) -> str:
    metrics = json.loads(run.metrics.read_text())
    return json.dumps({name: value for name, value in metrics.items() if name != "times"}, sort_keys=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, stripes: Path, cache: Path) -> tuple[RunFolder, str]:
    """Return a whole run with both stages, and what it said."""
    folder = tmp_path_factory.mktemp("tuned")
    process = start(folder, stripes, cache)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return run_in(folder), err


def arrays(model: keras.Model, layer: str) -> list[np.ndarray]:
    return list(model.get_layer(layer).get_weights())


def test_the_second_stage_trains_what_it_set_free_and_holds_batch_normalisation(whole: tuple[RunFolder, str]) -> None:
    run, _ = whole
    head = keras.models.load_model(run.fit("t000-fold0").best, compile=False)
    tuned = keras.models.load_model(run.fit("t000-fold0-tuned").best, compile=False)
    with np.load(next(Path(json.loads((run.features / "done.json").read_text())["folder"]).glob("*.npz"))) as saved:
        first, bias1, *norm1 = (saved[f"w{number:05d}"] for number in range(6))
        second, _, *norm2 = (saved[f"w{number:05d}"] for number in range(6, 12))
    np.testing.assert_array_equal(arrays(tuned, "conv1")[0], first)
    np.testing.assert_array_equal(arrays(tuned, "conv1")[1], bias1)
    for name, before in (("norm1", norm1), ("norm2", norm2), ("own_norm", arrays(head, "own_norm"))):
        for now, then in zip(arrays(tuned, name), before, strict=True):
            np.testing.assert_array_equal(now, then, err_msg=name)
    assert np.abs(arrays(head, "own_norm")[2]).max() > 0.01, "the first stage had moved the statistics"
    steps = 3 * (json.loads(run.fit("t000-fold0-tuned").done.read_text())["train"] // 16)
    for now, then in ((arrays(tuned, "conv2")[0], second), (arrays(tuned, "own")[0], arrays(head, "own")[0])):
        # A step of Adam is hardly longer than its rate, and never three times; other initial weights are further off.
        assert 0 < np.abs(now - then).max() < 3 * RATE * steps


def test_what_is_scored_exported_and_shown_is_the_second_stage(whole: tuple[RunFolder, str]) -> None:
    run, err = whole
    assert set(pd.read_csv(run.predictions)["fit"]) == {"t000-fold0-tuned"}
    assert len(pd.read_csv(run.fit("t000-fold0").predictions)) == 0, "the first stage never sees the test"
    model, tuned = (
        keras.models.load_model(file, compile=False) for file in (run.model, run.fit("t000-fold0-tuned").best)
    )
    for one, other in zip(model.get_weights(), tuned.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}, "bfloat16 is for training steps alone"
    assert "batch 16 = 1 x 16, bfloat16, 1 x " in err
    assert "exported and verified" in err
    curves = pd.read_csv(run.figures / "curves_loss.csv")
    assert dict(curves.groupby("fit")["stage"].max()) == {"t000-fold0": 1, "t000-fold0-tuned": 2}
    assert curves.groupby("stage")["epoch"].max().tolist() == [3, 3]
    assert "a step in the second stage, so at most about" in err


def test_a_run_killed_in_its_second_stage_resumes_to_the_same_figures(
    whole: tuple[RunFolder, str], tmp_path: Path, stripes: Path, cache: Path
) -> None:
    kill_when("fits/t000-fold0-tuned/checkpoint/state.npz", tmp_path, start(tmp_path, stripes, cache))
    run = kill_when("metrics.json", tmp_path, start(tmp_path, stripes, cache, "--resume"))
    assert metrics_of(run) == metrics_of(whole[0])


def test_a_layer_that_is_not_there_is_refused_before_any_training(
    command: Command, stripes: Path, tmp_path: Path
) -> None:
    (tmp_path / "tuned.py").write_text(RECIPE)
    made = command("run", "tuned.py", "--data", stripes / "data", "--set", "train.fine_tune_from=cnv2")
    assert made.returncode == 2
    assert "The frozen part of the network has no such layer." in made.stderr
    assert "Did you mean conv2?" in made.stderr
    assert not list(tmp_path.glob("runs/tuned/*/fits/t000-*"))
