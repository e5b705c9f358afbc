"""Splitting a network at the end of what training cannot change."""

import keras
import numpy as np
import pytest

from keras_med.training.frozen import graph_hash, split_frozen


def _dense(*, frozen: bool) -> keras.layers.Dense:
    return keras.layers.Dense(4, activation="relu", trainable=not frozen)


def _chain(*layers: keras.layers.Layer) -> keras.Model:
    start = keras.Input((3,))
    end = start
    for layer in layers:
        end = layer(end)
    return keras.Model(start, end)


def _rows(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 3)).astype("float32")


def _names(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Dropout(0.5),
        keras.layers.GaussianNoise(0.1),
        keras.layers.RandomFlip(),
        keras.layers.BatchNormalization(),
        keras.layers.BatchNormalization(scale=False, center=False),
        keras.layers.Dense(4),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_random_or_trained_layer_ends_the_prefix(layer):
    if isinstance(layer, keras.layers.RandomFlip):
        start = keras.Input((4, 4, 1))
        kernel = keras.layers.Conv2D(2, 1, trainable=False)
        model = keras.Model(start, keras.layers.Dense(1)(keras.layers.Flatten()(layer(kernel(start)))))
    else:
        kernel = _dense(frozen=True)
        model = _chain(kernel, layer, _dense(frozen=True), keras.layers.Dense(1))
    prefix, _ = split_frozen(model)
    assert _names(prefix) == [kernel.name]


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Rescaling(2.0),
        keras.layers.Normalization(),
        keras.layers.BatchNormalization(trainable=False),
        keras.layers.Activation("relu"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_frozen_or_weightless_layer_belongs_to_the_prefix(layer):
    kernel = _dense(frozen=True)
    prefix, rest = split_frozen(_chain(kernel, layer, keras.layers.Dense(1)))
    assert _names(prefix) == [kernel.name, layer.name]
    assert len(_names(rest)) == 1


def test_a_dropout_whose_rate_was_set_to_zero_does_not_end_the_prefix():
    dropout = keras.layers.Dropout(0.5)
    model = _chain(_dense(frozen=True), dropout, keras.layers.Dense(1))
    dropout.rate = 0.0
    prefix, _ = split_frozen(model)
    assert dropout.name in _names(prefix)


def test_the_parts_together_give_exactly_what_the_whole_gives():
    model = _chain(_dense(frozen=True), keras.layers.Dropout(0.5), _dense(frozen=False), keras.layers.Dense(1))
    prefix, rest = split_frozen(model)
    together = rest.predict(prefix.predict(_rows(), verbose=0), verbose=0)
    np.testing.assert_array_equal(together, model.predict(_rows(), verbose=0))


def test_training_the_rest_trains_the_whole():
    model = _chain(_dense(frozen=True), keras.layers.Dense(1))
    before = [weight.copy() for weight in model.get_weights()]
    prefix, rest = split_frozen(model)
    features = prefix.predict(_rows(), verbose=0)
    rest.compile(optimizer="sgd", loss="mse")
    rest.fit(features, np.ones((5, 1)), verbose=0)
    after = model.get_weights()
    assert [np.array_equal(old, new) for old, new in zip(before, after, strict=True)] == [True, True, False, False]
    np.testing.assert_array_equal(rest.predict(features, verbose=0), model.predict(_rows(), verbose=0))


def test_a_cut_lies_where_branches_have_come_together():
    start = keras.Input((3,))
    left, right = _dense(frozen=True)(start), _dense(frozen=True)(start)
    joined = keras.layers.Concatenate(name="joined")([left, right])
    beside = keras.layers.Concatenate()([_dense(frozen=True)(joined), _dense(frozen=False)(joined)])
    prefix, _ = split_frozen(keras.Model(start, keras.layers.Dense(1)(beside)))
    assert _names(prefix)[-1] == "joined"


def test_a_path_around_the_frozen_part_leaves_no_cut():
    start = keras.Input((3,))
    around = keras.layers.Concatenate()([_dense(frozen=True)(start), start])
    model = keras.Model(start, keras.layers.Dense(1)(around))
    prefix, _ = split_frozen(model)
    assert len(_names(prefix)) == 2, "the concatenation is the first tensor that everything passes"
    beside = keras.layers.Concatenate()([_dense(frozen=True)(start), _dense(frozen=False)(start)])
    assert split_frozen(keras.Model(start, keras.layers.Dense(1)(beside))) is None


def test_a_frozen_model_nested_in_another_is_one_step():
    inner = _chain(_dense(frozen=True), keras.layers.Dense(2))
    inner.trainable = False
    prefix, _ = split_frozen(_chain(inner, keras.layers.Dense(1)))
    assert _names(prefix) == [inner.name]


def test_a_nested_model_with_live_dropout_is_not_frozen():
    inner = _chain(_dense(frozen=True), keras.layers.Dropout(0.5))
    inner.trainable = False
    assert split_frozen(_chain(inner, keras.layers.Dense(1))) is None


def test_operations_of_keras_ops_count_as_weightless():
    start = keras.Input((3,))
    features = keras.ops.relu(_dense(frozen=True)(start) * 2.0)
    model = keras.Model(start, keras.layers.Dense(1)(features))
    prefix, rest = split_frozen(model)
    assert len(_names(rest)) == 1
    together = rest.predict(prefix.predict(_rows(), verbose=0), verbose=0)
    np.testing.assert_array_equal(together, model.predict(_rows(), verbose=0))


@pytest.mark.parametrize(
    "layers",
    [
        [keras.layers.Rescaling(2.0), keras.layers.Dense(1)],
        [keras.layers.Normalization(), keras.layers.Dense(1)],
        [keras.layers.Dense(4), keras.layers.Dense(1, trainable=False)],
        [keras.layers.Dense(4, trainable=False), keras.layers.Dense(1, trainable=False)],
    ],
    ids=["weightless", "only normalised", "trained first", "all frozen"],
)
def test_without_frozen_weights_before_trained_ones_there_is_no_split(layers):
    assert split_frozen(_chain(*layers)) is None


def test_the_hash_does_not_depend_on_what_was_built_before():
    def build() -> keras.Model:
        return _chain(keras.layers.Rescaling(2.0), keras.layers.Dense(4, kernel_initializer="ones"))

    assert graph_hash(build()) == graph_hash(build())


def test_the_hash_changes_with_a_weight_a_setting_and_a_connection():
    def build(scale: float = 2.0, kernel: str = "ones", swapped: bool = False) -> keras.Model:
        start = keras.Input((3,))
        scaled = keras.layers.Rescaling(scale)(start)
        order = [start, scaled] if swapped else [scaled, start]
        return keras.Model(start, keras.layers.Dense(2, kernel_initializer=kernel)(keras.layers.Concatenate()(order)))

    hashes = {graph_hash(model) for model in (build(), build(3.0), build(kernel="zeros"), build(swapped=True))}
    assert len(hashes) == 4


def test_the_hash_changes_with_the_precision():
    def build(precision: str) -> keras.Model:
        return _chain(keras.layers.Dense(2, kernel_initializer="ones", dtype=precision))

    assert graph_hash(build("float32")) != graph_hash(build("mixed_bfloat16"))


def test_the_hash_changes_with_a_constant_of_an_operation():
    def build(factor: float) -> keras.Model:
        start = keras.Input((3,))
        return keras.Model(start, start * factor)

    assert graph_hash(build(2.0)) != graph_hash(build(3.0))
    assert graph_hash(build(2.0)) == graph_hash(build(2.0))
