"""EfficientNetB2 of keras.applications, the same graph with and without ImageNet weights."""

import keras
import numpy as np

from keras_med.models import backbone, weights
from keras_med.models.settings import Frozen, Pooling

MEAN = np.array([0.485, 0.456, 0.406], "float32")
DEVIATION = np.array([0.229, 0.224, 0.225], "float32")

PUBLISHED = weights.Published(
    files=("efficientnetb2_notop.h5",),
    url="https://storage.googleapis.com/keras-applications/efficientnetb2_notop.h5",
    md5="111f8e2ac8aa800a7a99e3239f7bfb39",
)


def build(image: keras.KerasTensor, *, frozen: Frozen, pretrained: bool, pooling: Pooling) -> keras.KerasTensor:
    """Add EfficientNetB2 to the graph of `image`."""
    colour = backbone.as_colour(image, "efficientnet_b2")
    with weights.reproducible(frozen):
        application = keras.applications.EfficientNetB2(input_tensor=colour, include_top=False, weights=None)
    maps = application.output
    loaded = pretrained and weights.load("efficientnet_b2", PUBLISHED, image, maps)
    _own_the_normalisation(backbone.layers_between(image, maps))
    features = backbone.pool(maps, pooling)
    backbone.freeze(image, features, frozen=frozen, hold_statistics=loaded)
    return features


def _own_the_normalisation(layers: list[keras.Layer]) -> None:
    """Make the graph subtract the mean and divide by the deviation, whether weights were loaded or not.

    The published file holds the deviation where the layer expects the variance, and keras.applications mends that by
    one more Rescaling, which it adds only for `weights="imagenet"` (tensorflow#49930); without weights it leaves 0 and
    1. The right mean and variance in the one layer make all these cases one graph, equal to the published one.
    """
    normalisation = next(layer for layer in layers if isinstance(layer, keras.layers.Normalization))
    count = normalisation.get_weights()[2]
    normalisation.set_weights([MEAN, DEVIATION**2, count])
    normalisation.finalize_state()
