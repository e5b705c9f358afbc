"""One kernel does what Keras' composed operations do."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_med.training import adam


def small(dtype: str = "float32") -> keras.Model:
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 2))
    maps = keras.layers.Conv2D(6, 3, activation="relu", dtype=dtype)(image)
    return keras.Model(image, keras.layers.Dense(1, dtype="float32")(keras.layers.Flatten()(maps)))


def trained(network: keras.Model, optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    """Return weights and the optimizer's variables after 30 steps."""
    network.compile(optimizer, loss="mse", jit_compile=False)
    draw = np.random.default_rng(5)
    for _ in range(30):
        images = draw.normal(size=(4, 8, 8, 2)).astype(np.float32)
        network.train_on_batch(images, images.mean(axis=(1, 2, 3)))
    return [np.asarray(variable) for variable in [*network.weights, *optimizer.variables]]


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize(
    "settings", [{}, {"weight_decay": 0.05, "global_clipnorm": 0.1}, {"use_ema": True}, {"amsgrad": True}]
)
def test_weights_and_state_are_those_of_keras(name: str, settings: dict[str, Any]) -> None:
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, 30)
    wanted = trained(small(), getattr(keras.optimizers, name)(schedule, **settings))
    found = trained(small(), getattr(adam, name)(schedule, **settings))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6)


def test_layers_in_bfloat16_have_their_weights_trained_as_keras_does() -> None:
    wanted = trained(small("mixed_bfloat16"), keras.optimizers.Adam(1e-3))
    found = trained(small("mixed_bfloat16"), adam.Adam(1e-3))
    for one, other in zip(found[:4], wanted[:4], strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, atol=2e-4)  # 30 steps of 0.001 moved them up to a hundred times as far


@pytest.mark.parametrize(("kind", "kernels"), [(adam.Adam, 4), (adam.AdamW, 4), (keras.optimizers.Adam, 0)])
def test_a_step_holds_one_kernel_a_variable(kind: type, kernels: int) -> None:
    network = small()
    optimizer = kind(0.1)
    optimizer.build(network.trainable_variables)

    @tf.function
    def step() -> None:
        optimizer.apply([tf.ones(variable.shape) for variable in network.trainable_variables])

    kinds = [operation.type for operation in step.get_concrete_function().graph.get_operations()]
    assert kinds.count("ResourceApplyAdam") == kernels


def test_a_step_is_that_of_the_formula() -> None:
    weight = keras.Variable(np.array([1.0, -2.0], np.float32))
    optimizer = adam.Adam(0.1, beta_1=0.5, beta_2=0.75, epsilon=0.0)
    optimizer.build([weight])
    optimizer.apply([keras.ops.convert_to_tensor([4.0, -1.0])])
    # m = 0.5 g and v = 0.25 g^2, corrected by 1 - 0.5 and 1 - 0.75: the step is the rate, against the gradient's sign
    np.testing.assert_allclose(weight, [0.9, -1.9], rtol=1e-6)
    optimizer.apply([keras.ops.convert_to_tensor([0.0, -1.0])])
    # first: m = 1, v = 3, corrected by 0.75 and 0.4375: 0.1 * (1 / 0.75) / sqrt(3 / 0.4375)
    np.testing.assert_allclose(weight, [0.9 - 0.1 * (1 / 0.75) / np.sqrt(3 / 0.4375), -1.8], rtol=1e-5)


def test_gradients_of_an_embeddings_rows_go_the_way_of_keras() -> None:
    found = []
    for kind in (keras.optimizers.Adam, adam.Adam):
        keras.utils.set_random_seed(3)
        words = keras.Input((4,), dtype="int32")
        network = keras.Model(words, keras.layers.Flatten()(keras.layers.Embedding(9, 2)(words)))
        network.compile(kind(0.1), loss="mse", jit_compile=False)
        network.train_on_batch(np.array([[0, 1, 2, 2]]), np.zeros((1, 8)))
        found.append(network.get_weights()[0])
    np.testing.assert_array_equal(*found)
