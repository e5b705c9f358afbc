"""keras_med, the honest trainer: what a recipe may import."""

import importlib
from typing import TYPE_CHECKING

from keras_med.recipe.model import Model
from keras_med.recipe.search import Float, Int, Round, Search
from keras_med.recipe.train import Train
from keras_med.recipe.words import (
    Augment,
    Binary,
    Classes,
    Column,
    Data,
    Evaluate,
    Export,
    Final,
    Holdout,
    Image,
    KFold,
    Recipe,
    Regression,
    Report,
)

if TYPE_CHECKING:
    import keras_med.data.tables as tables
    from keras_med.report.load import load_run

__version__ = "0.1.0"
__all__ = [
    "Augment",
    "Binary",
    "Classes",
    "Column",
    "Data",
    "Evaluate",
    "Export",
    "Final",
    "Float",
    "Holdout",
    "Image",
    "Int",
    "KFold",
    "Model",
    "Recipe",
    "Regression",
    "Report",
    "Round",
    "Search",
    "Train",
    "load_run",
    "tables",
]


def __getattr__(name: str) -> object:
    """Import what needs pandas only when it is asked for, so that `--help` answers at once."""
    if name == "tables":
        return importlib.import_module("keras_med.data.tables")
    if name == "load_run":
        return importlib.import_module("keras_med.report.load").load_run
    raise AttributeError(f"module 'keras_med' has no attribute {name!r}")
