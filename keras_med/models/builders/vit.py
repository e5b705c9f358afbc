"""Vision transformers with patches of 16x16, as timm builds them, so that the weights published for them fit."""

from dataclasses import dataclass

import keras

from keras_med.errors import RecipeError
from keras_med.models import backbone, weights
from keras_med.models.settings import Frozen, TransformerSize

PATCH = 16


@dataclass(frozen=True, kw_only=True)
class Size:
    """How wide and deep a transformer is, and the name of its published weights."""

    width: int
    blocks: int
    heads: int
    published: str


SIZES: dict[str, Size] = {
    "tiny": Size(width=192, blocks=12, heads=3, published="vit_tiny_patch16_224.augreg_in21k_ft_in1k"),
    "small": Size(width=384, blocks=12, heads=6, published="vit_small_patch16_224.augreg_in21k_ft_in1k"),
    "base": Size(width=768, blocks=12, heads=12, published="vit_base_patch16_224.augreg2_in21k_ft_in1k"),
}


def build(image: keras.KerasTensor, *, frozen: Frozen, pretrained: bool, size: TransformerSize) -> keras.KerasTensor:
    """Add a vision transformer to the graph of `image`.

    On demo data without weights it is the tiny one, whatever size was asked for: the base size learns nothing from a
    few hundred pictures, and takes long to show it.
    """
    _check(image, size)
    if pretrained and weights.will_be_random(_name(size), published(size)):
        size = "tiny"
    shape = SIZES[size]
    with weights.reproducible(frozen):
        tokens = _tokens(backbone.as_colour(image, "vit"), shape)
        for number in range(shape.blocks):
            tokens = _attention(tokens, shape, f"blocks_{number}")
            tokens = _perceptron(tokens, shape, f"blocks_{number}")
        tokens = _layer_normalisation("norm")(tokens)
    loaded = pretrained and weights.load(_name(size), published(size), image, tokens)
    backbone.freeze(image, tokens, frozen=frozen, hold_statistics=loaded)
    return tokens[:, 0]


def published(size: TransformerSize) -> weights.Published:
    """Name the weights of a size, by timm's name with or without the way it was trained."""
    full = SIZES[size].published
    short = full.split(".")[0]
    return weights.Published(
        files=(f"{full}.safetensors", f"{short}.safetensors", f"{short}.npz"),
        url=f"https://huggingface.co/timm/{full}/resolve/main/model.safetensors",
    )


def _name(size: TransformerSize) -> str:
    return f"vit {size}"


def _check(image: keras.KerasTensor, size: TransformerSize) -> None:
    if size not in SIZES:
        raise RecipeError(f"vit has the sizes {', '.join(SIZES)}, not {size!r}.", where="model.size")
    if any(side is None or side % PATCH for side in image.shape[1:3]):
        raise RecipeError(
            f"vit cuts images into patches of {PATCH}x{PATCH}; {image.shape[1]}x{image.shape[2]} cannot be cut so.",
            where="image.size",
            remedy=f"Take multiples of {PATCH}; 224x224 is what the published weights were trained on.",
        )


def _tokens(colour: keras.KerasTensor, shape: Size) -> keras.KerasTensor:
    """Cut the image into patches, put a learned token before them, and add to each what is learned of its place.

    Both are looked up in Embeddings, so that the saved network needs no layer of this project to be loaded.
    """
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(colour)
    patches = keras.layers.Conv2D(shape.width, PATCH, strides=PATCH, name="patch_embed_proj")(scaled)
    patches = keras.layers.Reshape((-1, shape.width))(patches)
    zeros = keras.ops.zeros_like(patches[:, :, 0], dtype="int32")
    token = keras.layers.Embedding(1, shape.width, embeddings_initializer="zeros", name="cls_token")(zeros[:, :1])
    tokens = keras.layers.Concatenate(axis=1)([token, patches])
    places = keras.ops.cumsum(keras.ops.ones_like(tokens[:, :, 0], dtype="int32"), axis=1) - 1
    small = keras.initializers.TruncatedNormal(stddev=0.02)
    positions = keras.layers.Embedding(tokens.shape[1], shape.width, embeddings_initializer=small, name="pos_embed")
    return keras.layers.Add()([tokens, positions(places)])


def _attention(tokens: keras.KerasTensor, shape: Size, name: str) -> keras.KerasTensor:
    """Let every token look at every other; one matrix makes queries, keys and values."""
    count = tokens.shape[1]
    mixed = _dense(3 * shape.width, f"{name}_attn_qkv")(_layer_normalisation(f"{name}_norm1")(tokens))
    mixed = keras.layers.Reshape((count, 3, shape.heads, shape.width // shape.heads))(mixed)
    query, key, value = keras.ops.unstack(mixed, num=3, axis=2)
    seen = keras.layers.Reshape((count, shape.width))(_seen(query, key, value))
    return keras.layers.Add()([tokens, _dense(shape.width, f"{name}_attn_proj")(seen)])


def _seen(query: keras.KerasTensor, key: keras.KerasTensor, value: keras.KerasTensor) -> keras.KerasTensor:
    """Attend; with JAX to a multiple of 8 tokens: a card's fused attention has no gradient for an odd number.

    That attention also wants the mask of all pairs. It is made in the graph, not stored with it.
    """
    count = query.shape[1]
    more = -count % 8 if keras.backend.backend() == "jax" else 0
    if not more:
        return keras.ops.dot_product_attention(query, key, value)
    longer = [keras.ops.pad(each, ((0, 0), (0, more), (0, 0), (0, 0))) for each in (query, key, value)]
    read = keras.ops.pad(keras.ops.ones_like(query[:1, :, 0, 0]), ((0, 0), (0, more)))
    read = keras.ops.expand_dims(read, (1, 2))
    mask = keras.ops.cast(keras.ops.repeat(read, count + more, axis=2), "bool")
    return keras.ops.dot_product_attention(*longer, mask=mask)[:, :count]


def _perceptron(tokens: keras.KerasTensor, shape: Size, name: str) -> keras.KerasTensor:
    normalised = _layer_normalisation(f"{name}_norm2")(tokens)
    hidden = _dense(4 * shape.width, f"{name}_mlp_fc1")(normalised)
    # Always in float32: processors have no error function of bfloat16, and TensorFlow takes twice as long for one.
    hidden = keras.layers.Activation("gelu", dtype="float32")(hidden)
    return keras.layers.Add()([tokens, _dense(shape.width, f"{name}_mlp_fc2")(hidden)])


def _dense(units: int, name: str) -> keras.layers.Dense:
    small = keras.initializers.TruncatedNormal(stddev=0.02)
    return keras.layers.Dense(units, kernel_initializer=small, name=name)


def _layer_normalisation(name: str) -> keras.layers.LayerNormalization:
    return keras.layers.LayerNormalization(epsilon=1e-6, name=name)
