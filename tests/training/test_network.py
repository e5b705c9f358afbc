"""What stands behind the features: heads, losses, schedules, label scales, and which outputs are refused."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_med import Binary, Classes, Data, Holdout, Image, Model, Recipe, Regression, Train
from keras_med.errors import RecipeError
from keras_med.training import adam, losses, network
from keras_med.training.frozen import split_frozen
from keras_med.training.network import LabelScale

TARGETS = [Binary(), Classes(names=("a", "b", "c")), Regression(unit="years")]
WIDTHS = [1, 3, 1]


def index(root: Path) -> Any:
    return None


def pooled(image: Any) -> Any:
    return keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))


def recipe_of(target: object, layers: Any = pooled, *, head: bool = True, **train: object) -> Recipe:
    return Recipe(
        target=target,  # type: ignore[arg-type]
        data=Data(index),
        image=Image(size=(8, 8)),
        split=Holdout(),
        model=Model(layers, head=head),
        train=Train(**train),  # type: ignore[arg-type]
    )


def images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 8, 8, 1)).astype(np.float32)


def zeroed(model: keras.Model) -> keras.Model:
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize(("target", "width"), list(zip(TARGETS, WIDTHS, strict=True)), ids=lambda x: type(x).__name__)
def test_a_head_gives_what_the_target_needs(target: object, width: int) -> None:
    recipe = recipe_of(target)
    model = network.build(recipe, LabelScale(50, 10))
    assert model.output_shape == (None, width)
    assert network.output_width(recipe) == width
    assert np.asarray(model(images())).dtype == np.float32


def test_probabilities_are_sigmoid_and_softmax_of_the_logits() -> None:
    for target in TARGETS[:2]:
        model = network.build(recipe_of(target), LabelScale())
        logits = network.trained_on(model).predict(images(), verbose=0).astype(float)
        found = np.asarray(model(images()))
        if isinstance(target, Binary):
            np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), rtol=1e-5)
        else:
            powers = np.exp(logits)
            np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)
            np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_training_and_the_whole_model_share_their_weights() -> None:
    model = network.build(recipe_of(Binary()), LabelScale())
    trained = network.trained_on(model)
    before = np.asarray(model(images()))
    trained.set_weights([weight + 0.5 for weight in trained.get_weights()])
    assert np.abs(np.asarray(model(images())) - before).max() > 1e-3


def test_a_regression_head_starts_at_the_mean_and_steps_in_deviations() -> None:
    model = zeroed(network.build(recipe_of(Regression()), LabelScale(52.5, 17)))
    np.testing.assert_allclose(np.asarray(model(images())), 52.5)
    model.get_layer(network.STANDARDISED).bias.assign([2.0])
    np.testing.assert_allclose(np.asarray(model(images())), 52.5 + 2 * 17)
    same = network.trained_on(model)  # the loss is in the label's own unit
    assert same is not model
    assert same.outputs[0] is model.outputs[0]


@pytest.mark.parametrize(
    ("target", "labels", "chance"),
    [
        (Binary(), np.array([[0], [1], [1], [0], [1]], np.float32), math.log(2)),
        (Classes(names=("a", "b", "c")), np.array([0, 1, 2, 2, 1], np.int32), math.log(3)),
        (Regression(), np.array([[10], [20], [30], [40], [50]], np.float32), 200.0),  # the variance
    ],
    ids=["binary", "classes", "regression"],
)
def test_a_network_that_knows_nothing_has_the_loss_of_chance(target: object, labels: np.ndarray, chance: float) -> None:
    recipe = recipe_of(target)
    model = zeroed(network.build(recipe, LabelScale(30, math.sqrt(200))))
    trained = network.trained_on(model)
    trained.compile(network.optimizer_for(recipe, 1), loss=losses.loss_for(recipe), jit_compile=False)
    assert trained.evaluate(images(), labels, verbose=0) == pytest.approx(chance, rel=1e-6)


def test_the_loss_sees_logits_and_stays_exact_far_out() -> None:
    far = np.array([[-200.0], [200.0]], np.float32)
    loss = losses.loss_for(recipe_of(Binary()))
    assert float(loss(np.array([[1.0], [0.0]], np.float32), far)) == pytest.approx(200, rel=1e-6)
    classes = losses.loss_for(recipe_of(Classes(names=("a", "b"))))
    assert float(classes(np.array([1, 0]), np.array([[150.0, 0], [0, 150]], np.float32))) == pytest.approx(
        150, rel=1e-6
    )


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("auto", (1 + 16) / 2),
        ("mean_squared_error", (1 + 16) / 2),
        ("mean_absolute_error", (1 + 4) / 2),
        ("huber", (0.5 + 3.5) / 2),  # 1: half of its square; 4: 4 - 0.5
    ],
)
def test_a_named_loss_of_a_number_is_the_one_of_the_books(loss: str, expected: float) -> None:
    made = losses.loss_for(recipe_of(Regression(), loss=loss))
    assert float(made(np.array([[1.0], [2.0]]), np.array([[2.0], [6.0]]))) == pytest.approx(expected)


SCORES = np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]], np.float32)
NUMBERS = np.array([0, 2], np.int32)


def shares() -> np.ndarray:
    powers = np.exp(SCORES.astype(float))
    return powers / powers.sum(axis=1, keepdims=True)


def test_focal_losses_weigh_by_the_square_of_what_is_missing() -> None:
    p = shares()[[0, 1], NUMBERS]
    made = losses.loss_for(recipe_of(TARGETS[1], loss="focal"))
    assert float(made(NUMBERS, SCORES)) == pytest.approx(np.mean(-((1 - p) ** 2) * np.log(p)), rel=1e-5)
    binary = losses.loss_for(recipe_of(Binary(), loss="focal"))
    p = np.array([1 / (1 + math.exp(-1.5)), 1 - 1 / (1 + math.exp(-0.5))])  # of being right
    found = float(binary(np.array([[1.0], [0.0]], np.float32), np.array([[1.5], [0.5]], np.float32)))
    assert found == pytest.approx(np.mean(-((1 - p) ** 2) * np.log(p)), rel=1e-5)


def test_smoothed_labels_are_spread_over_all_classes() -> None:
    smooth = np.full((2, 3), 0.3 / 3)
    smooth[[0, 1], NUMBERS] += 0.7
    recipe = recipe_of(TARGETS[1], label_smoothing=0.3)
    assert float(losses.loss_for(recipe)(NUMBERS, SCORES)) == pytest.approx(
        -(smooth * np.log(shares())).sum(axis=1).mean(), rel=1e-5
    )
    plain = -np.log(shares()[[0, 1], NUMBERS]).mean()
    assert float(losses.loss_for(recipe, smoothed=False)(NUMBERS, SCORES)) == pytest.approx(plain, rel=1e-5)
    binary = losses.loss_for(recipe_of(Binary(), label_smoothing=0.2))
    zero = -(0.9 * math.log(1 / (1 + math.exp(-2))) + 0.1 * math.log(1 - 1 / (1 + math.exp(-2))))
    assert float(binary(np.array([[1.0]], np.float32), np.array([[2.0]], np.float32))) == pytest.approx(zero, rel=1e-5)


def test_a_network_with_such_a_loss_is_saved_and_loaded(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Activation("softmax")])
    recipe = recipe_of(TARGETS[1], head=False, loss="focal", label_smoothing=0.1)
    model.compile("sgd", loss=losses.loss_for(recipe), jit_compile=False)
    model.save(tmp_path / "own.keras")
    again = keras.models.load_model(tmp_path / "own.keras")
    expected = model.evaluate(SCORES, NUMBERS, verbose=0)
    assert again.evaluate(SCORES, NUMBERS, verbose=0) == pytest.approx(expected, rel=1e-6)


def test_balanced_classes_weigh_the_same_and_a_missing_one_has_a_weight_too() -> None:
    recipe = recipe_of(TARGETS[1], class_weight="balanced")
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int32)
    assert losses.class_weights(recipe, labels) == {0: 8 / (2 * 6), 1: 2.0, 2: 1.0}
    binary = np.array([[0], [0], [0], [1]], np.float32)
    found = losses.class_weights(recipe_of(Binary(), class_weight="balanced"), binary)
    assert found == {0: 4 / 6, 1: 2.0}
    np.testing.assert_allclose(losses.weights_of(binary, found), [2 / 3, 2 / 3, 2 / 3, 2])
    assert losses.class_weights(recipe_of(Binary()), binary) is None


def test_with_its_own_head_a_networks_output_is_taken_as_it_is() -> None:
    def own(image: Any) -> Any:
        return keras.layers.Dense(1, activation="sigmoid", name="mine")(pooled(image))

    recipe = recipe_of(Binary(), own, head=False)
    model = zeroed(network.build(recipe, LabelScale()))
    assert model.layers[-1].name == "mine"
    assert network.trained_on(model).outputs[0] is model.outputs[0]
    labels = np.array([[0], [1]], np.float32)
    assert float(losses.loss_for(recipe)(labels, model(images(2)))) == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize(
    ("layers", "head", "target", "told"),
    [
        (lambda image: None, True, Binary(), "returned a NoneType; expected one Keras tensor"),
        (lambda image: [image, image], True, Binary(), "returned a list; expected one Keras tensor"),
        (lambda image: np.zeros((1, 2)), True, Binary(), "returned a ndarray; expected one Keras tensor"),
        (lambda image: image, True, Binary(), "End it with keras.layers.GlobalAveragePooling2D"),
        (pooled, False, Binary(), r"returned shape \(None, 4\); with head=False the target needs \(None, 1\)"),
        (pooled, False, TARGETS[1], r"returned shape \(None, 4\); with head=False the target needs \(None, 3\)"),
        (pooled, False, Regression(), r"with head=False the target needs \(None, 1\)"),
    ],
)
def test_what_a_network_must_not_return_is_refused(layers: Any, head: bool, target: object, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        network.build(recipe_of(target, layers, head=head), LabelScale())


def test_a_volume_network_gets_the_same_head() -> None:
    def layers(image: Any) -> Any:
        return keras.layers.GlobalAveragePooling3D()(keras.layers.Conv3D(2, 3)(image))

    recipe = replace(recipe_of(Classes(names=(0, 1)), layers), image=Image(size=(6, 5, 4)))
    model = network.build(recipe, LabelScale())
    assert model.input_shape == (None, 6, 5, 4, 1)
    assert model.output_shape == (None, 2)


def test_the_settings_of_a_network_reach_it() -> None:
    def layers(image: Any, *, width: int = 4) -> Any:
        return keras.layers.Dense(width, name="wide")(keras.layers.Flatten()(image))

    recipe = replace(recipe_of(Binary()), model=Model(layers, width=7))
    assert network.build(recipe, LabelScale()).get_layer("wide").units == 7


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adam", adam.Adam), ("adamw", adam.AdamW), ("sgd", keras.optimizers.SGD)],
)
def test_the_optimizer_is_the_named_one_with_its_rate(name: str, kind: type) -> None:
    made = network.optimizer_for(recipe_of(Binary(), optimizer=name, learning_rate=0.02), 10)
    assert type(made) is kind
    assert float(made.learning_rate) == pytest.approx(0.02)


def test_gradients_are_cut_to_the_named_norm() -> None:
    made = network.optimizer_for(recipe_of(Binary(), optimizer="sgd", learning_rate=1.0, clip=0.5), 10)
    weight = keras.Variable([0.0, 0.0])
    made.apply([keras.ops.convert_to_tensor([3.0, 4.0])], [weight])  # of norm 5
    assert keras.ops.convert_to_numpy(weight) == pytest.approx([-0.3, -0.4])


def test_weights_decay_by_the_named_share_of_the_rate() -> None:
    recipe = recipe_of(Binary(), optimizer="sgd", learning_rate=0.5, weight_decay=0.1)
    made, weight = network.optimizer_for(recipe, 10), keras.Variable([2.0])
    made.build([weight])
    made.apply([keras.ops.convert_to_tensor([0.0])], [weight])
    assert keras.ops.convert_to_numpy(weight) == pytest.approx([2.0 - 2.0 * 0.1 * 0.5])


def test_cosine_annealing_goes_to_zero_over_all_epochs() -> None:
    recipe = recipe_of(Binary(), schedule="cosine", learning_rate=0.4, epochs=5)
    rate = network.optimizer_for(recipe, 20)._learning_rate
    for step in (0, 25, 50, 75, 100, 120):
        expected = 0.4 * (1 + math.cos(math.pi * min(step, 100) / 100)) / 2
        assert float(rate(step)) == pytest.approx(expected, abs=1e-7)


def test_what_comes_behind_a_frozen_prefix_is_trained_up_to_the_logits_too() -> None:
    """As a fit trains it in bfloat16, or with layers that only the recipe can make."""

    def frozen(image: Any) -> Any:
        x = keras.layers.Conv2D(4, 3, trainable=False)(image)
        return keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))

    model = network.build(recipe_of(Binary(), frozen), LabelScale())
    parts = split_frozen(model)
    assert parts is not None
    prefix, rest = parts
    logits = network.trained_on(rest).predict_on_batch(prefix.predict_on_batch(images()))
    assert 1 / (1 + np.exp(-logits)) == pytest.approx(model.predict_on_batch(images()), abs=1e-6)


def lopsided(image: Any) -> Any:
    """Return features that differ between an image and its mirror image."""
    return keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation="relu")(image))


def frozen_first(image: Any) -> Any:
    features = keras.layers.Conv2D(2, 3, activation="relu", trainable=False)(image)
    return keras.layers.Flatten()(features)


def test_a_mirrored_network_gives_an_image_and_its_mirror_image_the_mean_of_their_answers() -> None:
    plain = network.build(recipe_of(Regression(), lopsided), LabelScale())
    both = network.build(recipe_of(Regression(), lopsided, mirrored=True), LabelScale())
    both.set_weights(plain.get_weights())  # the same layers, no more
    given, turned = images(), images()[:, :, ::-1]
    apart = [np.asarray(plain(each)) for each in (given, turned)]
    assert np.abs(apart[0] - apart[1]).max() > 0.1
    np.testing.assert_allclose(both(given), (apart[0] + apart[1]) / 2, atol=1e-5)
    np.testing.assert_allclose(both(given), both(turned), atol=1e-5)


def test_the_frozen_part_of_a_mirrored_network_gives_the_mean_of_both_features() -> None:
    model = network.build(recipe_of(Binary(), frozen_first, mirrored=True), LabelScale())
    parts = split_frozen(model)
    assert parts is not None
    prefix, rest = parts
    assert prefix.output_shape == (None, 6 * 6 * 2)
    features = prefix.predict_on_batch(images())
    np.testing.assert_allclose(rest(features), model(images()), atol=1e-6)
    np.testing.assert_allclose(features, prefix.predict_on_batch(images()[:, :, ::-1]), atol=1e-5)
