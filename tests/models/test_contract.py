"""What holds for every builder: image to features, saved and read again, frozen where it says so."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_med.models
from keras_med.errors import RecipeError
from keras_med.models import weights
from keras_med.models.calibration import calibrate
from keras_med.training.frozen import split_frozen

SIZES = {"conv3d": (12, 12, 10)}
SETTINGS = {"vit": {"size": "tiny"}, "mobilenet_v2": {"alpha": 0.35}}
FEATURES = {"conv3d": 64, "efficientnet_b2": 1408, "mobilenet_v2": 1280, "resnet18": 512, "resnet50": 2048, "vit": 192}
BACKBONES = [name for name in FEATURES if name != "conv3d"]


def build(name: str, channels: int = 3, side: int = 32, **settings) -> keras.Model:
    image = keras.Input((*SIZES.get(name, (side, side)), channels))
    features = getattr(keras_med.models, name)(image, **SETTINGS.get(name, {}) | settings)
    return keras.Model(image, features)


def run(model: keras.Model, training: bool = False) -> np.ndarray:
    """Run a network without tracing it first."""
    return keras.ops.convert_to_numpy(model(pixels(model), training=training))


def pixels(model: keras.Model, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 255, (count, *model.input_shape[1:])).astype("float32")


def with_head(model: keras.Model) -> keras.Model:
    whole = keras.Model(model.inputs, keras.layers.Dense(1, name="head")(model.outputs[0]))
    whole.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse", run_eagerly=True)
    return whole


@pytest.fixture(params=FEATURES)
def name(request) -> str:
    return request.param


@pytest.mark.usefixtures("random_weights")
def test_an_image_becomes_features_and_the_saved_network_gives_the_same(name, tmp_path):
    model = build(name)
    features = run(model)
    assert features.shape == (2, FEATURES[name])
    assert np.isfinite(features).all()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(run(again), features)


@pytest.mark.usefixtures("random_weights")
def test_a_grey_image_gives_what_its_three_equal_channels_give(name):
    if name == "conv3d":
        pytest.skip("a volume of three channels is another network")
    grey, colour = build(name, channels=1), build(name, channels=3)
    image = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 1)).astype("float32")
    expected = keras.ops.convert_to_numpy(colour(np.repeat(image, 3, axis=-1), training=False))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(grey(image, training=False)), expected)


@pytest.mark.usefixtures("random_weights")
def test_no_layer_of_the_graph_is_a_model_of_its_own(name):
    assert not [layer.name for layer in build(name).layers if isinstance(layer, keras.Model)]


@pytest.mark.usefixtures("random_weights")
def test_the_precision_of_the_run_is_obeyed(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(name)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output.dtype == "bfloat16"
    assert {weight.dtype for weight in model.weights} <= {"float32", "int32", "int64"}
    assert model.compute_output_shape((2, *model.input_shape[1:])) == (2, FEATURES[name])


def test_the_first_convolution_of_a_volume_stays_in_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build("conv3d")
    finally:
        keras.config.set_dtype_policy("float32")
    widths = [layer.compute_dtype for layer in model.layers if isinstance(layer, keras.layers.Conv3D)]
    assert widths == ["float32", "bfloat16"]


@pytest.mark.usefixtures("random_weights")
@pytest.mark.parametrize("name", BACKBONES)
def test_frozen_means_the_same_in_training_and_unchanged_by_it(name):
    model = build(name)
    calibrate(model, pixels(model, 4))
    assert not model.trainable_variables
    before = [weight.copy() for weight in model.get_weights()]
    np.testing.assert_array_equal(run(model, training=True), run(model))
    with_head(model).fit(pixels(model), np.ones((2, 1)), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.usefixtures("random_weights")
@pytest.mark.parametrize("name", BACKBONES)
def test_the_frozen_prefix_reaches_the_features(name):
    model = build(name)
    prefix, rest = split_frozen(with_head(model))
    assert prefix.output_shape == (None, FEATURES[name])
    assert [layer.name for layer in rest.layers[1:]] == ["head"]


@pytest.mark.usefixtures("random_weights")
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_random_frozen_weights_do_not_depend_on_the_seed_of_the_fit(name):
    kernels = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        kernels.append(build(name).get_weights())
    for one, other in zip(*kernels, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "count"),
    [("resnet50", 23_587_712), ("efficientnet_b2", 7_768_569), ("mobilenet_v2", 2_257_984), ("vit", 85_798_656)],
)
@pytest.mark.usefixtures("random_weights")
def test_parameters_are_as_many_as_published(name, count):
    full = {"vit": {"size": "base", "pretrained": False}, "mobilenet_v2": {"alpha": 1.0}}
    assert build(name, side=224, **full.get(name, {})).count_params() == count


@pytest.mark.usefixtures("random_weights")
def test_resnet18_has_as_many_trainable_parameters_as_published():
    model = build("resnet18", frozen=False)
    assert sum(weight.numpy().size for weight in model.trainable_weights) == 11_176_512


def test_conv3d_with_two_classes_is_the_network_of_the_knee_notebook():
    image = keras.Input((128, 128, 64, 1))
    output = keras.layers.Dense(2, activation="softmax")(keras_med.models.conv3d(image))
    assert keras.Model(image, output).count_params() == 25_819_298


@pytest.mark.usefixtures("random_weights")
def test_from_a_named_layer_on_the_backbone_is_trained():
    whole = with_head(build("resnet18", frozen="until:layer4_1_conv1"))
    before = {layer.name: layer.get_weights() for layer in whole.layers}
    whole.fit(pixels(whole), np.ones((2, 1)), verbose=0)
    kernels = ("conv1", "layer3_1_conv2", "layer4_0_conv2", "layer4_1_conv1", "layer4_1_conv2", "head")
    changed = [name for name in kernels if not np.array_equal(before[name][0], whole.get_layer(name).get_weights()[0])]
    assert changed == ["layer4_1_conv1", "layer4_1_conv2", "head"]
    np.testing.assert_array_equal(before["bn1"][2], whole.get_layer("bn1").get_weights()[2])


@pytest.mark.usefixtures("random_weights")
def test_dropout_after_the_frozen_part_stays_live():
    model = build("efficientnet_b2", frozen="until:block6a_expand_conv")
    rates = {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)}
    assert {rate for name, rate in rates.items() if name < "block6"} == {0.0}
    assert all(rate > 0 for name, rate in rates.items() if name >= "block6")


def _statistics(model: keras.Model) -> list[np.ndarray]:
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return [array for layer in layers for array in layer.get_weights()[2:]]


@pytest.mark.parametrize("source", ["file", "random"])
def test_statistics_of_loaded_weights_are_held_in_fine_tuning_and_random_ones_are_learned(
    source, tmp_path, write_legacy_h5
):
    with weights.policy(allow_random=True, allow_download=False):
        donor = build("mobilenet_v2")
        calibrate(donor, pixels(donor, 4))
        write_legacy_h5(tmp_path / "weights.h5", [layer for layer in donor.layers if layer.weights])
    with weights.policy(tmp_path / "weights.h5" if source == "file" else None, allow_random=True, allow_download=False):
        whole = with_head(build("mobilenet_v2", frozen=False))
    kernel = whole.get_layer("Conv1").get_weights()[0]
    before = _statistics(whole)
    whole.fit(pixels(whole), np.ones((2, 1)), verbose=0)
    assert not np.array_equal(kernel, whole.get_layer("Conv1").get_weights()[0])
    same = [np.array_equal(old, new) for old, new in zip(before, _statistics(whole), strict=True)]
    assert all(same) if source == "file" else not any(same)


@pytest.mark.usefixtures("random_weights")
def test_batch_normalisation_is_synchronized_where_it_is_trained():
    model = build("resnet18", frozen="until:layer4_0_conv1")
    layers = {each.name: each for each in model.layers if isinstance(each, keras.layers.BatchNormalization)}
    assert {name: layer.synchronized for name, layer in layers.items()} == {
        name: name.startswith("layer4") for name in layers
    }


@pytest.mark.usefixtures("random_weights")
@pytest.mark.parametrize(
    ("name", "settings", "channels", "part"),
    [
        ("resnet50", {}, 4, "1 or 3 channels"),
        ("resnet18", {"frozen": "until:layer9"}, 3, "'until:LAYER'"),
        ("resnet18", {"frozen": "layer4_0_conv1"}, 3, "'until:LAYER'"),
        ("resnet18", {"pooling": "mean"}, 3, "'average', 'maximum' or 'none'"),
        ("mobilenet_v2", {"alpha": 0.4}, 3, "alpha 0.4"),
        ("vit", {"side": 40}, 3, "patches of 16x16"),
        ("vit", {"size": "huge"}, 3, "tiny, small, base"),
        ("conv3d", {"filters": (8, 8, 8)}, 1, "at least 22x22x22"),
    ],
)
def test_a_wrong_setting_is_told_with_what_is_right(name, settings, channels, part):
    with pytest.raises(RecipeError) as caught:
        build(name, channels, **settings)
    assert part in str(caught.value)


@pytest.mark.usefixtures("random_weights")
def test_without_pooling_the_last_maps_come_back():
    assert build("mobilenet_v2", side=64, pooling="none").output_shape == (None, 2, 2, 1280)


def _in_a_new_process(code: str, backend: str = "tensorflow") -> str:
    environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_builders_are_imported_without_keras_and_stay_functions():
    code = (
        "import sys; from keras_med.models import resnet18, vit; assert 'keras' not in sys.modules; "
        "import keras; from keras_med.models import weights, builders\n"
        "with weights.policy(allow_random=True, allow_download=False): resnet18(keras.Input((32, 32, 3)))\n"
        "import keras_med.models; print(keras_med.models.resnet18 is resnet18)"
    )
    assert _in_a_new_process(code).strip() == "True"


def _without_drawing(model: keras.Model) -> None:
    """Let the network start from zeros when it is read: JAX compiles the drawing of each shape, for a minute."""
    for layer in model.layers:
        for part in ("kernel", "depthwise", "embeddings"):
            if hasattr(layer, f"{part}_initializer"):
                setattr(layer, f"{part}_initializer", keras.initializers.Zeros())


@pytest.mark.usefixtures("random_weights")
def test_two_backends_agree(tmp_path: Path):
    expected = {}
    for name in FEATURES:
        model = build(name, side=64)
        if name in ("efficientnet_b2", "mobilenet_v2"):  # which otherwise let next to nothing pass
            calibrate(model, pixels(model, 8))
        expected[name] = run(model)
        _without_drawing(model)
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", pixels(model))
    _in_a_new_process(
        "import pathlib, keras, numpy as np\n"
        f"for path in pathlib.Path({str(tmp_path)!r}).glob('*.keras'):\n"
        "    model = keras.models.load_model(path)\n"
        "    features = model.predict(np.load(path.with_suffix('.npy')), verbose=0)\n"
        "    np.savez(path.with_suffix('.npz'), features)",
        backend="jax",
    )
    for name, features in expected.items():
        other = np.load(tmp_path / f"{name}.npz")["arr_0"]
        assert np.abs(features[0] - features[1]).max() > 0.1, f"{name}: garbage agrees with everything"
        assert (np.abs(other - features) <= 1e-4 * np.maximum(1, np.abs(features))).all(), name
