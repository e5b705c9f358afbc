"""What all builders do to the graph they add: colour, pooling, freezing."""

import logging

import keras

from keras_med.errors import RecipeError
from keras_med.models.settings import Frozen, Pooling

UNTIL = "until:"
MOMENTUM = 0.9

_LOG = logging.getLogger(__name__)


def as_colour(image: keras.KerasTensor, builder: str) -> keras.KerasTensor:
    """Repeat a grey image to three channels; leave a colour image as it is."""
    channels = image.shape[-1]
    if len(image.shape) != 4 or channels not in (1, 3):
        raise RecipeError(
            f"{builder} takes images of height, width and 1 or 3 channels, not {tuple(image.shape[1:])}.",
            remedy="Set image.channels to 1 or 3, or use conv3d for volumes.",
        )
    return image if channels == 3 else keras.layers.Concatenate()([image, image, image])


def pool(maps: keras.KerasTensor, pooling: Pooling) -> keras.KerasTensor:
    """Reduce feature maps to one vector an image, or leave them."""
    dimensions = len(maps.shape) - 2
    match pooling:
        case "none":
            return maps
        case "average":
            kind = keras.layers.GlobalAveragePooling2D if dimensions == 2 else keras.layers.GlobalAveragePooling3D
        case "maximum":
            kind = keras.layers.GlobalMaxPooling2D if dimensions == 2 else keras.layers.GlobalMaxPooling3D
        case _:
            raise RecipeError(f"pooling is 'average', 'maximum' or 'none', not {pooling!r}.")
    return kind()(maps)


def layers_between(start: keras.KerasTensor, end: keras.KerasTensor) -> list[keras.Layer]:
    """List the layers that lead from `start` to `end`, in the order of computation."""
    sources = keras.utils.get_source_inputs(start)
    before = {id(layer) for layer in keras.Model(sources, start).layers}
    return [layer for layer in keras.Model(sources, end).layers if id(layer) not in before]


def freeze(start: keras.KerasTensor, end: keras.KerasTensor, *, frozen: Frozen, hold_statistics: bool) -> None:
    """Freeze the layers between two tensors, or a part of them.

    Dropout inside the frozen part gets rate 0: EfficientNetB2 has 16 of them, and one live Dropout is enough to make
    the features of a frozen backbone random in training. With `hold_statistics`, BatchNorm stays in inference mode even
    in the part that is trained. Where it is trained it is synchronized, or each replica would keep statistics of its
    own (only TensorFlow has replicas and can do so), and forgets as fast as PyTorch's: with the momentum of 0.999 that
    MobileNetV2 brings for ImageNet, 100 steps leave the statistics of inference where they began.
    """
    layers = layers_between(start, end)
    silenced = 0
    for layer in layers[: count_frozen(layers, frozen)]:
        layer.trainable = False
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
            silenced += 1
    if silenced:
        _LOG.info("%d Dropout layers inside the frozen part have rate 0", silenced)
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = layer.trainable and not hold_statistics
            layer.synchronized = layer.trainable and keras.backend.backend() == "tensorflow"
            layer.momentum = min(layer.momentum, MOMENTUM) if layer.trainable else layer.momentum


def count_frozen(layers: list[keras.Layer], frozen: Frozen) -> int:
    """Tell how many of the first layers stay frozen."""
    if isinstance(frozen, bool):
        return len(layers) if frozen else 0
    names = [layer.name for layer in layers if layer.weights]
    name = str(frozen).removeprefix(UNTIL)
    if not str(frozen).startswith(UNTIL) or name not in names:
        raise RecipeError(
            f"frozen is True, False or 'until:LAYER', not {frozen!r}.",
            remedy=f"LAYER is one of {', '.join(names[:3])} ... {', '.join(names[-3:])}.",
        )
    return [layer.name for layer in layers].index(name)
