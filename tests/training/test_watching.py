from pathlib import Path

import pytest

from keras_med.terminal import Counter
from keras_med.training.watching import CountWatch, EpochWatch

HEADER = "epoch,loss,validation_loss,learning_rate,seconds\n"


def test_each_epoch_of_each_fit_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = tmp_path / "t000-fold0"
    fit.mkdir()
    (fit / "history.csv").write_text(HEADER + "1,0.5,0.25,0.001,1.5\n")  # of an earlier process: not told again
    with Counter("training", 3) as counter:
        watch = EpochWatch(counter, {fit: 3})
        watch.see([fit])
        (fit / "history.csv").write_text(HEADER + "1,0.5,0.25,0.001,1.5\n2,0.4,0.12345678,0.001,1.5\n")
        watch.see([fit])
        watch.see([fit])
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["t000-fold0  epoch 2/3  loss 0.4  validation_loss 0.1235  learning_rate 0.001  seconds 1.5"]


def test_counts_that_are_not_there_yet_are_nothing(tmp_path: Path) -> None:
    told: list[int] = []
    files = [tmp_path / "one", tmp_path / "two"]
    watch = CountWatch(told.append, files, before=100)
    watch.see([])
    files[0].write_text("")
    watch.see([])
    files[1].write_text("7\n")
    watch.see([])
    files[0].write_text("5\n")
    watch.see([])
    assert told == [107, 112]
