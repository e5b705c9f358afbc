"""The SavedModel takes PNG and JPEG bytes where a recipe's preparation allows it, and says how exactly."""

from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest

from keras_med import Image
from keras_med.errors import DataError, RunFailed
from keras_med.export import encoded, manifest
from keras_med.export import verify as room
from keras_med.export.savedmodel import export
from keras_med.inference.load import load_model

TOLD = {"target": {"kind": "regression", "unit": ""}, "classes": None}
GREY = {"size": [4, 6], "values": "as_is", "channels": 1}


def exported(folder: Path, preparation: dict[str, object], shape: tuple[int, ...]) -> Path:
    """Export a network that answers with the mean of all pixels."""
    image = keras.Input(shape)
    flat = keras.layers.Reshape((-1, 1))(image)
    keras.Model(image, keras.layers.GlobalAveragePooling1D()(flat)).save(folder / "model.keras")
    export(folder / "model.keras", folder / "export", {**TOLD, "preparation": preparation})
    return folder / "export"


def test_bytes_are_answered_as_pixels_are_and_verified(tmp_path: Path) -> None:
    folder = exported(tmp_path, GREY, (4, 6, 1))
    wide = np.zeros((8, 12, 3), np.uint8)
    wide[:, :, 2] = np.repeat([0, 200], 6)  # red in OpenCV's order: 0.299 of it is grey
    files = [cv2.imencode(suffix, np.full((4, 6), 90, np.uint8))[1].tobytes() for suffix in (".png", ".jpg")]
    files.append(cv2.imencode(".png", wide)[1].tobytes())
    answers = load_model(folder).predict_encoded(files)[:, 0]
    assert answers == pytest.approx([90, 90, np.rint(0.299 * 200) / 2], abs=1e-4)
    told = manifest.read(folder)["encoded"]
    assert told["grey_levels"] <= 1  # a value half way between two levels may be rounded either way
    result = room.verify(folder)
    assert result.takes_files is not None
    assert result.takes_files.files == told["files"] == 12
    assert any("PNG and JPEG bytes, approximate" in line for line in result.lines())
    assert room.VerifyResult.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    ("preparation", "shape", "reason"),
    [
        ({"size": [4, 6], "values": [[40.0, 80.0]], "channels": 1}, (4, 6, 1), "windows of a scanner's units"),
        ({"size": [4, 6, 3], "values": "per_image", "channels": 1}, (4, 6, 3, 1), "hold no volumes"),
    ],
)
def test_what_bytes_cannot_hold_is_left_out_with_the_reason(
    preparation: dict[str, object], shape: tuple[int, ...], reason: str, tmp_path: Path
) -> None:
    folder = exported(tmp_path, preparation, shape)
    assert reason in manifest.read(folder)["encoded"]["left_out"]
    with pytest.raises(DataError, match=reason):
        load_model(folder).predict_encoded([b""])


@pytest.mark.parametrize(
    "image", [Image(size=(9, 7), values=(20, 200), channels=3), Image(size=(9, 7), values="per_image")]
)
def test_scales_and_sizes_are_those_of_the_readers(image: Image) -> None:
    prepare = encoded.preparation(image)
    endpoints = {"serve": np.asarray, "prepared": prepare, "encoded": prepare}
    assert encoded.measure(endpoints, image).grey_levels <= 1


def test_decoders_that_are_far_apart_do_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def dark(files: Any) -> np.ndarray:
        return np.zeros((len(files), 4, 6, 1), np.float32)

    answers = {"serve": np.asarray, "prepared": dark, "encoded": dark}
    with pytest.raises(RunFailed, match=r"prepares pictures 2\d\d grey levels away"):
        room._encoded(answers, {"preparation": GREY}, Path("export"))
