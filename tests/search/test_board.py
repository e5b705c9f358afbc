"""The table of a running search, as rich writes it."""

import io
from pathlib import Path

from rich.console import Console

from keras_med.jobs.job import Job
from keras_med.search.board import Board
from keras_med.search.oracles import Asked
from keras_med.search.ranking import Figures


def figures(auroc: float, *, learned: bool = True) -> Figures:
    return Figures({"auroc": auroc}, {}, auroc - 0.1, auroc + 0.05, learned)


def written(board: Board) -> list[str]:
    screen = io.StringIO()
    Console(file=screen, width=120).print(board.table())
    return screen.getvalue().splitlines()


def board(count: int, found: dict[str, Figures], why: dict[str, str]) -> Board:
    asked = [Asked(f"t{number:03d}", 0, {"train.learning_rate": 10.0**-number}) for number in range(1, count + 1)]
    stages = {one.trial: [{Job(Path(f"{one.trial}-fold{fold}"), "a:b"): 12 for fold in range(3)}] for one in asked}
    return Board(asked, stages, found, why, "auroc")


def test_those_that_train_stand_above_those_that_ended_of_which_the_best_is_first() -> None:
    shown = board(
        6, {"t001": figures(0.7), "t002": figures(0.9), "t005": figures(0.5, learned=False)}, {"t003": "boom"}
    )
    shown.last = {Path(f"t004-fold{fold}"): {"epoch": "4", "validation_loss": "0.43217"} for fold in (0, 1)}
    lines = written(shown)
    places = [
        next(at for at, line in enumerate(lines) if name in line) for name in ("t004", "t002", "t001", "t005", "t003")
    ]
    assert places == sorted(places)
    text = " ".join(" ".join(lines).split())
    assert "fit 2 of 3, epoch 4 of 12, validation loss 0.4322" in text
    assert "0.900 (0.800 to 0.950)" in text
    assert "no better than chance" in text
    assert "failed: boom" in text
    assert "4 of 6 ended, 1 wait" in text
    assert "t006" not in text


def test_a_long_search_shows_its_ten_best_and_says_how_many_it_hides() -> None:
    lines = written(board(40, {f"t{number:03d}": figures(number / 100) for number in range(1, 31)}, {}))
    assert sum("done" in line for line in lines) == 10
    assert any("t030" in line for line in lines)
    assert any("30 of 40 ended, 20 of them not shown, 10 wait" in line for line in lines)
