"""ResNet18 and the vision transformers with torchvision's and timm's own weights, against those packages' own networks.

    python benchmarks/converters.py [--torch PYTHON] [--size 224]

`--torch` names a Python that has torch, torchvision, timm and safetensors; the default is this one. It makes each
network with random weights and statistics, writes its tensors as .safetensors and .npz, and keeps its features of two
images; keras_med reads both files. Wanted: at most 1e-4, of the larger of 1 and the feature; and the names and shapes
that the tests keep.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
FIXTURE = HERE.parent / "tests" / "models" / "torch_reference.json"
BOUND = 1e-4
NETWORKS = {  # keras_med's settings, and what normalises the pixels there
    "resnet18": ({}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "vit_tiny_patch16_224": ({"size": "tiny"}, (0.5,) * 3, (0.5,) * 3),
    "vit_small_patch16_224": ({"size": "small"}, (0.5,) * 3, (0.5,) * 3),
    "vit_base_patch16_224": ({"size": "base"}, (0.5,) * 3, (0.5,) * 3),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--size", type=int, default=224, help="rows and columns; other than 224 resizes positions")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        make(given.make, given.size)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        typed = [given.torch, __file__, "--make", folder, "--size", str(given.size)]
        subprocess.run(typed, check=True, env={**os.environ, "PYTHONPATH": ""})
        return compare(here, given.size)


def make(folder: Path, size: int) -> None:
    """Write the tensors, pixels and features of each network; this is the part that needs torch."""
    import safetensors.torch
    import timm
    import torch
    import torchvision

    torch.manual_seed(0)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
    np.save(folder / "pixels.npy", pixels)
    for name, (_, mean, deviation) in NETWORKS.items():
        if name == "resnet18":
            model = torchvision.models.resnet18()
            whole = disturbed(model, torch)
            model.fc = torch.nn.Identity()
        else:
            whole = disturbed(timm.create_model(name), torch)
            model = timm.create_model(name, img_size=size, num_classes=0)
            positions = timm.layers.resample_abs_pos_embed(whole["pos_embed"], [size // 16] * 2)
            model.load_state_dict(whole | {"pos_embed": positions}, strict=False)
        scaled = (pixels / 255 - np.array(mean)) / np.array(deviation)
        with torch.no_grad():
            features = model.eval()(torch.from_numpy(scaled.transpose(0, 3, 1, 2).astype("float32")))
        np.save(folder / f"{name}.npy", features.numpy())
        safetensors.torch.save_file(whole, folder / f"{name}.safetensors")
        np.savez(folder / f"{name}.npz", **{key: tensor.numpy() for key, tensor in whole.items()})
    versions = {package.__name__: package.__version__ for package in (torch, torchvision, timm)}
    (folder / "versions.json").write_text(json.dumps(versions))


def disturbed(model: Any, torch: Any) -> dict[str, Any]:
    """Draw what starts at 0 or 1 (biases, scales, statistics, the class token), so that all of it shows in features."""
    state = {key: tensor.clone() for key, tensor in model.state_dict().items() if tensor.is_floating_point()}
    for key, tensor in state.items():
        if tensor.ndim == 1 or key in ("cls_token", "pos_embed"):
            positive = key.endswith(("weight", "running_var"))
            tensor.copy_(torch.rand_like(tensor) + 0.5 if positive else 0.3 * torch.randn_like(tensor))
    model.load_state_dict(state, strict=False)
    return state


def compare(folder: Path, size: int) -> int:
    """Load both files of each network and print how far the features are apart."""
    import keras

    from keras_med.models import resnet18, vit, weights

    kept = json.loads(FIXTURE.read_text())
    expected_shapes = {"resnet18": kept["resnet18"]["shapes"], "vit_base_patch16_224": kept["base"]["shapes"]}
    pixels = np.load(folder / "pixels.npy")
    print(
        ", ".join(f"{name} {version}" for name, version in json.loads((folder / "versions.json").read_text()).items())
    )
    print(f"{'network':24}{'file':>14}{'largest feature':>18}{'difference':>12}{'names, shapes':>16}")
    worst = 0.0
    for name, (settings, _, _) in NETWORKS.items():
        theirs = np.load(folder / f"{name}.npy")
        with np.load(folder / f"{name}.npz") as archive:
            shapes = {key: list(archive[key].shape) for key in archive.files}
        same = "as kept" if shapes == expected_shapes.get(name, shapes) else "OTHER"
        for suffix in (".safetensors", ".npz"):
            with weights.policy(folder / f"{name}{suffix}"):
                image = keras.Input((size, size, 3))
                ours = keras.Model(image, (resnet18 if name == "resnet18" else vit)(image, **settings))
            features = keras.ops.convert_to_numpy(ours(pixels, training=False))
            apart = float((np.abs(features - theirs) / np.maximum(1, np.abs(theirs))).max())
            worst = max(worst, apart if same == "as kept" else 1.0)
            print(f"{name:24}{suffix:>14}{np.abs(theirs).max():18.2f}{apart:12.1e}{same:>16}")
    print(f"{'within' if worst <= BOUND else 'ABOVE'} {BOUND:g}")
    return 0 if worst <= BOUND else 1


if __name__ == "__main__":
    raise SystemExit(main())
