"""The table of backends and devices in the README: a whole run of each, or its refusal by name."""

import json
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from keras_med import runfolder
from keras_med.errors import EnvironmentProblem, RecipeError
from keras_med.runfolder import RunFolder
from keras_med.training import runtime
from keras_med.training.runtime import Runtime

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("backend", "devices", "count"), [("tensorflow", "cpu:2", 2), ("jax", "cpu:2", 2), ("torch", "auto", 1)]
)
def test_a_backend_goes_through_a_whole_run(
    command: Command, stripes: Path, tmp_path: Path, backend: str, devices: str, count: int
) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    text = (stripes / "stripes.py").read_text().replace("    final=Final(share=0.9),\n", "")
    (tmp_path / "one.py").write_text(
        text.replace("KFold(folds=2, validation=0.2, test=0.2)", "Holdout()").replace("KFold", "Holdout")
    )
    typed = ["one.py", "--data", stripes / "data", "--set", "train.epochs=1", "--devices", devices]
    told = command("run", *typed, KERAS_BACKEND=backend)
    assert told.returncode == 0, told.stderr
    assert f"batch 16 = {count} x {16 // count}" in told.stderr
    assert "preflight: first loss" in told.stderr
    run = RunFolder((tmp_path / "runs" / "one" / "latest").resolve())
    environment = json.loads(run.environment.read_text())
    assert (environment["backend"], environment["replicas"]) == (backend, count)
    assert len(list((tmp_path / "saved_models").glob("*/1/saved_model.pb"))) == 1


def test_torch_has_one_device() -> None:
    with pytest.raises(RecipeError, match="On torch a fit runs on one device; cpu:2 was asked for"):
        runtime.check(Runtime(backend="torch", devices="cpu:2"), 16)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_batch_that_devices_cannot_share_is_refused(backend: str) -> None:
    with pytest.raises(RecipeError, match="A batch of 16 cannot be shared by 3 devices evenly") as refused:
        runtime.check(Runtime(backend=backend, devices="cpu:3"), 16)
    assert refused.value.remedy == "--set train.batch_size=18"


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_gpus_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: str) -> None:
    monkeypatch.setattr(runtime, "visible_gpus", lambda of: {backend: 1}[of])
    monkeypatch.setattr(runtime, "start", lambda machine, seed: None)
    machine = Runtime(backend=backend, devices="gpu:2")
    folder = RunFolder(tmp_path).fit("environment").path
    runfolder.write_json(
        folder / "settings.json", {"runtime": machine.settings(), "batch_size": 16, "precision": "float32"}
    )
    with pytest.raises(EnvironmentProblem, match="1 GPUs are visible; --devices gpu:2 asks for 2") as refused:
        runtime.probe(folder)
    assert "--devices cpu" in refused.value.remedy
