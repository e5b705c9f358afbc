"""The model card."""

import json
from collections.abc import Callable

from keras_med.report.card import write_card
from keras_med.runfolder import RunFolder

MakeRun = Callable[..., RunFolder]


def test_the_card_names_use_data_metrics_and_limits(make_run: MakeRun) -> None:
    card = write_card(make_run()).read_text()
    for heading in ("Intended use", "Data", "Metrics", "Limits", "How it was made"):
        assert f"\n## {heading}\n" in card
    assert "not a medical device" in card
    assert "240 images, patients not known; 3 excluded." in card
    assert "- Red: 4 images are identical to others of another label." in card


def test_demo_figures_go_into_no_leaderboard(make_run: MakeRun) -> None:
    card = write_card(make_run(demo=True)).read_text()
    assert "model-index" not in card
    assert "**DEMO DATA**" in card


def test_the_front_matter_holds_the_test_figures(make_run: MakeRun) -> None:
    run = make_run(kind="binary")
    front = write_card(run).read_text().split("---")[1]
    value = json.loads(run.metrics.read_text())["splits"]["test"]["auroc"]["value"]
    assert f'- type: "auroc"\n      value: {json.dumps(value)}' in front


def test_html_and_yaml_in_a_recipes_words_stay_words(make_run: MakeRun) -> None:
    run = make_run()
    settings = json.loads(run.settings.read_text())
    settings["recipe"].update(title='a: "b"\n---\n<script>', docstring="<script>alert(1)</script>")
    run.settings.write_text(json.dumps(settings))
    card = write_card(run).read_text()
    assert "<script>" not in card
    assert card.split("\n").count("---") == 2  # the fences of the front matter and no other
