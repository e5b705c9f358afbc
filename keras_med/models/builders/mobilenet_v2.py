"""MobileNetV2 of keras.applications, which takes values of -1 to 1."""

import keras

from keras_med.errors import RecipeError
from keras_med.models import backbone, weights
from keras_med.models.settings import Frozen, Pooling

PUBLISHED_ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
PUBLISHED_SIZES = (96, 128, 160, 192, 224)


def build(
    image: keras.KerasTensor, *, frozen: Frozen, pretrained: bool, pooling: Pooling, alpha: float
) -> keras.KerasTensor:
    """Add MobileNetV2 of width `alpha` to the graph of `image`."""
    colour = backbone.as_colour(image, "mobilenet_v2")
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(colour)
    with weights.reproducible(frozen):
        application = keras.applications.MobileNetV2(input_tensor=scaled, alpha=alpha, include_top=False, weights=None)
    maps = application.output
    loaded = pretrained and weights.load("mobilenet_v2", published(alpha, image), image, maps)
    features = backbone.pool(maps, pooling)
    backbone.freeze(image, features, frozen=frozen, hold_statistics=loaded)
    return features


def published(alpha: float, image: keras.KerasTensor) -> weights.Published:
    """Name the weights of this width that were trained nearest to the image's size; 224 serves for every size."""
    if alpha not in PUBLISHED_ALPHAS:
        raise RecipeError(
            f"There are no ImageNet weights for mobilenet_v2 with alpha {alpha}.",
            where="model.alpha",
            remedy=f"Take one of {', '.join(map(str, PUBLISHED_ALPHAS))}, or pretrained=False.",
        )
    height, width = image.shape[1:3]
    size = height if height == width and height in PUBLISHED_SIZES else 224
    files = tuple(dict.fromkeys(_file(alpha, each) for each in (size, 224)))
    return weights.Published(
        files=files, url=f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/{files[0]}"
    )


def _file(alpha: float, size: int) -> str:
    return f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{size}_no_top.h5"
