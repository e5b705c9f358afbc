"""The formats that a recipe asks for to whether this machine can write and verify them."""

from collections.abc import Sequence
from importlib.util import find_spec

from keras_med.errors import EnvironmentProblem

_NEEDS = {
    "onnx": ("onnx", ("tf2onnx", "onnxruntime")),
    "litert": ("litert", ("ai_edge_litert",)),
    "litert_int8": ("litert", ("ai_edge_litert",)),
}


def check(formats: Sequence[str]) -> None:
    """Refuse a format whose packages are absent, before anything is trained."""
    for name in formats:
        extra, packages = _NEEDS[name]
        absent = [package for package in packages if find_spec(package) is None]
        if absent:
            what = f"export.formats has {name}, which needs {absent[0].replace('_', '-')}: it is not installed."
            raise EnvironmentProblem(what, remedy=f"pip install 'keras_med[{extra}]'")
