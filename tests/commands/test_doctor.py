"""The doctor: each broken thing is told with what mends it, and the command answers 0 or 4."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keras_med import machine
from keras_med.machine import Examined, Finding
from keras_med.training import runtime


def doctor(keras_home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    typed = [sys.executable, "-m", "keras_med.doctor", *arguments]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "KERAS_HOME": str(keras_home)}
    return subprocess.run(typed, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_command_trains_on_two_devices_and_finds_a_file_of_weights(tmp_path: Path) -> None:
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"  # of another width: it is not taken
    (tmp_path / name).write_bytes(b"")
    (tmp_path / "resnet18.tv_in1k.safetensors").write_bytes(b"x")
    made = doctor(tmp_path / "none", "--json", "--weights", str(tmp_path), "--cache", str(tmp_path))
    assert made.returncode == 0, made.stdout + made.stderr
    found = {one["name"]: one for one in json.loads(made.stdout)["findings"]}
    assert found["mirrored training"]["state"] == "works"
    assert found["mirrored training"]["told"].startswith("on two parts of the processor equals one device")
    assert found["cpu:0"]["state"] == "works"
    assert found["weights resnet18"]["told"] == str(tmp_path / "resnet18.tv_in1k.safetensors")
    assert found["weights mobilenet_v2"]["state"] == "absent"
    assert "Download https://storage.googleapis.com" in found["weights mobilenet_v2"]["remedy"]
    assert made.stderr.endswith("Next: python -m keras_med.run RECIPE\n")


def answer(**changes: Any) -> dict[str, Any]:
    device = {"device": "gpu:0", "difference": 1e-6, "problem": "", "seconds": 0.5}
    mirrored = {"devices": "gpu:2", "difference": 1e-7, "problem": "", "seconds": 2.0}
    return {"devices": [device], "mirrored": mirrored, "weights": [], **changes}


@pytest.mark.parametrize(
    ("changes", "name", "told", "remedy"),
    [
        (
            {"devices": [{"device": "gpu:0", "difference": None, "problem": "no kernel image", "seconds": 0}]},
            "gpu:0",
            "no kernel image",
            'pip install "keras_med[gpu]"',
        ),
        (
            {"devices": [{"device": "cpu:0", "difference": 3.0, "problem": "", "seconds": 0}]},
            "cpu:0",
            "its product is off by 3",
            "",
        ),
        (
            {"mirrored": {"devices": "gpu:2", "difference": 0.02, "problem": "", "seconds": 1}},
            "mirrored training",
            "on two GPUs, against one device: weights differ by 0.02",
            "Train on one device: --devices gpu:1",
        ),
    ],
)
def test_a_device_that_computes_wrongly_is_broken(changes: dict[str, Any], name: str, told: str, remedy: str) -> None:
    assert not Examined(machine.tested_findings(answer())).broken
    examined = Examined(machine.tested_findings(answer(**changes)))
    (found,) = [finding for finding in examined.findings if finding.state == "broken"]
    assert (found.name, found.told, found.remedy) == (name, told, remedy)
    assert examined.broken


def test_a_full_disk_and_little_memory_are_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = type("Usage", (), {"free": 2 * 2**30})()
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda _: usage)
    cache, _ = machine._disks(tmp_path / "not" / "there")
    assert (cache.state, cache.told) == ("broken", f"2.0 GiB free, {tmp_path / 'not' / 'there'}")
    monkeypatch.setattr(machine.os, "sysconf", lambda name: 2**30 if name == "SC_PAGE_SIZE" else 3)
    assert [finding.state for finding in machine._processor()] == ["works", "broken"]


def test_a_self_test_that_dies_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.CompletedProcess([], -11, "", "some words\nCUDA_ERROR_UNKNOWN\n")
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: dead)
    (found,) = machine._tested(None, quick=True)
    assert (found.state, found.told) == ("broken", "ended with code -11: CUDA_ERROR_UNKNOWN")


def test_a_card_without_cuda_wheels_is_told_with_their_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.Path, "exists", lambda _: True)
    monkeypatch.setattr(machine.Path, "is_file", lambda _: False)
    monkeypatch.setattr(machine, "_installed", lambda name: name != "nvidia-cudnn-cu12")
    monkeypatch.setattr(runtime, "packages", lambda: {"tensorflow": "2.21.0"})
    (found,) = machine._driver()
    assert (found.state, found.told) == ("broken", "driver loaded; TensorFlow lacks nvidia-cudnn-cu12")
    assert found.remedy == 'pip install "keras_med[gpu]"'


def test_lines_show_the_remedy_below_its_finding() -> None:
    shown = Examined([Finding("GPU", "broken", "no driver", "Install it.")]).lines()
    assert [line.split() for line in shown] == [["broken", "GPU", "no", "driver"], ["Install", "it."]]
