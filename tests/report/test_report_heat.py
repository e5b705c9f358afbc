"""Heat over pictures: none where there is no heat, one scale for all, and a warning where training changes nothing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from keras_med import runfolder
from keras_med.inference.overlay import heated, scale_of
from keras_med.report.contents import read
from keras_med.report.explaining import cases_of
from keras_med.report.heat import NONE, Heat, read_heat
from keras_med.report.page import write_report
from keras_med.runfolder import RunFolder

GREY = np.full((4, 4, 1), 100, np.uint8)


def test_a_picture_stays_as_it_is_where_there_is_no_heat() -> None:
    plane = np.zeros((4, 4), np.float32)
    plane[0, 0] = 2
    drawn = heated(GREY, plane, scale=2)
    assert drawn.shape == (4, 4, 3)
    assert (drawn[1:] == 100).all()
    assert drawn[0, 0].max() > 150  # the colour map's brightest, over a quarter of the picture


def test_all_pictures_share_one_scale_and_empty_ones_stay_empty() -> None:
    weak, strong = np.full((10, 10), 1, np.float32), np.full((10, 10), 4, np.float32)
    assert scale_of(np.stack([weak, strong])) == 4
    assert scale_of(np.zeros((2, 3, 3), np.float32)) == 1


def test_maps_that_shuffled_weights_give_too_are_called_what_they_are() -> None:
    planes = {"a": np.ones((2, 2), np.float32)}
    heat = Heat(planes, {"a": None}, 1.0, planes, similarity=0.9)
    assert "show the pictures more than what was learned" in heat.sentences()[-1]
    assert "correlate by 0.90 with those of the network with shuffled weights" in heat.sentences()[-1]
    assert "more than what" not in replace(heat, similarity=0.1).sentences()[-1]
    assert NONE.sentences() == []


def test_occlusion_that_disagrees_takes_the_maps_their_worth() -> None:
    planes = {"a": np.ones((2, 2), np.float32)}
    heat = Heat(planes, {"a": None}, 1.0, {}, occlusion=(0.81, 4))
    assert heat.sentences()[-1].endswith("of 4 pictures (occlusion) ranks places as the heat does by 0.81.")
    assert "by \u22120.10: the two disagree" in replace(heat, occlusion=(-0.1, 1)).sentences()[-1]


def test_a_network_that_cannot_be_explained_says_why(make_run: Callable[..., RunFolder]) -> None:
    run = make_run()
    runfolder.write_json(run.fit("explanations").done, {"why": "No layer of this network keeps the image's places."})
    assert read_heat(run).sentences() == ["No heat maps: No layer of this network keeps the image's places."]
    write_report(run)
    assert "No heat maps: No layer" in run.report.read_text()


@pytest.mark.parametrize(("kind", "outputs"), [("regression", {0}), ("binary", {0}), ("classes", {0, 1, 2})])
def test_the_worst_misses_are_explained_for_the_class_that_was_called(
    make_run: Callable[..., RunFolder], kind: str, outputs: set[int]
) -> None:
    contents = read(make_run(kind=kind))
    chosen = cases_of(contents, "t000-final")
    assert len(chosen) == 12
    assert set(chosen.values()) <= outputs
    assert cases_of(contents, "t000-fold0") == {}  # the figures are not this network's
    assert cases_of(read(make_run("hidden", kind=kind, pictures=False)), "t000-final") == {}
