"""The export job: a run's model.keras to a verified export, in a TensorFlow process whatever the fits' backend."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_med import runfolder
from keras_med.errors import RunFailed
from keras_med.export.savedmodel import publish
from keras_med.jobs.job import DONE, LOG, Job


def job(folder: Path, settings: Mapping[str, Any]) -> Job:
    """Return the job that exports what the settings describe; done.json will hold its path.

    Args:
        folder: of the job.
        settings: model (the .keras file), parent (where versions are made), description, demo, formats and held_out.
    """
    made = Job(folder, "keras_med.export.job:run_export")
    if not made.done:
        runfolder.write_json(folder / "settings.json", dict(settings))
    return made


def run_export(folder: Path) -> None:
    """Do the job in this process, or in one of TensorFlow's where another backend is loaded here."""
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        _publish(folder)
        return
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "keras_med.export.job", str(folder)]
    if subprocess.run(command, env=environment, check=False).returncode:
        last = (folder / LOG).read_text(encoding="utf-8").strip().splitlines()[-4:]
        raise RunFailed("The export failed: " + " ".join(last), where=str(folder / LOG))


def _publish(folder: Path) -> None:
    settings = runfolder.read_json(folder / "settings.json")
    model, parent = Path(settings["model"]), Path(settings["parent"])
    description, demo = settings["description"], bool(settings["demo"])
    held_out = Path(settings["held_out"]) if settings.get("held_out") else None
    made = publish(model, parent, description, demo=demo, formats=settings["formats"], held_out=held_out)
    if held_out:
        held_out.unlink(missing_ok=True)  # pictures stay in the cache
    runfolder.write_json(folder / DONE, {"path": str(made)})


if __name__ == "__main__":
    run_export(Path(sys.argv[1]))
