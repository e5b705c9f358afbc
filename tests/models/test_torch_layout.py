"""ResNet18 and ViT give what torchvision's and timm's give for the same weights."""

import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_med.errors import EnvironmentProblem
from keras_med.models import resnet18, vit, weights

HERE = Path(__file__).parent
REFERENCE = json.loads((HERE / "torch_reference.json").read_text())
_spec = importlib.util.spec_from_file_location("torch_reference", HERE / "torch_reference.py")
torch_reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(torch_reference)


def _write(folder: Path, name: str, suffix: str) -> Path:
    tensors = torch_reference.tensors(REFERENCE[name]["shapes"])
    path = folder / f"weights{suffix}"
    if suffix == ".npz":
        np.savez(path, **tensors)
    else:
        safetensors = pytest.importorskip("safetensors.numpy")
        safetensors.save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, path)
    return path


def _features(path: Path, builder, height: int, width: int, **settings) -> np.ndarray:
    with weights.policy(path):
        image = keras.Input((height, width, 3))
        model = keras.Model(image, builder(image, **settings))
    return keras.ops.convert_to_numpy(model(torch_reference.pixels(height, width), training=False))


def _close(features: np.ndarray, expected: list[list[float]]) -> bool:
    wanted = np.array(expected)
    shown = features[:, : torch_reference.SHOWN]
    return bool((np.abs(shown - wanted) <= 1e-4 * np.maximum(1, np.abs(wanted))).all())


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_resnet18_equals_torchvision_on_even_and_odd_sides(tmp_path, suffix):
    path = _write(tmp_path, "resnet18", suffix)
    assert _close(_features(path, resnet18, 65, 64), REFERENCE["resnet18"]["65x64"])


def test_vit_equals_timm(tmp_path):
    path = _write(tmp_path, "vit", ".safetensors")
    assert _close(_features(path, vit, 64, 64, size="tiny"), REFERENCE["vit"]["64x64"])


def test_vit_takes_other_sizes_by_resizing_its_positions_as_timm_does(tmp_path):
    path = _write(tmp_path, "vit", ".npz")
    assert _close(_features(path, vit, 96, 96, size="tiny"), REFERENCE["vit"]["96x96"])


def test_vit_base_has_the_tensors_of_timm():
    image = keras.Input((224, 224, 3))
    model = keras.Model(image, vit(image, pretrained=False))
    shapes = REFERENCE["base"]["shapes"]
    published = sum(int(np.prod(shape)) for name, shape in shapes.items() if not name.startswith("head"))
    assert model.count_params() == published


def test_the_weights_of_another_network_are_refused(tmp_path):
    path = _write(tmp_path, "vit", ".npz")
    with pytest.raises(EnvironmentProblem, match="another model: resnet18 needs conv1, which is not in it"):
        _features(path, resnet18, 64, 64)
    with pytest.raises(EnvironmentProblem, match="another model: patch_embed_proj has shapes"):
        _features(path, vit, 64, 64, size="small")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_file_cut_short_is_refused(tmp_path, suffix):
    path = _write(tmp_path, "vit", suffix)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(EnvironmentProblem, match="cut short"):
        _features(path, vit, 64, 64, size="tiny")


def test_on_demo_data_without_weights_the_tiny_size_is_taken_and_told():
    with weights.policy(allow_random=True, allow_download=False) as record:
        features = vit(keras.Input((32, 32, 3)), size="base")
    assert features.shape == (None, 192)
    assert [used.backbone for used in record.used] == ["vit tiny"]
