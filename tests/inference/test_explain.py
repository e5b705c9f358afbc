"""Heat lies where the evidence was planted, for every kind of network here, and not where weights are shuffled."""

import keras
import numpy as np
import pytest

import keras_med.models
from keras_med.errors import DataError
from keras_med.inference.explain import Explainer, last_map
from keras_med.inference.explanations import agreement, similarity
from keras_med.models import ensemble
from keras_med.models.mirroring import both_ways

SIDE, SQUARE = 32, 8


def planted(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return noise, half of it with a chequered square of the same mean and spread, labels, and where the square lies.

    Pooling damps the fine chequers whatever the weights, so heat of shuffled weights lies below 1 there, not at 1.
    """
    draw = np.random.default_rng(seed)
    images = draw.normal(128, 30, (count, SIDE, SIDE, 1)).astype(np.float32)
    labels = (np.arange(count) % 2).astype(np.float32)
    inside = np.zeros(images.shape[:-1], bool)
    chequered = 128 + 30 * (2 * (np.indices((SQUARE, SQUARE)).sum(axis=0) % 2) - 1)
    for number in np.flatnonzero(labels):
        row, column = draw.integers(0, SIDE - SQUARE, 2)
        place = (number, slice(row, row + SQUARE), slice(column, column + SQUARE))
        images[place] = chequered[..., None]
        inside[place] = True
    return images, labels, inside


def ratio(heat: np.ndarray, inside: np.ndarray) -> float:
    return float(heat[inside].mean() / heat[~inside].mean())


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((SIDE, SIDE, 1))
    maps = keras.layers.Rescaling(1 / 30, offset=-128 / 30)(image)
    maps = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(maps)
    maps = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(keras.layers.AveragePooling2D(2)(maps))
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    network = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(pooled))
    network.compile(optimizer=keras.optimizers.Adam(0.02), loss="binary_crossentropy")
    images, labels, _ = planted(256, seed=0)
    network.fit(images, labels, batch_size=32, epochs=15, verbose=0)
    return network


def test_heat_and_occlusion_find_the_planted_square_and_shuffled_weights_do_not(trained: keras.Model) -> None:
    images, labels, inside = planted(64, seed=9)
    answers = trained.predict(images, verbose=0)[:, 0]
    assert ((answers > 0.5) == labels).mean() > 0.9  # the network must have learned, or heat shows nothing
    images, inside = images[1::2], inside[1::2]
    explainer = Explainer(trained)
    assert ratio(explainer.heat(images), inside) >= 3
    assert ratio(explainer.occlusion(images[0], side=8), inside[0]) >= 3
    anything, ratios = Explainer(trained, signed=False), list[float]()
    before = anything.heat(images)
    for seed in range(12):
        with anything.shuffled(seed):
            ratios.append(ratio(anything.heat(images), inside))
    assert np.median(ratios) < 1.5
    np.testing.assert_array_equal(anything.heat(images), before)


def test_after_average_pooling_heat_is_worked_out_by_hand() -> None:
    image = keras.Input((2, 2, 1))
    maps = keras.layers.Conv2D(2, 1, use_bias=False)(image)
    outputs = keras.layers.Dense(1, use_bias=False)(keras.layers.GlobalAveragePooling2D()(maps))
    network = keras.Model(image, outputs)
    # features x and -x, weights 3 and 1: each pixel adds (3x - x) / 4 to the score
    network.set_weights([np.array([1.0, -1.0]).reshape(1, 1, 1, 2), np.array([[3.0], [1.0]])])
    pixels = np.array([[4.0, 0.0], [-2.0, 8.0]]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(Explainer(network).heat(pixels)[0], [[2, 0], [0, 4]], atol=1e-6)
    np.testing.assert_allclose(Explainer(network, signed=False).heat(pixels)[0], [[2, 0], [1, 4]], atol=1e-6)
    explainer = Explainer(network)
    # The picture's mean is 2.5, so covering a pixel lowers the score by (x - 2.5) / 2, or not at all: 0.75, 0, 0, 2.75.
    assert agreement(explainer, pixels[0], explainer.heat(pixels)[0], side=1) == pytest.approx(1)
    assert agreement(explainer, pixels[0], -explainer.heat(pixels)[0], side=1) == pytest.approx(-1)
    assert agreement(explainer, pixels[0], np.ones((2, 2)), side=1) is None


def test_a_transformer_s_heat_comes_from_all_its_patches() -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 48, 1))
    features = keras_med.models.vit(image, size="tiny", pretrained=False, frozen=False)
    network = keras.Model(image, keras.layers.Dense(1)(features))
    assert last_map(network)[1] == (2, 3)
    heat = Explainer(network, signed=False).heat(np.random.default_rng(0).uniform(0, 255, (1, 32, 48, 1)))
    assert heat.shape == (1, 32, 48)
    assert (heat > 0).mean() > 0.99  # gradients after the last attention would be zero at every patch


def test_a_volume_has_heat_in_its_own_shape_where_the_features_are_flattened() -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 14, 10, 1))
    network = keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras_med.models.conv3d(image)))
    volumes = np.random.default_rng(0).uniform(0, 255, (2, 12, 14, 10, 1))
    heat = Explainer(network, signed=False).heat(volumes, 2)
    assert heat.shape == (2, 12, 14, 10)
    assert np.isfinite(heat).all()
    assert heat.max() > 0


def test_heat_of_a_mirrored_network_is_that_of_both_sides_where_they_lie() -> None:
    image = keras.Input((2, 2, 1))
    maps = keras.layers.Conv2D(1, 1, use_bias=False)(image)
    features = both_ways(image, keras.layers.Flatten()(maps))
    network = keras.Model(image, keras.layers.Dense(1, use_bias=False)(features))
    # only the left column counts, of the picture and of its mirror image: the mean of both columns
    network.set_weights([np.ones((1, 1, 1, 1)), np.array([[2.0], [0.0], [4.0], [0.0]])])
    pixels = np.array([[1.0, 3.0], [5.0, 7.0]]).reshape(1, 2, 2, 1)
    np.testing.assert_allclose(network(pixels), [[1 * 1 + 1 * 3 + 2 * 5 + 2 * 7]])
    np.testing.assert_allclose(Explainer(network).heat(pixels)[0], [[1, 3], [10, 14]], atol=1e-6)


def test_heat_of_an_ensemble_is_the_mean_of_its_members() -> None:
    pixels = np.array([[4.0, 0.0], [-2.0, 8.0]]).reshape(1, 2, 2, 1)
    networks = {}
    for name, weight in (("fold0", 8.0), ("fold1", 2.0)):  # 2 and 0.5 of each pixel
        image = keras.Input((2, 2, 1))
        pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(1, 1, use_bias=False)(image))
        networks[name] = keras.Model(image, keras.layers.Dense(1, use_bias=False)(pooled))
        networks[name].set_weights([np.ones((1, 1, 1, 1)), np.array([[weight]])])
    image = keras.Input((2, 2, 1))
    network = keras.Model(image, ensemble.joined(image, networks, None, "predicted"))
    np.testing.assert_allclose(Explainer(network).heat(pixels)[0], [[5, 0], [0, 10]], atol=1e-6)


def test_what_cannot_be_shown_is_said_in_a_sentence() -> None:
    image = keras.Input((4, 4, 1))
    maps = keras.layers.Conv2D(2, 3)(image)
    network = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))
    with pytest.raises(DataError, match="keeps the image's places"):
        Explainer(network)
    explainer = Explainer(keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(maps))))
    with pytest.raises(DataError, match="no output 2; it has 2"):
        explainer.heat(np.zeros((1, 4, 4, 1)), 2)


def test_the_likeness_of_two_networks_heat_is_a_rank_correlation() -> None:
    draw = np.random.default_rng(0)
    heat = draw.uniform(0, 1, (3, 8, 8))
    assert similarity(heat, heat**3) == pytest.approx(1)
    assert similarity(heat, -heat) == pytest.approx(-1)
    assert similarity(heat, np.zeros_like(heat)) is None
    assert similarity(heat, np.full_like(heat, np.nan)) is None


def test_shuffled_weights_are_those_of_the_last_layer_too() -> None:
    image = keras.Input((2, 2, 1))
    maps = keras.layers.Conv2D(1, 1, use_bias=False)(image)
    network = keras.Model(
        image, keras.layers.Dense(1, use_bias=False, activation="sigmoid")(keras.layers.Flatten()(maps))
    )
    network.set_weights([np.ones((1, 1, 1, 1)), np.array([[1.0], [2.0], [3.0], [4.0]])])
    explainer = Explainer(network)
    with explainer.shuffled(seed=2):
        heat = explainer.heat(np.ones((1, 2, 2, 1)))[0]
    assert sorted(heat.ravel()) == [1, 2, 3, 4]
    assert heat.ravel().tolist() != [1, 2, 3, 4]
