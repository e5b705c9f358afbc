"""What was guessed of a data set to the text of a recipe, short and ready to be changed."""

import json
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from keras_med.data.starter_guess import Pictures, Target

_WIDTH = 120


@dataclass(frozen=True)
class Draft:
    """What the recipe will say of its data.

    code: the lines of `index`.
    table: what those lines give.
    guesses: what the user should check, for the docstring.
    by_patient: whether a label stands for a whole patient.
    """

    code: list[str]
    table: pd.DataFrame
    guesses: list[str]
    by_patient: bool = False


def recipe_text(draft: Draft, target: Target, pictures: Pictures, *, folder: Path, out: Path) -> str:
    """Write the recipe."""
    words = [target.word, "Data", "Holdout", "Image", "Model", "Recipe", "Train"]
    words = sorted([*words, "Evaluate"] if draft.by_patient else words)
    lines = [*_docstring(draft, target, folder, out), ""]
    if any("Path(" in line for line in draft.code):
        lines += ["from pathlib import Path", ""]
    lines += [f"from keras_med import {', '.join(words)}, tables", "", ""]
    lines += ["def index(root):", *(f"    {line}" for line in draft.code), "", ""]
    lines += [*_network(len(pictures.size)), "", "", *_recipe(draft, target, pictures)]
    return "\n".join(lines) + "\n"


def call(head: str, arguments: list[str], *, indent: int = 0) -> list[str]:
    """Write a call in one line, or where that is too long its arguments below."""
    line = f"{head}({', '.join(arguments)})"
    if indent + len(line) <= _WIDTH:
        return [line]
    below: list[str] = [""]
    for argument in arguments:
        fits = indent + 4 + len(below[-1]) + len(argument) + 2 <= _WIDTH
        below = [*below[:-1], f"{below[-1]} {argument},"] if fits else [*below, f" {argument},"]
    packed = [f"   {text}" for text in below if text]
    packed = [packed[0].rstrip(",")] if len(packed) == 1 else packed
    return [f"{head}(", *(text + _excused(text, indent) for text in packed), ")"]


def _excused(line: str, indent: int = 0) -> str:
    return "  # noqa: E501" if indent + len(line) > _WIDTH else ""


def said(value: object) -> str:
    """Write a plain value as Python does, texts in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=not value.isprintable())
    if isinstance(value, tuple):
        return f"({', '.join(said(item) for item in value)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{said(key)}: {said(item)}" for key, item in value.items()) + "}"
    return repr(value)


def _target(target: Target) -> list[str]:
    names = target.arguments.get("names")
    if isinstance(names, tuple) and len(said(names)) > _WIDTH - 30:
        return [
            "target=Classes(",
            *(f"    {line}" for line in call("names=", [said(name) for name in names], indent=8)),
            ")",
        ]
    return [f"target={target.word}({', '.join(f'{name}={said(value)}' for name, value in target.arguments.items())})"]


def _docstring(draft: Draft, target: Target, folder: Path, out: Path) -> list[str]:
    command = f"python -m keras_med.run {shlex.quote(str(out))} --data {shlex.quote(str(folder))}"
    guesses = list(draft.guesses)
    if target.word == "Binary":
        guesses.append(f"{said(target.arguments['positive'])} is the positive class")
    told = [
        f"A first recipe for {len(draft.table):,} images in {folder.name or 'this folder'}.",
        "",
        f"    {command}",
        "",
    ]
    told += textwrap.wrap(f"Guessed from the data, please check: {'; '.join(guesses)}.", _WIDTH - 10)
    if "patient" not in draft.table:
        told.append("The data name no patients: images of one patient may lie on both sides of the split.")
    safe = [line.replace("\\", "/").replace('"""', "'''") for line in told]
    return [f'"""{safe[0]}', *safe[1:], f'"""{"".join(sorted({_excused(line, 3) for line in safe}))}']


def _network(dimensions: int) -> list[str]:
    return [
        "def network(image, *, width: int = 16):",
        "    import keras",
        "",
        "    x = keras.layers.Rescaling(1 / 255)(image)",
        "    for filters in (width, 2 * width, 4 * width):",
        f'        x = keras.layers.Conv{dimensions}D(filters, 3, padding="same", use_bias=False)(x)',
        "        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x))",
        f'        x = keras.layers.MaxPooling{dimensions}D(padding="same")(x)',
        f"    return keras.layers.GlobalAveragePooling{dimensions}D()(x)",
    ]


def _recipe(draft: Draft, target: Target, pictures: Pictures) -> list[str]:
    image = [f"size={pictures.size}", f"values={pictures.values}"]
    image += [f"channels={pictures.channels}"] if pictures.channels else []
    batch = 8 if len(pictures.size) == 3 else 16 if len(draft.table) < 500 else 32
    lines = [
        *_target(target),
        "data=Data(index)",
        f"image=Image({', '.join(image)})",
        "split=Holdout(validation=0.15, test=0.15)",
        "model=Model(network)",
        f"train=Train(epochs=20, batch_size={batch}, learning_rate=1e-3, patience=5)",
        *(['evaluate=Evaluate(unit="patient", combine="mean")'] if draft.by_patient else []),
        "seed=1",
    ]
    return [
        "recipe = Recipe(",
        *(f"    {line}" + ("" if line.endswith(("(", ",", "E501")) else ",") for line in lines),
        ")",
    ]
