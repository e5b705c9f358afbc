"""A run's training pictures to the figure of what the network sees: as prepared, and as augmentation changes them."""

import dataclasses
from typing import Any

import cv2
import numpy as np
import pandas as pd

from keras_med.data.augmentation import augment
from keras_med.recipe.seeds import seed_for
from keras_med.recipe.words import Augment
from keras_med.report.contents import Contents
from keras_med.report.figures import MUTED, Drawing, canvas, finish
from keras_med.report.pictures import plane_of, prepared, showable, shrunk

EXAMPLES, EPOCHS = 3, 4
EDGE = 128  # pixels


def changed_pictures(contents: Contents) -> list[Drawing]:
    """Draw a few training pictures in the first epochs of the network that is kept; nothing without augmentation."""
    changes, drawn_from = _changes(contents), _seed(contents)
    if changes is None or drawn_from is None:
        return []
    seed, views = drawn_from
    epochs = range(min(EPOCHS, views or EPOCHS))
    rows, told = [], []
    for name in _examples(contents):
        image = prepared(contents, name)
        if image is None:
            continue
        rows.append([image, *(augment(image, changes, seed, epoch, name) for epoch in epochs)])
        told += [{"example": name, "epoch": epoch + 1} for epoch in epochs]
    return [_drawing(rows, pd.DataFrame(told), "view" if views else "epoch")] if rows else []


def _changes(contents: Contents) -> Augment | None:
    settings = contents.settings.get("settings") or {}
    fields = [field.name for field in dataclasses.fields(Augment)]
    if not all(f"augment.{name}" in settings for name in fields):
        return None
    given: dict[str, Any] = {name: settings[f"augment.{name}"] for name in fields}
    given["flip"] = given["flip"] if isinstance(given["flip"], str) else tuple(given["flip"])
    return Augment(**given)


def _seed(contents: Contents) -> tuple[int, int] | None:
    """Return what changes are drawn from, and the number of kept views, 0 where each epoch has changes of its own."""
    views = int(contents.chosen("train.views") or 0)
    if views:
        return seed_for(int(contents.settings.get("seed") or 0), "views"), views
    seed = contents.fits[-1].plan.get("seed") if contents.fits else None
    return None if seed is None else (int(seed), 0)


def _examples(contents: Contents) -> list[str]:
    """Choose training examples of the kept network's fold, spread over the labels."""
    fold = contents.fits[-1].plan.get("fold") if contents.fits else None
    splits = contents.splits
    if not {"id", "split", "fold"} <= set(splits.columns):
        return []
    ids = splits.loc[(splits["fold"] == fold) & (splits["split"] == "train"), "id"]
    table = contents.index.drop_duplicates("id").set_index("id")
    usable = table[table.index.isin(set(ids) & showable(contents))]
    ordered = usable["label"].map(_ordered).sort_values(kind="stable").index
    places = {int(len(ordered) * (number + 0.5) / EXAMPLES) for number in range(EXAMPLES if len(ordered) else 0)}
    return [str(ordered[place]) for place in sorted(places)]


def _ordered(label: object) -> tuple[float, str]:
    number = pd.to_numeric(str(label), errors="coerce")
    return (float(number) if number == number else np.inf, str(label))


def _drawing(rows: list[list[np.ndarray]], data: pd.DataFrame, word: str) -> Drawing:
    columns = ["as prepared", *(f"{word} {number}" for number in range(1, len(rows[0])))]
    with canvas(0.25 + 0.92 * len(rows)) as figure:
        panels = figure.subplots(len(rows), len(columns), squeeze=False)
        for place, axes in np.ndenumerate(panels):
            picture = shrunk(plane_of(rows[place[0]][place[1]]), EDGE)
            colour = picture.ndim == 3 and picture.shape[2] == 3
            pixels = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB if colour else cv2.COLOR_GRAY2RGB)
            axes.imshow(pixels, interpolation="none")
            axes.set_axis_off()
            if place[0] == 0:
                axes.set_title(columns[place[1]], fontsize=8, color=MUTED, pad=3)
    return finish(
        figure,
        "changed",
        caption="What the network sees: training pictures as prepared, and as augmentation changed them.",
        alt=f"{len(rows)} training pictures, each as prepared and as changed in {len(columns) - 1} {word}s.",
        data=data.rename(columns={"epoch": word}),
    )
