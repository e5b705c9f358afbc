"""A network and prepared images to maps of heat: where the evidence for an answer lies.

Grad-CAM in the form that multiplies gradients and features place by place before it sums over features (HiResCAM).
After global average pooling both forms are the same map; before a Flatten, as in conv3d, only this one shows what was
computed.
Heat is in the units of the score, never negative, and not scaled to its own maximum: an empty map stays empty.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from keras_med.errors import DataError
from keras_med.export.network import before_last_activation
from keras_med.export.quiet import tensorflow
from keras_med.models import ensemble
from keras_med.models.graph import Step
from keras_med.models.mirroring import own_side

if TYPE_CHECKING:
    import keras


class Explainer:
    """Shows what speaks for one output of a functional network.

    target: the number of the class; 0 where the network has one output. Of several outputs, the one to be explained.
    signed: keep only what raises the score, as for a class; False counts what lowers it too, as for a regression.
    """

    def __init__(self, network: "keras.Model", *, target: int = 0, signed: bool = True) -> None:
        import keras

        scores = before_last_activation(network) or network
        if not 0 <= target < scores.outputs[0].shape[-1]:
            raise DataError(f"The network has no output {target}; it has {scores.outputs[0].shape[-1]}.")
        found = [last_map(one) for one in ensemble.members(network) or [network]]
        places = {id(place): place for place, _ in found}  # members may share theirs
        self._grid = found[0][1]
        self._all = keras.Model(network.inputs, [*places.values(), scores.outputs[0]])
        self._mirrored = own_side(network)[1]
        self._target, self._signed = target, signed

    def heat(self, images: np.ndarray) -> np.ndarray:
        """Return the heat of prepared images (0-255, channels last), in their size and without channels."""
        heat = self._evidence(images)
        if self._mirrored:  # what the same layers found in the mirror image, turned back
            heat = heat + self._evidence(images[:, :, ::-1])[:, :, ::-1]
        kept = np.maximum(heat, 0) if self._signed else np.abs(heat)
        return _enlarged(kept, images.shape[1:-1])

    def _evidence(self, images: np.ndarray) -> np.ndarray:
        """Return gradients times features, on the grid of the features, summed over the members of an ensemble."""
        tf = tensorflow()
        given = tf.convert_to_tensor(np.asarray(images, np.float32))
        with tf.GradientTape() as tape:
            # A frozen network has no variables that the tape would follow; the image leads to every map.
            tape.watch(given)
            *places, scores = self._all([given], training=False)
            score = tf.reduce_sum(scores[:, self._target])
        pairs = zip(tape.gradient(score, places), places, strict=True)
        each = [tf.reduce_sum(tf.cast(slope * features, tf.float32), axis=-1) for slope, features in pairs]
        return self._on_grid(tf.add_n(each).numpy())

    def occlusion(self, image: np.ndarray, *, side: int, batch: int = 32) -> np.ndarray:
        """Return by how much the score falls when a block of `side` pixels is filled with the image's mean.

        Slow and free of gradients: a check on `heat`, not a replacement.
        """
        corners = [range(0, size, side) for size in image.shape[:-1]]
        places = np.stack(np.meshgrid(*corners, indexing="ij"), axis=-1).reshape(-1, len(corners))
        whole = self._score(image[None])[0]
        heat = np.zeros(image.shape[:-1], np.float32)
        for start in range(0, len(places), batch):
            blocks = [tuple(slice(at, at + side) for at in place) for place in places[start : start + batch]]
            for block, score in zip(blocks, self._score(_covered(image, blocks)), strict=True):
                heat[block] = max(whole - score, 0) if self._signed else abs(whole - score)
        return heat

    def _score(self, images: np.ndarray) -> np.ndarray:
        scores = self._all([np.asarray(images, np.float32)], training=False)[-1]
        return np.asarray(scores, np.float32)[:, self._target]

    def _on_grid(self, small: np.ndarray) -> np.ndarray:
        """Lay tokens out as the patches lie in the image, without the learned token before them."""
        return small[:, -math.prod(self._grid) :].reshape(-1, *self._grid)


def shuffled(network: "keras.Model", *, seed: int = 0) -> "keras.Model":
    """Return a copy whose every weight array is permuted: heat that looks the same there explains no training."""
    import keras

    copy = keras.models.clone_model(network)
    draw = np.random.default_rng(seed)
    copy.set_weights([draw.permutation(weight.ravel()).reshape(weight.shape) for weight in network.get_weights()])
    return copy


def last_map(network: "keras.Model") -> tuple["keras.KerasTensor", tuple[int, ...]]:
    """Return the last features that still have a place in the image, and the grid on which they lie.

    Of a transformer: the tokens that the last attention reads. After it only the learned token reaches the answer, and
    the gradients of all others are zero.
    """
    axes = len(network.inputs[0].shape)
    planned = own_side(network)[0]
    maps = [step for step in _before_tokens(planned) if len(step.results) == 1 and _is_map(step.results[0].shape, axes)]
    if not maps:
        raise DataError(
            "No layer of this network keeps the image's places, so there is nothing to show.",
            remedy="Heat maps need a convolution or patches before the features are flattened.",
        )
    grid = maps[-1].results[0].shape[1:-1]
    tokens = _tokens_before_last_attention(planned, math.prod(grid))
    return (tokens if tokens is not None else maps[-1].results[0]), tuple(grid)


def _is_map(shape: Sequence[int | None], axes: int) -> bool:
    return len(shape) == axes and all(size is not None and size > 1 for size in shape[1:-1])


def _before_tokens(planned: list[Step]) -> list[Step]:
    """Drop all after the patches of a transformer: the queries of several heads have as many axes as an image."""
    if not _attentions(planned):
        return planned
    places = (number for number, step in enumerate(planned) if len(step.results[0].shape) == 3)
    first = next(places, len(planned))
    return planned[:first]


def _attentions(planned: list[Step]) -> list[int]:
    return [number for number, step in enumerate(planned) if "attention" in type(step.operation).__name__.lower()]


def _tokens_before_last_attention(planned: list[Step], patches: int) -> "keras.KerasTensor | None":
    attentions = _attentions(planned)
    if not attentions:
        return None
    shapes = (patches, patches + 1)
    before = [step.results[0] for step in planned[: attentions[-1]] if len(step.results) == 1]
    tokens = [tensor for tensor in before if len(tensor.shape) == 3 and tensor.shape[1] in shapes]
    # These are queries, keys and values in one matrix: but for its bias, the same product with the gradient.
    return tokens[-1] if tokens else None


def _covered(image: np.ndarray, blocks: list[tuple[slice, ...]]) -> np.ndarray:
    copies = np.repeat(image[None].astype(np.float32), len(blocks), axis=0)
    for copy, block in zip(copies, blocks, strict=True):
        copy[block] = image.mean(axis=tuple(range(image.ndim - 1)))
    return copies


def _enlarged(small: np.ndarray, size: Sequence[int]) -> np.ndarray:
    factors = [1.0, *(wanted / had for wanted, had in zip(size, small.shape[1:], strict=True))]
    return ndimage.zoom(small, factors, order=1, mode="nearest", grid_mode=True)
