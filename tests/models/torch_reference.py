"""Tensor names, shapes and outputs of torchvision's ResNet18 and timm's ViT for weights made from a seed.

The tests compare the builders with torch_reference.json. To renew it, where torch, torchvision and timm are installed:

    python tests/models/torch_reference.py
"""

import json
from pathlib import Path

import numpy as np

FIXTURE = Path(__file__).with_suffix(".json")
SHOWN = 24


def tensors(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Make weights of a sensible size for each name, so that the outputs depend on all of them."""
    rng = np.random.default_rng(0)
    return {name: _tensor(name, shapes[name], rng) for name in sorted(shapes)}


def _tensor(name: str, shape: list[int], rng: np.random.Generator) -> np.ndarray:
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return rng.uniform(0.5, 1.5, shape).astype("float32")
    values = rng.normal(size=shape).astype("float32")
    fan_in = np.prod(shape[1:]) if len(shape) in (2, 4) else 4
    return (values * np.sqrt(2 / fan_in)).astype("float32")


def pixels(height: int, width: int) -> np.ndarray:
    """Make two images of 0-255."""
    return np.random.default_rng(1).uniform(0, 255, (2, height, width, 3)).astype("float32")


def main() -> None:
    """Write the fixture."""
    import timm
    import timm.layers
    import torch
    import torchvision

    def run(model, image, mean, deviation):
        scaled = (image / 255 - np.array(mean)) / np.array(deviation)
        with torch.no_grad():
            features = model.eval()(torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype("float32")))
        return features[:, :SHOWN].numpy().astype(float).tolist()

    def shapes_of(model):
        named = model.state_dict().items()
        return {name: list(tensor.shape) for name, tensor in named if not name.endswith("num_batches_tracked")}

    def fill(model, made):
        model.load_state_dict({name: torch.from_numpy(array) for name, array in made.items()}, strict=False)

    resnet = torchvision.models.resnet18()
    resnet_shapes = shapes_of(resnet)
    fill(resnet, tensors(resnet_shapes))
    resnet.fc = torch.nn.Identity()
    vit = timm.create_model("vit_tiny_patch16_224", img_size=64)
    vit_shapes = shapes_of(vit)
    made = tensors(vit_shapes)
    fill(vit, made)
    vit.reset_classifier(0)
    larger = timm.create_model("vit_tiny_patch16_224", img_size=96, num_classes=0)
    positions = timm.layers.resample_abs_pos_embed(torch.from_numpy(made["pos_embed"]), [6, 6])
    fill(larger, made | {"pos_embed": positions.numpy()})
    half = [0.5, 0.5, 0.5]
    fixture = {
        "resnet18": {
            "shapes": resnet_shapes,
            "65x64": run(resnet, pixels(65, 64), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        },
        "vit": {
            "shapes": vit_shapes,
            "64x64": run(vit, pixels(64, 64), half, half),
            "96x96": run(larger, pixels(96, 96), half, half),
        },
        "base": {"shapes": shapes_of(timm.create_model("vit_base_patch16_224"))},
    }
    FIXTURE.write_text(json.dumps(fixture))


if __name__ == "__main__":
    main()
