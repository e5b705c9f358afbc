"""Builders a recipe calls inside its `network`: an image of 0-255 values to features.

Each builder owns its normalisation, adds its layers un-nested to the image's graph (so that Grad-CAM and the frozen
split can see them) and shares these settings:

    frozen: True, nothing of the backbone is trained; False, all of it; "until:NAME", everything before the layer NAME
        stays frozen. Inside a frozen part every Dropout gets rate 0, so that training and inference are equal there.
    pretrained: start from ImageNet weights, found as `keras_med.models.weights` says. BatchNorm then keeps its
        statistics even where it is fine-tuned.
    pooling: "average" or "maximum" gives one vector an image, "none" the last map of features.

The functions here import Keras on the first call only, because a recipe is read before the backend, the threads and the
precision that it asks for are set. The code of each lies in the module of its name in `builders/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_med.models.settings import Frozen, Pooling, TransformerSize

if TYPE_CHECKING:
    import keras

__all__ = ["conv3d", "efficientnet_b2", "mobilenet_v2", "resnet18", "resnet50", "vit"]


def conv3d(
    image: keras.KerasTensor, *, filters: tuple[int, ...] = (16, 32), units: int = 64, pooling: Pooling = "none"
) -> keras.KerasTensor:
    """Return the features of a small 3-D network for volumes, trained from nothing; "none" flattens the maps."""
    from keras_med.models.builders import conv3d as builder

    return builder.build(image, filters=filters, units=units, pooling=pooling)


def efficientnet_b2(
    image: keras.KerasTensor, *, frozen: Frozen = True, pretrained: bool = True, pooling: Pooling = "average"
) -> keras.KerasTensor:
    """Return the 1408 features of EfficientNetB2 (best near 260x260; 1 or 3 channels)."""
    from keras_med.models.builders import efficientnet_b2 as builder

    return builder.build(image, frozen=frozen, pretrained=pretrained, pooling=pooling)


def mobilenet_v2(
    image: keras.KerasTensor,
    *,
    frozen: Frozen = True,
    pretrained: bool = True,
    pooling: Pooling = "average",
    alpha: float = 1.0,
) -> keras.KerasTensor:
    """Return the 1280 features of MobileNetV2 (1 or 3 channels); `alpha` below 1 makes it narrower."""
    from keras_med.models.builders import mobilenet_v2 as builder

    return builder.build(image, frozen=frozen, pretrained=pretrained, pooling=pooling, alpha=alpha)


def resnet18(
    image: keras.KerasTensor, *, frozen: Frozen = True, pretrained: bool = True, pooling: Pooling = "average"
) -> keras.KerasTensor:
    """Return the 512 features of ResNet18 (best near 224x224; 1 or 3 channels)."""
    from keras_med.models.builders import resnet18 as builder

    return builder.build(image, frozen=frozen, pretrained=pretrained, pooling=pooling)


def resnet50(
    image: keras.KerasTensor, *, frozen: Frozen = True, pretrained: bool = True, pooling: Pooling = "average"
) -> keras.KerasTensor:
    """Return the 2048 features of ResNet50 (best near 224x224; 1 or 3 channels)."""
    from keras_med.models.builders import resnet50 as builder

    return builder.build(image, frozen=frozen, pretrained=pretrained, pooling=pooling)


def vit(
    image: keras.KerasTensor, *, frozen: Frozen = True, pretrained: bool = True, size: TransformerSize = "base"
) -> keras.KerasTensor:
    """Return the class token of a vision transformer (16x16 patches; tiny 192, small 384, base 768 features)."""
    from keras_med.models.builders import vit as builder

    return builder.build(image, frozen=frozen, pretrained=pretrained, size=size)
