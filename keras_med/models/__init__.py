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

from keras_med.models.settings import Frozen, Pooling

if TYPE_CHECKING:
    import keras

__all__ = ["efficientnet_b2"]


def efficientnet_b2(
    image: keras.KerasTensor, *, frozen: Frozen = True, pretrained: bool = True, pooling: Pooling = "average"
) -> keras.KerasTensor:
    """Return the 1408 features of EfficientNetB2 (best near 260x260; 1 or 3 channels)."""
    from keras_med.models.builders import efficientnet_b2 as builder

    return builder.build(image, frozen=frozen, pretrained=pretrained, pooling=pooling)
