"""What the page draws and tells of a search."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from keras_med.report.contents import Contents, read
from keras_med.report.search import search_section
from keras_med.report.search_figures import search_drawings
from keras_med.runfolder import RunFolder

FOLLOWED = ("loss", "sensitivity", "precision", "accuracy")


@pytest.fixture
def searched(make_run: Callable[..., RunFolder]) -> Callable[[dict[str, list[object]]], Contents]:
    """Give the builder of a run of four trials, two epochs and two fits each, that end with losses of 0.4 to 0.7."""

    def build(over: dict[str, list[object]]) -> Contents:
        run = make_run(kind="binary")
        entries, rows = [], []
        for number in range(4):
            trial = f"t{number + 1:03d}"
            changes = {name: values[number] for name, values in over.items()}
            fits = [f"{trial}-fold{fold}" for fold in range(2)]
            for fit in fits:
                _history(run.fit(fit).path, 0.4 + number / 10)
            entries.append(
                {"trial": trial, "round": 0, "changes": changes, "fits": fits, "status": "done", "seconds": 30.0}
            )
            rows.append(
                {"rank": number + 1, "trial": trial, **changes, "fits": 2, "round": 1, "epochs": 2, "status": "done"}
            )
        table = pd.DataFrame(rows).assign(auroc=[0.9, 0.8, 0.7, 0.6], auroc_spread=0.01, low=0.5, high=1.0)
        table = table.assign(beats_chance=True, dropped="", seconds=30.0, difference=np.nan, difference_low=np.nan)
        table.assign(difference_high=np.nan, distinguishable="").to_csv(run.search, index=False)
        run.trials.write_text(json.dumps({"format": 1, "batches": [entries]}))
        settings = json.loads(run.settings.read_text())
        run.settings.write_text(json.dumps({**settings, "winner": {"changes": dict.fromkeys(over, 0)}}))
        return read(run)

    return build


def _history(folder: Path, last: float) -> None:
    folder.mkdir(parents=True)
    followed = {f"validation_{name}": [0.8, last] for name in FOLLOWED}
    pd.DataFrame({"epoch": [1, 2], "loss": [0.9, 0.3], **followed}).to_csv(folder / "history.csv", index=False)


def test_a_round_has_a_figure_of_each_thing_that_was_followed_with_every_trial_in_it(
    searched: Callable[..., Contents],
) -> None:
    drawings = {one.name: one for one in search_drawings(searched({"train.learning_rate": [1e-1, 1e-2, 1e-3, 1e-4]}))}
    assert list(drawings) == [
        "search_round1_loss",
        "search_round1_sensitivity",
        "search_round1_precision",
        "search_round1_accuracy",
    ]
    data = drawings["search_round1_loss"].data
    ends = data[data["epoch"] == 2].set_index("trial")["value"]
    assert ends.to_dict() == pytest.approx({"t001": 0.4, "t002": 0.5, "t003": 0.6, "t004": 0.7})
    assert "t004 ends at 0.700" in drawings["search_round1_loss"].alt


def test_beyond_two_settings_trials_are_parallel_lines_from_the_lowest_to_the_highest_value(
    searched: Callable[..., Contents],
) -> None:
    over = {
        "train.learning_rate": [1e-1, 1e-2, 1e-3, 1e-4],
        "train.batch_size": [8, 16, 8, 16],
        "model.pool": ["max", "mean", "max", "mean"],
    }
    (drawing,) = [one for one in search_drawings(searched(over)) if one.name == "search_parallel"]
    assert list(drawing.data) == ["trial", *over, "auroc"]
    for text in ("0.0001", "0.1", "8", "16", "max", "mean", "0.6", "0.9"):
        assert f">{text}</text>" in drawing.svg
    assert "t001: 0.1, 8, max, 0.9" in drawing.alt


def test_two_settings_are_a_heat_map(searched: Callable[..., Contents]) -> None:
    over = {"train.learning_rate": [0.1, 0.1, 0.01, 0.01], "train.batch_size": [8, 16, 8, 16]}
    drawing = search_drawings(searched(over))[-1]
    assert drawing.name == "search_heat_map"
    assert drawing.data.set_index(["train.learning_rate", "train.batch_size"])["auroc"].to_dict() == {
        (0.1, 8): 0.9, (0.1, 16): 0.8, (0.01, 8): 0.7, (0.01, 16): 0.6,
    }  # fmt: skip


def test_what_a_round_cost_is_told(searched: Callable[..., Contents]) -> None:
    section = search_section(searched({"train.learning_rate": [1e-1, 1e-2, 1e-3, 1e-4]}), [])
    assert section is not None
    assert "Round 1: 4 trials, 8 fits, 16 epochs, 2 min of training." in section["sentences"]
