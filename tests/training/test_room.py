from pathlib import Path
from typing import Any

import pytest

from keras_med import Data, Image, KFold, Model, Recipe, Regression, Train, runfolder
from keras_med.runfolder import RunFolder
from keras_med.training import memory, room, runtime

GIB = 2**30
FEATURES = {"folder": "cache/features", "shape": [1408], "counts": [1000]}
MACHINE = {"gpus": 0, "replicas": 1}


def index(root: Path) -> Any:
    return None


def network(image: Any) -> Any:
    return image


def recipe(**train: Any) -> Recipe:
    plain: dict[str, Any] = {"target": Regression(), "data": Data(index), "image": Image(size=(8, 8))}
    return Recipe(**plain, model=Model(network), split=KFold(folds=5), train=Train(**train))


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, 4),  # of eight cores: more would wait for memory
        ({"cores": 2}, 2),
        ({"asked": 7}, 7),
        ({"asked": 1}, 1),
        ({"features": {"folder": None}}, 1),  # nothing is frozen: a fit keeps all cores busy
        ({"train": {"fine_tune_from": "block5", "fine_tune_epochs": 2}}, 1),
        ({"machine": {"gpus": 1, "replicas": 1}}, 1),
        ({"machine": {"gpus": 0, "replicas": 2}}, 1),
        ({"memory": 4}, 2),  # GiB, of which each takes one and a half
        ({"memory": 1}, 1),
        ({"features": {**FEATURES, "counts": [90_000, 90_000]}, "memory": 8}, 2),  # 1,014 MB are held twice by each
        ({"features": {**FEATURES, "counts": [200_000]}, "memory": 8}, 4),  # 1,126 MB are read where they lie
    ],
)
def test_small_fits_have_a_core_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], expected: int
) -> None:
    run = RunFolder(tmp_path)
    runfolder.write_json(run.features / "done.json", changed.get("features", FEATURES))
    runfolder.write_json(run.environment, changed.get("machine", MACHINE))
    monkeypatch.setattr(runtime, "cores", lambda: changed.get("cores", 8))
    monkeypatch.setattr(memory, "limit", lambda: changed.get("memory", 64) * GIB)
    assert room.side_by_side(run, recipe(**changed.get("train", {})), changed.get("asked")) == expected
