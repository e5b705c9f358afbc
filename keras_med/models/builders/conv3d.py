"""A small 3-D convolutional network, trained from nothing: blocks of convolution and pooling, one dense layer."""

import keras

from keras_med.errors import RecipeError
from keras_med.models import backbone
from keras_med.models.settings import Pooling


def build(image: keras.KerasTensor, *, filters: tuple[int, ...], units: int, pooling: Pooling) -> keras.KerasTensor:
    """Add one block (3x3x3 convolution, ReLU, 2x2x2 maximum) for each number of filters to the graph of `image`."""
    _check_size(image, blocks=len(filters))
    maps = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    for number, block_filters in enumerate(filters):
        # The first in float32 in mixed precision too: kernels for half the width want several channels, and with one
        # cuDNN takes four times as long.
        width = "float32" if number == 0 else None
        maps = keras.layers.Conv3D(block_filters, 3, activation="relu", kernel_initializer="he_normal", dtype=width)(
            maps
        )
        maps = keras.layers.MaxPooling3D(2)(maps)
    flat = keras.layers.Flatten()(maps) if pooling == "none" else backbone.pool(maps, pooling)
    return keras.layers.Dense(units, activation="relu", kernel_initializer="he_normal")(flat)


def _check_size(image: keras.KerasTensor, *, blocks: int) -> None:
    """Refuse what is no volume, and volumes of which the blocks would leave nothing."""
    smallest = 1
    for _ in range(blocks):
        smallest = smallest * 2 + 2
    sizes = image.shape[1:-1]
    if len(sizes) != 3 or any(size is None or size < smallest for size in sizes):
        raise RecipeError(
            f"conv3d takes volumes of at least {smallest}x{smallest}x{smallest} voxels, not {tuple(image.shape[1:])}.",
            remedy="Set image.size to height, width and depth, or take fewer filters.",
        )
