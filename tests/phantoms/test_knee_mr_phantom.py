from pathlib import Path

import numpy as np
import pytest

from keras_med.data.resizing import resize
from keras_med.phantoms.knee_mr import oai


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    folder = tmp_path_factory.mktemp("data") / "oai"
    oai(folder, seed=4, normal=160, abnormal=140, size=(32, 32, 16))
    assert sorted(file.name for file in folder.iterdir()) == [
        "abnormal-3DESS-128-64.npy",
        "normal-3DESS-128-64.npy",
    ]
    return {kind: np.load(folder / f"{kind}-3DESS-128-64.npy") for kind in ("normal", "abnormal")}


def test_the_stacks_are_float32_and_in_the_order_of_the_real_ones(stacks: dict[str, np.ndarray]) -> None:
    assert {kind: (stack.shape, stack.dtype.name) for kind, stack in stacks.items()} == {
        "normal": ((160, 32, 32, 16), "float32"),
        "abnormal": ((140, 32, 32, 16), "float32"),
    }
    assert all(np.isfinite(stack).all() and stack.min() >= 0 for stack in stacks.values())


def test_the_size_is_a_setting(tmp_path: Path) -> None:
    oai(tmp_path / "large", seed=1, normal=1, abnormal=1, size=(64, 48, 20))
    assert np.load(tmp_path / "large" / "normal-3DESS-128-64.npy").shape == (1, 64, 48, 20)


def test_nothing_simple_predicts_an_abnormal_knee(stacks, auroc_of, summaries, thumbnails) -> None:
    """Every second volume only: two in a row show one knee."""
    volumes = [volume for kind in ("normal", "abnormal") for volume in stacks[kind][::2]]
    order = np.random.default_rng(0).permutation(len(volumes))
    abnormal = (np.arange(len(volumes)) >= 80)[order]
    volumes = [volumes[place] for place in order]
    raw = np.array([[volume.mean(), volume.std(), volume.min(), volume.max()] for volume in volumes])
    scaled = [(volume - volume.min()) / (volume.max() - volume.min()) * 255 for volume in volumes]
    simple = {name: values for name, values in summaries(scaled).items() if name != "order"} | {"raw values": raw}
    aurocs = {name: auroc_of(values, abnormal) for name, values in simple.items()}
    assert {name: auroc for name, auroc in aurocs.items() if auroc > 0.6} == {}
    assert auroc_of(thumbnails([volume[:, :, 8] for volume in scaled]), abnormal) < 0.65
    assert auroc_of(thumbnails([volume.mean(axis=2) for volume in scaled]), abnormal) < 0.65


def test_nothing_simple_predicts_an_abnormal_knee_once_it_is_enlarged_as_the_recipe_does(tmp_path, auroc_of) -> None:
    """Interpolation takes more from a fine grain than from a coarse one."""
    oai(tmp_path / "oai", seed=1, normal=120, abnormal=120)
    traits = []
    for kind in ("normal", "abnormal"):
        for volume in np.load(tmp_path / "oai" / f"{kind}-3DESS-128-64.npy")[::2]:
            voxels = resize(volume[..., None], (128, 128, 64))
            voxels = (voxels - voxels.min()) / np.ptp(voxels)
            traits.append([voxels.mean(), voxels.std(), *np.percentile(voxels[::2, ::2], [5, 25, 50, 75, 95])])
    abnormal = np.arange(len(traits)) >= 60
    order = np.random.default_rng(0).permutation(len(traits))
    assert auroc_of(np.array(traits)[order], abnormal[order]) < 0.6


def test_two_volumes_in_a_row_show_one_knee(stacks: dict[str, np.ndarray]) -> None:
    flat = stacks["normal"].reshape(160, -1)
    alike = np.corrcoef(flat)
    np.fill_diagonal(alike, -1)
    assert (alike.argmax(axis=1) == np.arange(160) ^ 1).mean() > 0.95


def test_one_seed_gives_the_same_volumes(tmp_path: Path) -> None:
    for name in "ab":
        oai(tmp_path / name, seed=9, normal=2, abnormal=2, size=(32, 32, 16))
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
