"""The class token and the learned positions of a vision transformer."""

from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="keras_med")
class ClassTokenAndPositions(keras.layers.Layer):
    """Puts a learned token before the patches and adds a learned position to each.

    Takes patches of shape (batch, patches, width) and gives (batch, patches + 1, width).
    """

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Create the token and the positions for this number of patches."""
        _, patches, width = input_shape
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        self.token = self.add_weight(shape=(1, 1, width), initializer="zeros", name="cls_token")
        self.positions = self.add_weight(shape=(1, patches + 1, width), initializer=small, name="pos_embed")
        self.built = True

    def call(self, patches: Any) -> Any:
        """Return the token and the patches, with their positions added."""
        batch = keras.ops.shape(patches)[0]
        token = keras.ops.broadcast_to(self.token, (batch, 1, self.token.shape[-1]))
        token = keras.ops.cast(token, patches.dtype)
        return keras.ops.concatenate([token, patches], axis=1) + keras.ops.cast(self.positions, patches.dtype)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int | None, ...]:
        """Add one to the number of patches."""
        batch, patches, width = input_shape
        return batch, patches + 1, width

    def weights_from(self, tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Pick the published token and positions, these resized to this layer's number of patches."""
        positions = tensors["pos_embed"]
        if positions.shape[1] != self.positions.shape[1]:
            positions = resized(positions, self.positions.shape[1] - 1)
        return [tensors["cls_token"], positions]


def resized(positions: np.ndarray, patches: int) -> np.ndarray:
    """Interpolate the positions of a square grid of patches to a square grid of another size."""
    old, new = round((positions.shape[1] - 1) ** 0.5), round(patches**0.5)
    width = positions.shape[2]
    if old * old != positions.shape[1] - 1 or new * new != patches:
        raise ValueError("positions can be resized between square grids only")
    grid = positions[:, 1:].reshape(1, old, old, width)
    grid = keras.ops.convert_to_numpy(keras.ops.image.resize(grid, (new, new), interpolation="bicubic", antialias=True))
    return np.concatenate([positions[:, :1], grid.reshape(1, patches, width)], axis=1)
