"""Event files, read back with TensorBoard's own reader."""

from pathlib import Path

import pytest

from keras_med.runfolder import RunFolder
from keras_med.search import hparams

HISTORY = "epoch,loss,validation_loss,seconds\n1,0.9,0.8,1\n2,0.5,{last},1\n"


def entry(trial: str, auroc: float | None, changes: dict[str, object]) -> dict[str, object]:
    figures = {"values": {"auroc": auroc, "precision": None}}
    fits = [f"{trial}-fold0", f"{trial}-fold1"]
    return {"trial": trial, "status": "done", "changes": changes, "fits": fits, "figures": figures}


def test_tensorboard_reads_each_trials_settings_curves_and_figures(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run = RunFolder(tmp_path)
    for name, last in (("t001-fold0", 0.2), ("t001-fold1", 0.4)):
        run.fit(name).path.mkdir(parents=True)
        run.fit(name).history.write_text(HISTORY.format(last=last))
    tried = {"train.learning_rate": 1e-3, "train.batch_size": 16, "model.pool": None}
    failed = {"trial": "t002", "status": "failed", "changes": tried, "fits": [], "figures": None}
    for _ in range(2):  # a search that is resumed writes them again
        hparams.write(run, [entry("t001", 0.75, tried), failed], ("precision", "auroc"))
    assert [folder.name for folder in run.tensorboard.iterdir()] == ["t001"]
    read = EventAccumulator(str(run.tensorboard / "t001")).Reload()
    assert set(read.Tags()["scalars"]) == {"curves/loss", "curves/validation_loss", "search/auroc"}
    curve = [(event.step, event.value) for event in read.Scalars("curves/validation_loss")]
    assert curve == [(1, pytest.approx(0.8)), (2, pytest.approx(0.3))]
    assert read.Scalars("search/auroc")[0].value == 0.75
    content = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    shown = HParamsPluginData.FromString(content).session_start_info.hparams
    assert shown["train.learning_rate"].number_value == 1e-3
    assert shown["train.batch_size"].number_value == 16
    assert shown["model.pool"].string_value == "None"
