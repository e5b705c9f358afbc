"""Heat of predicted pictures: where the network looked, on one scale, named by row, and none of what shows a name."""

from pathlib import Path

import cv2
import keras
import numpy as np
import pandas as pd
import pytest

from keras_med.errors import DataError, RecipeError
from keras_med.export.savedmodel import export
from keras_med.inference.heat_files import HeatFiles
from keras_med.inference.load import LoadedModel, load_model
from keras_med.inference.predict import predict

TOLD = {
    "target": {"kind": "binary", "positive": "1"},
    "classes": ["0", "1"],
    "preparation": {"size": [8, 8], "values": "as_is", "channels": 1},
}


def a_model(folder: Path, *layers: keras.layers.Layer) -> LoadedModel:
    image = features = keras.Input((8, 8, 1))
    for layer in layers:
        features = layer(features)
    dense = keras.layers.Dense(1, activation="sigmoid", use_bias=False)
    network = keras.Model(image, dense(features))
    dense.set_weights([np.full(dense.kernel.shape, 0.01)])
    network.save(folder / "model.keras")
    export(folder / "model.keras", folder / "export", TOLD)
    return load_model(folder / "export")


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    """A network whose score is the mean brightness: each pixel's heat is its own brightness."""
    convolution = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")
    return a_model(tmp_path, convolution, keras.layers.GlobalAveragePooling2D())


def test_maps_lie_where_the_light_is_and_share_the_scale_of_the_first(model: LoadedModel, tmp_path: Path) -> None:
    bright, dim = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    bright[:4, :4], dim[:4, :4] = 250, 50
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "Miller-Anna.png"), bright)
    (tmp_path / "in" / "b.png").write_text("no picture")
    cv2.imwrite(str(tmp_path / "in" / "c.png"), dim)
    heat = HeatFiles(tmp_path / "maps", model)
    made = predict(model, [str(tmp_path / "in")], tmp_path / "out.csv", tmp_path / "cache", heat=heat)
    assert made.heat == tmp_path / "maps"
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert dict(zip(table["path"].map(lambda path: Path(path).name), table["heat"], strict=True)) == {
        "Miller-Anna.png": "0000001.png", "b.png": "", "c.png": "0000003.png"
    }  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["0000001.png", "0000003.png", "scale.json"]
    strong, weak = (cv2.imread(str(tmp_path / "maps" / name)).astype(int) for name in ("0000001.png", "0000003.png"))
    assert (strong[4:, 4:] == 0).all()  # black stays black without heat
    assert (weak[4:, 4:] == 0).all()
    red = strong[:4, :4].mean(axis=(0, 1)) - weak[:4, :4].mean(axis=(0, 1))
    assert red[2] > 50  # a fifth of the light is a fifth of the heat, not as much again


def test_text_burned_into_a_picture_is_not_drawn(model: LoadedModel, tmp_path: Path) -> None:
    heat = HeatFiles(tmp_path / "maps", model)
    heat.begin(going_on=False)
    assert heat.draw(np.ones((2, 8, 8, 1)), np.ones((2, 1)), [7, 8], [True, False]) == ["", "0000008.png"]
    assert not (tmp_path / "maps" / "0000007.png").exists()


def test_what_cannot_be_drawn_is_refused_before_anything_is_predicted(model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match="expected a folder"):
        HeatFiles(tmp_path / "file", model)
    (tmp_path / "flat").mkdir()
    flat = a_model(tmp_path / "flat", keras.layers.Flatten())
    with pytest.raises(DataError, match="keeps the image's places"):
        HeatFiles(tmp_path / "maps", flat)
