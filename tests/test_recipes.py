"""Every recipe that comes with the program: it loads, its settings are listed, its network is the seed's, it runs."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from keras_med import Recipe, load_run
from keras_med.data.dividing import divide_index
from keras_med.data.location import PHANTOMS
from keras_med.models import weights
from keras_med.recipe.consistency import check_settings
from keras_med.recipe.loading import load_recipe
from keras_med.recipe.searching import combinations
from keras_med.recipe.settings import lines, settings_of
from keras_med.training import network

FOLDER = Path(__file__).parent.parent / "recipes"
NAMES = {
    "brain_tumor": ("recipe", "mobilenet", "cnn", "as_published"),
    "chest_xray": ("recipe", "resnet18", "baseline", "vit", "as_published"),
    "hemorrhage": ("recipe", "as_published"),
    "oai_knee": ("recipe", "as_published"),
    "spr_age": ("recipe", "dense", "as_published"),
}
ALL = [(file, name) for file, names in NAMES.items() for name in names]

# Weights and biases, worked out by hand: in x out + out for a fully connected layer, 9 x in x out + out for a
# convolution, 4 a channel for batch normalisation. A head has one output for two classes and for a number.
MOBILENET_V2 = 2_257_984  # keras.applications' documentation: 3,538,984 with 1280 x 1000 + 1000 of the ImageNet head
RESNET18 = 11_689_512 - (512 * 1000 + 1000) + 2 * 4800  # torchvision's, without its head, with the running statistics
VIT_TINY = 5_717_416 - (192 * 1000 + 1000)  # timm's, without its head
RESNET50 = 23_587_712  # keras.applications', without its head
EFFICIENTNET_B2 = 9_177_569 - (1408 * 1000 + 1000)  # keras.applications'
PARAMETERS = {
    ("brain_tumor", "recipe"): MOBILENET_V2 + (1280 * 2048 + 2048) + (2048 * 128 + 128) + (128 + 1),
    ("brain_tumor", "cnn"): (9 * 3 * 8 + 8)
    + (9 * 8 * 16 + 16)
    + (50176 * 2048 + 2048)
    + (2048 * 512 + 512)
    + (512 * 128 + 128)
    + (128 + 1),
    ("brain_tumor", "as_published"): MOBILENET_V2 + (7 * 7 * 1280 * 2048 + 2048) + (2048 * 128 + 128) + (128 + 1),
    ("chest_xray", "recipe"): RESNET18 + (512 * 3 + 3),
    ("chest_xray", "baseline"): (9 * 3 * 8 + 8) + 4 * 8 + (9 * 8 * 16 + 16) + 4 * 16 + (16 * 3 + 3),
    ("chest_xray", "vit"): VIT_TINY + 4 * 192 + (192 * 3 + 3),
    ("hemorrhage", "recipe"): RESNET50 + (2048 * 512 + 512) + (512 + 1),
    ("oai_knee", "recipe"): (27 * 16 + 16) + (27 * 16 * 32 + 32) + (30 * 30 * 14 * 32 * 64 + 64) + (64 + 1),
    ("oai_knee", "as_published"): 25_819_298,  # of the notebook's own summary
    ("spr_age", "dense"): EFFICIENTNET_B2
    + (1408 * 1000 + 1000 + 4 * 1000)
    + (1000 * 500 + 500 + 4 * 500)
    + (500 * 500 + 500)
    + (500 + 1),
    ("spr_age", "recipe"): EFFICIENTNET_B2 + (1408 * 256 + 256) + (256 * 128 + 128) + (128 + 1),
}


def of(file: str, name: str) -> Recipe:
    return load_recipe(f"{FOLDER / file}.py:{name}").recipe


def test_each_file_of_the_folder_is_known_here() -> None:
    assert {file.stem for file in FOLDER.glob("*.py")} == set(NAMES)


@pytest.mark.parametrize(("file", "name"), ALL)
def test_a_recipe_loads_and_lists_its_settings(file: str, name: str) -> None:
    loaded = load_recipe(f"{FOLDER / file}.py:{name}")
    check_settings(loaded.recipe)
    assert loaded.recipe.data.phantom in PHANTOMS
    for part in ("Command", "Data", "Protocol", "Published", "`as_published`"):
        assert part in loaded.docstring
    told = lines(loaded.recipe)
    assert len(told) == 2 * len(settings_of(loaded.recipe))
    assert not [line for line in told if "a setting of the network" in line], "its meaning stands in no docstring"


@pytest.mark.parametrize(("file", "name"), list(PARAMETERS))
def test_a_network_has_the_parameters_that_its_layers_make(file: str, name: str) -> None:
    with weights.policy(allow_random=True, allow_download=False):
        model = network.build(of(file, name), network.LabelScale())
    assert model.count_params() == PARAMETERS[file, name]
    keras.utils.clear_session()


def test_the_settings_that_the_seeds_name() -> None:
    brain, xray, vit = of("brain_tumor", "cnn"), of("chest_xray", "recipe"), of("chest_xray", "vit")
    assert (brain.train.epochs, brain.train.batch_size, brain.train.learning_rate) == (20, 16, 1e-4)
    assert (brain.split.test, brain.split.validation) == (0.2, 0.1)
    assert (xray.split.test, xray.split.validation) == (0.15, 0.15)
    assert (xray.train.epochs, vit.train.epochs, xray.train.learning_rate) == (30, 10, 1e-3)
    assert brain.image.shape == xray.image.shape == (224, 224, 3)
    head, knee = of("hemorrhage", "recipe"), of("oai_knee", "recipe")
    assert (head.image.shape, head.train.examples, head.train.epochs) == ((180, 180, 1), 20_000, 30)
    assert head.search
    assert head.search.over == {"train.learning_rate": [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]}
    assert [(one.epochs, one.examples, one.keep) for one in head.search.rounds] == [(10, 2000, 3), (30, 2000, 1)]
    assert (knee.image.shape, knee.train.epochs) == ((128, 128, 64, 1), 5)
    assert knee.search
    assert len(list(combinations(knee.search))) == 4


def brain_set(root: Path) -> Path:
    """Write 3,762 empty files and their table, 1,683 of Class 1."""
    images = root / "Brain Tumor" / "Brain Tumor"
    images.mkdir(parents=True)
    names = [f"Image{number}" for number in range(1, 3763)]
    for name in names:
        (images / f"{name}.jpg").touch()
    pd.DataFrame({"Image": names, "Class": [1] * 1683 + [0] * 2079}).to_csv(root / "Brain Tumor.csv", index=False)
    return root


def test_the_stale_folders_of_seed_002_hold_the_published_counts(tmp_path: Path) -> None:
    recipe = of("brain_tumor", "as_published")
    table = recipe.data.index(brain_set(tmp_path))
    assert table["split"].value_counts().to_dict() == {"train": 3755, "test": 2533, "validation": 1531}
    assert table["id"].is_unique
    assert table["path"].nunique() == 3762
    assert (table["label"] == 1).groupby(table["path"]).nunique().eq(1).all()
    table["group"] = table["path"]  # as the audit finds them: the same pixels
    made = divide_index(table.assign(labelled=True, label=table["label"].astype(str)), recipe)
    place = made.splits.assign(image=made.splits["id"].str.rpartition("/")[2]).groupby("split")["image"]
    sides = {name: set(images) for name, images in place}
    assert {name: len(images) for name, images in sides.items()} == {"train": 3755, "test": 2533, "validation": 1531}
    assert len(sides["train"] & sides["test"]) == 2526  # all but the 7 that train lacks
    assert len(sides["train"] | sides["test"]) == 3762


def test_the_sound_brain_recipe_divides_the_whole_set_by_seven_two_and_one(tmp_path: Path) -> None:
    recipe = of("brain_tumor", "recipe")
    table = recipe.data.index(brain_set(tmp_path))
    table = table.assign(labelled=True, label=table["label"].astype(str), group=table["id"])
    count = divide_index(table, recipe).splits["split"].value_counts()
    assert count.sum() == 3762
    assert np.allclose(count[["train", "test", "validation"]], [0.7 * 3762, 0.2 * 3762, 0.1 * 3762], atol=1.5)


def test_seed_003_as_published_doubles_first_and_the_sound_recipe_doubles_training_alone() -> None:
    labels = ["covid"] * 295 + ["normal"] * 468 + ["virus"] * 433
    ids = [f"{number:04}" for number in range(1196)]
    table = pd.DataFrame({"id": ids, "label": labels, "labelled": True, "group": ids})
    published = divide_index(table, of("chest_xray", "as_published")).splits["split"].value_counts()
    assert published.to_dict() == {"train": 1674, "validation": 358, "test": 360}
    made = divide_index(table, of("chest_xray", "recipe"))
    sound = made.splits.assign(copy=made.splits["id"].str.endswith("~mirror"))
    assert made.shared == 0
    assert not sound.loc[sound["split"].isin(["validation", "test"]), "copy"].any()
    train = sound.loc[sound["split"] == "train", "copy"]
    assert train.sum() == (~train).sum()
    assert (~sound["copy"]).sum() == 1196


def test_seed_000_as_published_tests_on_volumes_of_which_half_were_trained_on(tmp_path: Path) -> None:
    for name, count in (("normal", 1659), ("abnormal", 1317)):  # sparse: nothing but the header is written
        np.lib.format.open_memmap(tmp_path / f"{name}-3DESS-128-64.npy", "w+", np.float32, (count, 128, 128, 64))
    recipe = of("oai_knee", "as_published")
    table = recipe.data.index(tmp_path)
    assert table["id"].is_unique
    sides = dict(list(table.groupby("split")))
    for label in ("normal", "abnormal"):
        rows = {side: set(part.loc[part["label"] == label, "row"]) for side, part in sides.items()}
        assert rows == {"train": set(range(500)), "validation": set(range(500, 600)), "test": set(range(200, 800))}
    whole = of("oai_knee", "recipe").data.index(tmp_path)
    assert whole["label"].value_counts().to_dict() == {"normal": 1659, "abnormal": 1317}


@pytest.mark.parametrize(
    ("reference", "shape", "red"),
    [
        ("brain_tumor.py:as_published", (32, 32, 3), "chosen by their loss on the test split itself"),
        ("chest_xray.py:baseline", (32, 32, 3), ""),
        ("oai_knee.py:as_published", (32, 32, 16, 1), "have a twin, patient or copy in training"),
    ],
)
def test_a_recipe_runs(tmp_path: Path, reference: str, shape: tuple[int, ...], red: str) -> None:
    size = f"image.size={shape[:-1]}"
    typed = [sys.executable, "-m", "keras_med.run", str(FOLDER / reference), "--smoke", "--set", size]
    ended = subprocess.run(
        typed, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "SMOKE RUN" in ended.stdout
    assert ("RED: " in ended.stdout) == bool(red)
    assert red in ended.stdout
    (folder,) = (tmp_path / "runs").glob("*/latest")
    run = load_run(folder)
    assert set(run.metrics["split"]) == {"test", "validation"}
    assert run.model().input_shape == (None, *shape)
