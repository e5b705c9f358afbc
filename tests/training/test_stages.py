from dataclasses import replace
from pathlib import Path

from keras_med import runfolder
from keras_med.runfolder import RunFolder
from keras_med.training import stages
from keras_med.training.folds import FitPlan

HEAD = FitPlan("0", "validation", (), 2, None, "best", 1)


def test_a_second_stage_that_made_the_validation_loss_worse_is_told(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name, loss in {"a": 0.5, "a-tuned": 0.25, "b": 0.5, "b-tuned": 0.75}.items():
        runfolder.write_json(run.fit(name).done, {"best_loss": loss})
    plans = {f"{name}-tuned": replace(HEAD, head=name) for name in ("a", "b")}
    (check,) = stages.checks(run, plans)
    assert check["sentence"] == "Fine-tuning made the validation loss worse: 0.5 to 0.75 in b-tuned."
    assert stages.checks(run, {"a-tuned": plans["a-tuned"]}) == []
    assert stages.checks(run, {"b": HEAD}) == []
    assert stages.checks(run, {"b-tuned": replace(plans["b-tuned"], keep="last")}) == [], "the final's are for nothing"
