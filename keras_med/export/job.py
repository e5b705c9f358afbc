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
from keras_med.jobs.job import DONE, Job
from keras_med.jobs.local import LocalRunner
from keras_med.jobs.loop import run_jobs


def export_in_fresh_process(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Export what the settings describe, unless it is done; return what done.json says.

    Args:
        folder: of the job.
        settings: model (the .keras file), parent (where versions are made), description, demo, formats and held_out.
    """
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        return _forked(folder, settings)
    if not (folder / DONE).is_file():
        runfolder.write_json(folder / "settings.json", dict(settings))
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", "keras_med.export.job", str(folder)]
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            code = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False).returncode
        if code:
            last = (folder / "log.txt").read_text(encoding="utf-8").strip().splitlines()[-4:]
            raise RunFailed("The export failed: " + " ".join(last), where=str(folder / "log.txt"))
    return runfolder.read_json(folder / DONE)


def _forked(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Export in a process of the fork server, which has loaded TensorFlow and computed nothing."""
    job = Job(folder, "keras_med.export.job:run_export")
    if not job.done:
        runfolder.write_json(folder / "settings.json", dict(settings))
    run_jobs([job], runner=LocalRunner())
    return runfolder.read_json(folder / DONE)


def run_export(folder: Path) -> None:
    """Do the job in this process."""
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
