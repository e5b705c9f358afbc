"""A network and prepared images to maps of heat: where the evidence for an answer lies.

Grad-CAM in the form that multiplies gradients and features place by place before it sums over features (HiResCAM).
After global average pooling both forms are the same map; before a Flatten, as in conv3d, only this one shows what was
computed.
Heat is in the units of the score, never negative, and not scaled to its own maximum: an empty map stays empty.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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

_BATCH_VALUES = 2**22  # values in one batch


class Explainer:
    """Shows what speaks for an output of a functional network; its graph is traced once for all of them.

    signed: keep only what raises the score, as for a class; False counts what lowers it too, as for a regression.
    """

    def __init__(self, network: "keras.Model", *, signed: bool = True) -> None:
        import keras

        tf = tensorflow()
        scores = before_last_activation(network) or network
        found = [last_map(one) for one in ensemble.members(network) or [network]]
        places = {id(place): place for place, _ in found}  # members may share theirs
        self._grid = found[0][1]
        self._all = keras.Model(network.inputs, [*places.values(), scores.outputs[0]])
        self._mirrored = own_side(network)[1]
        self._outputs, self._signed = int(scores.outputs[0].shape[-1]), signed
        given = [tf.TensorSpec((None, *network.inputs[0].shape[1:])), tf.TensorSpec((None,), tf.int32)]
        self._traced = tf.function(self._explained, input_signature=given, autograph=False)

    def heat(self, images: np.ndarray, targets: int | Sequence[int] = 0) -> np.ndarray:
        """Return the heat of prepared images (0-255, channels last), in their size and without channels.

        Args:
            targets: the number of the output that is explained, of all images or of each.
        """
        heat = self._asked(images, targets)[0]
        if self._mirrored:  # what the same layers found in the mirror image, turned back
            heat = heat + self._asked(images[:, :, ::-1], targets)[0][:, :, ::-1]
        kept = np.maximum(heat, 0) if self._signed else np.abs(heat)
        return _enlarged(kept, images.shape[1:-1])

    def occlusion(self, image: np.ndarray, target: int = 0, *, side: int) -> np.ndarray:
        """Return by how much the score falls when a block of `side` pixels is filled with the image's mean.

        Slow and free of gradients: a check on `heat`, not a replacement.
        """
        corners = [range(0, size, side) for size in image.shape[:-1]]
        places = np.stack(np.meshgrid(*corners, indexing="ij"), axis=-1).reshape(-1, len(corners))
        whole = self._asked(image[None], target)[1][0]
        heat = np.zeros(image.shape[:-1], np.float32)
        batch = _batch(image)
        for start in range(0, len(places), batch):
            blocks = [tuple(slice(at, at + side) for at in place) for place in places[start : start + batch]]
            for block, score in zip(blocks, self._asked(_covered(image, blocks), target)[1], strict=True):
                heat[block] = max(whole - score, 0) if self._signed else abs(whole - score)
        return heat

    @contextmanager
    def shuffled(self, seed: int = 0) -> Iterator[None]:
        """Permute every weight array inside the block: heat that looks the same there explains no training."""
        weights, draw = self._all.get_weights(), np.random.default_rng(seed)
        self._all.set_weights([draw.permutation(weight.ravel()).reshape(weight.shape) for weight in weights])
        try:
            yield
        finally:
            self._all.set_weights(weights)

    def _asked(self, images: np.ndarray, targets: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return each image's evidence, on the grid of the features, and its score."""
        each = np.broadcast_to(np.asarray(targets, np.int32), len(images))
        for target in set(each.tolist()):
            if not 0 <= target < self._outputs:
                raise DataError(f"The network has no output {target}; it has {self._outputs}.")
        batch = _batch(images[0])
        starts = range(0, len(images), batch)
        parts = [self._traced(images[at : at + batch].astype(np.float32), each[at : at + batch]) for at in starts]
        evidence, scores = (np.concatenate(values) for values in zip(*parts, strict=True))
        # tokens lie as the patches do in the image; the learned token before them has no place there
        return evidence.reshape(len(images), -1)[:, -math.prod(self._grid) :].reshape(-1, *self._grid), scores

    def _explained(self, images: Any, targets: Any) -> tuple[Any, Any]:
        """Return gradients times features, place by place, summed over the members of an ensemble, and the scores."""
        tf = tensorflow()
        with tf.GradientTape() as tape:
            # A frozen network has no variables that the tape would follow; the image leads to every map.
            tape.watch(images)
            *places, scores = self._all(images, training=False)
            score = tf.cast(tf.gather(scores, targets, batch_dims=1), tf.float32)
        pairs = zip(tape.gradient(score, places), places, strict=True)
        return tf.add_n([tf.reduce_sum(tf.cast(slope * one, tf.float32), axis=-1) for slope, one in pairs]), score


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


def _batch(image: np.ndarray) -> int:
    return max(1, _BATCH_VALUES // image.size)


def _covered(image: np.ndarray, blocks: list[tuple[slice, ...]]) -> np.ndarray:
    copies = np.repeat(image[None].astype(np.float32), len(blocks), axis=0)
    for copy, block in zip(copies, blocks, strict=True):
        copy[block] = image.mean(axis=tuple(range(image.ndim - 1)))
    return copies


def _enlarged(small: np.ndarray, size: Sequence[int]) -> np.ndarray:
    factors = [1.0, *(wanted / had for wanted, had in zip(size, small.shape[1:], strict=True))]
    return ndimage.zoom(small, factors, order=1, mode="nearest", grid_mode=True)
