"""The command: it answers as predict does, ends cleanly, and refuses in a sentence with the right exit code."""

import argparse
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from keras_med.errors import DataError, EnvironmentProblem, RecipeError
from keras_med.export import manifest
from keras_med.inference.load import load_model
from keras_med.inference.predict import predict
from keras_med.serve import command
from keras_med.serving import server

ROOT = Path(manifest.__file__).parents[2]


def serve(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
    line = [sys.executable, "-m", "keras_med.serve", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, env=environment, text=True, **pipes, **options)


def test_it_answers_as_predict_ends_at_a_signal_and_keeps_its_port(flat: Path, samples: Any, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for name, content in (("a.dcm", samples.ct(55)), ("b.dcm", b"Dear Secret^Name,"), ("c.png", samples.png(33))):
        (scans / name).write_bytes(content)
    serving = serve("bleed", "--port", "0", "--json", cwd=flat.parents[2])
    try:
        predict(load_model(flat), [str(scans)], tmp_path / "out.csv", tmp_path / "cache")
        with (tmp_path / "out.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert serving.stdout is not None
        url = json.loads(serving.stdout.readline())["url"]
        taken = url.split(":")[2].strip("/")
        second = serve("bleed", "--port", taken)
        files = [("files", (path.name, path.read_bytes())) for path in sorted(scans.iterdir())]
        answered = httpx.post(f"{url}predict", files=files, timeout=60).json()["predictions"]
        assert second.communicate(timeout=60)[1].startswith(f"Port {taken} is in use.\n")
        serving.send_signal(signal.SIGTERM)
        _, told = serving.communicate(timeout=60)
    finally:
        serving.kill()
    assert (serving.returncode, second.returncode) == (0, 4)
    assert told.splitlines() == [f"Next: open {url} in a browser; Ctrl-C ends it. Nothing that is sent is kept."]
    assert [one["reason"] for one in answered] == [row["reason"] for row in rows]
    assert [one["decision"] or "" for one in answered] == [row["decision"] for row in rows]
    for one, row in zip(answered, rows, strict=True):
        for column, value in {**one["outputs"], **one["calibrated"]}.items():
            assert value == pytest.approx(float(row[column]), abs=1e-6)


@pytest.mark.parametrize("change", ["byte", "format"])
def test_an_export_that_has_changed_is_refused(flat: Path, tmp_path: Path, change: str) -> None:
    shutil.copytree(flat, tmp_path / "1")
    told = json.loads((tmp_path / "1" / manifest.NAME).read_text())
    if change == "byte":
        (tmp_path / "1" / manifest.KERAS_FILE).write_bytes(b"x")
    else:
        (tmp_path / "1" / manifest.NAME).write_text(json.dumps({**told, "format": 99}))
    says = "as it was written: model.keras has changed" if change == "byte" else "format 99; this keras_med reads up to"
    with pytest.raises(DataError, match=says):
        command(argparse.Namespace(model=str(tmp_path / "1"), port=0, largest=1, trust=False, json=False))


def test_a_package_that_is_absent_is_told_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None if name == "python_multipart" else object())
    with pytest.raises(EnvironmentProblem, match=r"^Serving needs python-multipart\.") as told:
        server.check_packages()
    assert told.value.remedy == 'pip install "keras_med[serve]"'


def test_a_port_that_cannot_be_is_refused() -> None:
    with pytest.raises(RecipeError, match="There is no port 70000"):
        server.listening(70000)


def test_a_port_is_taken_on_this_machine_alone() -> None:
    with server.listening(0) as taken:
        assert taken.getsockname()[0] == "127.0.0.1"
        with pytest.raises(EnvironmentProblem, match="is in use"):
            server.listening(taken.getsockname()[1])
        with socket.create_connection(taken.getsockname()):
            pass
