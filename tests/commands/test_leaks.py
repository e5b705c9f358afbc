import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from keras_med.runfolder import RunFolder

Command = Callable[..., subprocess.CompletedProcess[str]]


def test_pictures_mirrored_before_the_split_are_counted_measured_and_told_in_red(
    tmp_path: Path, stripes: Path, command: Command
) -> None:
    arguments = ["--data", stripes / "data", "--set", "train.epochs=1", "--set", "data.mirror=before_split"]
    ended = command("run", stripes / "stripes.py", *arguments)
    assert ended.returncode == 0, ended.stderr
    run = RunFolder((tmp_path / "runs" / "stripes" / "latest").resolve())
    splits = pd.read_csv(run.splits, dtype=str)
    first = splits[splits["fold"] == "0"]
    assert len(first) == 240
    sides = first.assign(picture=first["id"].str.removesuffix("~mirror")).groupby("picture")["split"].nunique()
    assert (sides == 2).any()
    metrics = json.loads(run.metrics.read_text())
    found = metrics["flattery"]["out_of_fold"]
    expected = 0
    for fold in ("0", "1"):
        place = splits[splits["fold"] == fold].set_index("id")["split"]
        groups = splits.drop_duplicates("id").set_index("id")["group"]
        known = set(groups[place.index[place.isin(["train", "validation"])]])
        expected += sum(groups[name] in known for name in place.index[place == "out_of_fold"])
    assert (found["examples"], found["known"]) == (192, expected)
    rows = pd.read_csv(run.predictions)
    rows = rows[rows["role"] == "out_of_fold"]
    published = float((rows["predicted"] - rows["label"]).abs().mean())
    assert found["figures"]["mae"]["published"] == pytest.approx(published, rel=1e-9)
    assert "RED: " in ended.stdout
    for sentence in ("than their mirrored copy", f"{expected} of the 192 examples of the folds"):
        assert sentence in ended.stdout
        assert sentence in run.report.read_text()
