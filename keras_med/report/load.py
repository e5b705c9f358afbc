"""A run folder to tables, figures and the model, for a notebook."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from keras_med.errors import DataError
from keras_med.report.contents import table
from keras_med.runfolder import RunFolder, read_json


@dataclass(frozen=True)
class Run:
    """A finished run; each file is read when it is first asked for."""

    folder: RunFolder

    @cached_property
    def settings(self) -> dict[str, Any]:
        """settings.json."""
        return read_json(self.folder.settings)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """id, fit, role, label and predicted or p_<class>."""
        if not self.folder.predictions.is_file():
            raise DataError(
                "The run has no predictions.csv.", where=str(self.folder.path), remedy="Finish it with --resume."
            )
        found = table(self.folder.predictions)
        if (self.settings.get("target") or {}).get("kind") == "regression":
            found["label"] = pd.to_numeric(found["label"], errors="coerce")
        return found

    @cached_property
    def judged(self) -> dict[str, Any]:
        """metrics.json, whole."""
        return read_json(self.folder.metrics)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """split, metric, value, low, high, unit, n, patients: one row a metric."""
        splits = self.judged.get("splits") or {}
        rows = [
            {"split": split, "metric": name, **entry}
            for split, entries in splits.items()
            for name, entry in entries.items()
        ]
        return pd.DataFrame(rows, columns=["split", "metric", "value", "low", "high", "unit", "n", "patients"])

    @property
    def figures(self) -> dict[str, Path]:
        """The name and file of each figure of the report."""
        return {path.stem: path for path in sorted(self.folder.figures.glob("*.svg"))}

    def model(self) -> Any:
        """Load model.keras; this imports Keras."""
        if not self.folder.model.is_file():
            raise DataError(
                "The run has no model.keras.", where=str(self.folder.path), remedy="Finish it with --resume."
            )
        import keras

        return keras.models.load_model(self.folder.model)


def load_run(path: str | Path) -> Run:
    """Open a run folder, or the newest run of a recipe: runs/<recipe> or runs/<recipe>/latest."""
    folder = Path(path)
    if (folder / "latest").exists():
        folder = folder / "latest"
    if folder.is_file() and folder.name == "latest":  # where the system has no links, it holds the name
        folder = folder.parent / folder.read_text(encoding="utf-8").strip()
    run = RunFolder(folder.resolve())
    if not run.settings.is_file():
        raise DataError(
            "This is no run folder: it has no settings.json.", where=str(path), remedy="Name runs/<recipe>/<run>."
        )
    return Run(run)
