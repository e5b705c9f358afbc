"""Several networks as one: the mean of what they say and what each says, worked out by hand."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_med.export.network import before_last_activation, load_network
from keras_med.models import ensemble, graph

PIXELS = np.array([[1.0], [-1.0], [40.0], [0.0]], np.float32)


def says(*factors: float, shift: float = 0.0) -> keras.Model:
    """Return a network whose outputs are its one pixel times each factor."""
    pixel = keras.Input((1,))
    dense = keras.layers.Dense(len(factors), name="logits")
    network = keras.Model(pixel, dense(pixel))
    dense.set_weights([np.array([factors], np.float32), np.full(len(factors), shift, np.float32)])
    return network


def whole(networks: list[keras.Model], activation: str | None) -> keras.Model:
    pixel = keras.Input((1,), name="image")
    named = {f"fold{number}": network for number, network in enumerate(networks)}
    return keras.Model(pixel, ensemble.joined(pixel, named, activation, "mean"))


def test_the_mean_of_two_probabilities_and_its_logit(tmp_path: Path) -> None:
    whole([says(np.log(3.0)), says(np.log(9.0))], "sigmoid").save(tmp_path / "model.keras")
    network = load_network(tmp_path / "model.keras")
    # odds of 3 and 9 are probabilities of 3/4 and 9/10; of -1 pixel 1/4 and 1/10; of none one half
    p = network.predict_on_batch(PIXELS)[:, 0]
    np.testing.assert_allclose(p, [0.825, 0.175, 1.0, 0.5], rtol=1e-6)
    said = ensemble.each(network)
    assert said is not None
    np.testing.assert_allclose(said.predict_on_batch(PIXELS)[:2], [[0.75, 0.9], [0.25, 0.1]], rtol=1e-6)
    logits = before_last_activation(network)
    assert logits is not None
    # at 40 pixels the mean chance of the other class is (3^-40 + 9^-40) / 2, which no float32 of p can hold
    wanted = [np.log(0.825 / 0.175), -np.log(0.825 / 0.175), 40 * np.log(3.0) + np.log(2.0), 0.0]
    np.testing.assert_allclose(logits.predict_on_batch(PIXELS)[:, 0], wanted, rtol=1e-5, atol=1e-6)


def test_the_mean_of_several_classes_is_one_of_probabilities() -> None:
    log = [np.log(one) for one in (2.0, 5.0, 3.0)]
    network = whole([says(*log), says(0.0, 0.0, 0.0)], "softmax")
    thirds = np.array([0.2, 0.5, 0.3]) / 2 + 1 / 6
    np.testing.assert_allclose(network.predict_on_batch(PIXELS)[0], thirds, rtol=1e-6)
    first, second = ensemble.members(network)
    np.testing.assert_allclose(first.predict_on_batch(PIXELS)[0], [0.2, 0.5, 0.3], rtol=1e-6)
    np.testing.assert_allclose(second.predict_on_batch(PIXELS)[2], [1 / 3] * 3, rtol=1e-6)


def test_the_mean_of_numbers() -> None:
    network = whole([says(2.0, shift=50.0), says(-1.0, shift=62.0), says(5.0, shift=53.0)], None)
    assert network.predict_on_batch(PIXELS)[:, 0] == pytest.approx([57.0, 53.0, 135.0, 55.0])
    assert [float(one.predict_on_batch(PIXELS)[0, 0]) for one in ensemble.members(network)] == [52.0, 61.0, 58.0]


def test_what_the_members_share_is_there_once_and_no_two_layers_have_one_name() -> None:
    image = keras.Input((4, 4, 1))
    maps = keras.layers.Conv2D(3, 3, trainable=False)(image)
    features = keras.layers.GlobalAveragePooling2D()(maps - keras.ops.max(maps))
    heads = [says(1.0), says(2.0)]
    both = keras.layers.Concatenate(name="concatenate")([features, features])
    pooled = keras.layers.Activation("relu", name="activation")(keras.layers.Dense(1)(both))
    keras.utils.clear_session()  # as in a process of its own, where the first layer of a kind has the plain name
    network = keras.Model(image, ensemble.joined(pooled, {"a": heads[0], "b": heads[1]}, "sigmoid", "mean"))
    names = [step.operation.name for step in graph.steps(network)]
    assert len(names) == len(set(names))
    assert [type(layer).__name__ for layer in network.layers].count("Conv2D") == 1
    assert {"a_logits", "b_logits"} <= set(names)
    assert ensemble.each(network) is not None


def test_a_single_network_has_no_members() -> None:
    assert ensemble.members(says(1.0)) == []
    assert ensemble.each(says(1.0)) is None
