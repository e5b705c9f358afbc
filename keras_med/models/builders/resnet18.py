"""ResNet18 as torchvision builds it, so that the weights published for it fit by name and shape."""

import keras

from keras_med.models import backbone, weights
from keras_med.models.settings import Frozen, Pooling

MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
STAGES = (64, 128, 256, 512)
BLOCKS = 2

PUBLISHED = weights.Published(
    files=("resnet18.tv_in1k.safetensors", "resnet18.safetensors", "resnet18.npz"),
    url="https://huggingface.co/timm/resnet18.tv_in1k/resolve/main/model.safetensors",
)


def build(image: keras.KerasTensor, *, frozen: Frozen, pretrained: bool, pooling: Pooling) -> keras.KerasTensor:
    """Add ResNet18 to the graph of `image`."""
    with weights.reproducible(frozen):
        maps = _stem(_normalised(backbone.as_colour(image, "resnet18")))
        for stage, filters in enumerate(STAGES, start=1):
            for block in range(BLOCKS):
                stride = 2 if stage > 1 and block == 0 else 1
                maps = _block(maps, filters, stride, f"layer{stage}_{block}")
    loaded = pretrained and weights.load("resnet18", PUBLISHED, image, maps)
    features = backbone.pool(maps, pooling)
    backbone.freeze(image, features, frozen=frozen, hold_statistics=loaded)
    return features


def _normalised(colour: keras.KerasTensor) -> keras.KerasTensor:
    scale = [1 / (255 * deviation) for deviation in DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    return keras.layers.Rescaling(scale, offset=offset)(colour)


def _stem(image: keras.KerasTensor) -> keras.KerasTensor:
    maps = keras.layers.ReLU()(_normalisation("bn1")(_convolution(image, 64, 7, 2, "conv1")))
    return keras.layers.MaxPooling2D(3, strides=2)(keras.layers.ZeroPadding2D(1)(maps))  # after ReLU, 0 is the least


def _block(maps: keras.KerasTensor, filters: int, stride: int, name: str) -> keras.KerasTensor:
    """Add two 3x3 convolutions and a way around them, which is projected where the shape changes."""
    around = maps
    if stride > 1:
        around = _convolution(maps, filters, 1, stride, f"{name}_downsample_0")
        around = _normalisation(f"{name}_downsample_1")(around)
    maps = _normalisation(f"{name}_bn1")(_convolution(maps, filters, 3, stride, f"{name}_conv1"))
    maps = _convolution(keras.layers.ReLU()(maps), filters, 3, 1, f"{name}_conv2")
    return keras.layers.ReLU()(keras.layers.Add()([_normalisation(f"{name}_bn2")(maps), around]))


def _convolution(maps: keras.KerasTensor, filters: int, size: int, stride: int, name: str) -> keras.KerasTensor:
    """Convolve without bias, padded alike on both sides: Keras' "same" pads a stride of 2 on one side only."""
    if size > 1 and stride > 1:
        maps = keras.layers.ZeroPadding2D(size // 2)(maps)
    initializer = keras.initializers.VarianceScaling(2.0, mode="fan_out", distribution="untruncated_normal")
    return keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="valid" if stride > 1 else "same",
        use_bias=False,
        kernel_initializer=initializer,
        name=name,
    )(maps)


def _normalisation(name: str) -> keras.layers.BatchNormalization:
    """Normalise with PyTorch's constants; its momentum of 0.1 is called 0.9 here."""
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)
