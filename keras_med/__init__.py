"""keras_med, the honest trainer: what a recipe may import."""

from typing import TYPE_CHECKING

from keras_med.recipe.words import (
    Binary,
    Classes,
    Column,
    Data,
    Evaluate,
    Final,
    Holdout,
    Image,
    KFold,
    Model,
    Recipe,
    Regression,
    Report,
    Train,
)

if TYPE_CHECKING:
    import keras_med.data.tables as tables

__version__ = "0.1.0"
__all__ = [
    "Binary",
    "Classes",
    "Column",
    "Data",
    "Evaluate",
    "Final",
    "Holdout",
    "Image",
    "KFold",
    "Model",
    "Recipe",
    "Regression",
    "Report",
    "Train",
    "tables",
]


def __getattr__(name: str) -> object:
    """Import pandas with `tables` only when a recipe asks for it, so that `--help` answers at once."""
    if name == "tables":
        import importlib

        return importlib.import_module("keras_med.data.tables")
    raise AttributeError(f"module 'keras_med' has no attribute {name!r}")
