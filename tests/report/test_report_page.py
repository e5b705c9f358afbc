"""What the page says, from run folders whose numbers are known."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from keras_med.errors import DataError
from keras_med.report.contents import read
from keras_med.report.page import LARGEST, render, write_report
from keras_med.report.scored import scored
from keras_med.runfolder import RunFolder

HEADINGS = ["Result", "Checks", "Data", "Training", "Performance", "Pictures", "Folds", "Reproduce"]
MakeRun = Callable[..., RunFolder]


def page_of(run: RunFolder) -> str:
    return write_report(run).read_text(encoding="utf-8")


def words_of(run: RunFolder) -> str:
    """The page without its figures, which take most of its time."""
    contents = read(run)
    return render(contents, scored(contents), {"data": [], "training": [], "search": [], "performance": []}, None)


@pytest.mark.parametrize("kind", ["regression", "binary", "classes"])
def test_the_eight_headings_stand_in_their_order(make_run: MakeRun, kind: str) -> None:
    page = words_of(make_run(kind=kind))
    places = [page.index(f"<h2>{heading}</h2>") for heading in HEADINGS]
    assert places == sorted(places)


def test_the_headline_is_that_of_metrics_json(make_run: MakeRun) -> None:
    run = make_run()
    metrics = json.loads(run.metrics.read_text())
    metrics["splits"]["test"]["mae"].update(value=8.054, low=7.406, high=8.7)
    run.metrics.write_text(json.dumps(metrics))
    page = words_of(run)
    assert '<span class="value">8.05<small> years</small></span>' in page
    assert "95 % interval 7.41 to 8.70" in page


def test_demo_data_stands_on_every_section(make_run: MakeRun) -> None:
    page = words_of(make_run(demo=True))
    assert page.count('<span class="badge">DEMO DATA</span>') == len(HEADINGS)
    assert "<strong>DEMO DATA</strong>" in page
    assert "SMOKE RUN" not in page


def test_a_smoke_run_says_so_on_every_section_and_among_the_red_checks(make_run: MakeRun) -> None:
    page = words_of(make_run(smoke=True))
    assert page.count('<span class="badge red">SMOKE RUN</span>') == len(HEADINGS)
    assert "2 red checks" in page


def test_a_run_on_real_data_carries_no_banner(make_run: MakeRun) -> None:
    assert "DEMO DATA" not in words_of(make_run())


@pytest.mark.parametrize("kind", ["regression", "binary", "classes"])
def test_paths_and_patients_are_never_printed(make_run: MakeRun, kind: str) -> None:
    run = make_run(kind=kind, patients=True)
    written = page_of(run) + "".join(file.read_text() for file in run.figures.iterdir())
    assert "/private/place" not in written
    assert "secret-" not in written


def test_a_hostile_id_is_escaped_in_page_and_figures(make_run: MakeRun) -> None:
    run = make_run(worst_id="<script>alert(1)</script>")
    page = page_of(run)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_hostile_class_name_cannot_leave_the_sliders_data(make_run: MakeRun) -> None:
    run = make_run(kind="binary")
    settings = json.loads(run.settings.read_text())
    settings["target"].update(classes=["0", "</script><b>1"], positive="</script><b>1")
    run.settings.write_text(json.dumps(settings))
    predictions = pd.read_csv(run.predictions, dtype=str).rename(columns={"p_1": "p_</script><b>1"})
    predictions["label"] = predictions["label"].replace({"1": "</script><b>1"})
    predictions.to_csv(run.predictions, index=False)
    assert "</script><b>" not in page_of(run)


@pytest.mark.parametrize("gone", ["environment", "index", "excluded", "audit", "splits", "predictions", "test_uses"])
def test_a_missing_file_becomes_a_sentence(make_run: MakeRun, gone: str) -> None:
    run = make_run()
    file = getattr(run, gone)
    file.unlink()
    page = words_of(run)
    if gone not in ("excluded", "test_uses"):  # absent, these two say that there is nothing to tell
        assert f"{file.name} is missing" in page


@pytest.mark.parametrize("damaged", ["index", "splits", "predictions", "audit"])
def test_a_damaged_file_becomes_a_sentence(make_run: MakeRun, damaged: str) -> None:
    run = make_run()
    file = getattr(run, damaged)
    file.write_bytes(b'\xff\xfe"\x00,,\n"')
    assert f"{file.name} cannot be read" in words_of(run)


def test_without_metrics_there_is_no_report(make_run: MakeRun) -> None:
    run = make_run()
    run.metrics.unlink()
    with pytest.raises(DataError, match=r"metrics\.json"):
        write_report(run)


def test_a_run_that_scored_nothing_says_so(make_run: MakeRun) -> None:
    run = make_run()
    metrics = {
        "splits": {},
        "headline": None,
        "improvement": None,
        "verdict": None,
        "checks": [],
        "patients_known": False,
    }
    run.metrics.write_text(json.dumps({"format": 1, **metrics}))
    page = words_of(run)
    assert "NO VERDICT" in page
    assert "metrics.json holds no metric" in page


def test_predictions_of_another_run_are_a_red_check(make_run: MakeRun) -> None:
    run = make_run()
    predictions = pd.read_csv(run.predictions, dtype={"id": str})
    predictions.loc[predictions["role"] == "test", "predicted"] += 5
    predictions.to_csv(run.predictions, index=False)
    assert "The files are not of one run" in words_of(run)


def test_predictions_that_are_no_numbers_are_not_drawn(make_run: MakeRun) -> None:
    run = make_run()
    predictions = pd.read_csv(run.predictions, dtype={"id": str})
    test = predictions.index[predictions["role"] == "test"]
    predictions.loc[test[:3], "predicted"] = np.nan
    predictions.to_csv(run.predictions, index=False)
    assert "3 of 72 predictions or labels are no finite number" in page_of(run)
    assert not (run.figures / "true_predicted.svg").exists()


@pytest.mark.parametrize("label", ["0", "1"])
def test_one_class_alone_gives_a_sentence_instead_of_a_curve(make_run: MakeRun, label: str) -> None:
    run = make_run(kind="binary")
    predictions = pd.read_csv(run.predictions, dtype=str)
    predictions["label"] = predictions["label"].where(predictions["role"] != "test", label)
    predictions.to_csv(run.predictions, index=False)
    assert "No ROC curve: one of the two classes has no example here." in page_of(run)
    assert (run.figures / "confusion.svg").read_text().count(">\u2013</text>") == 2  # no share of nothing


def test_constant_predictions_are_drawn_without_a_warning(make_run: MakeRun) -> None:
    run = make_run()
    predictions = pd.read_csv(run.predictions, dtype={"id": str})
    predictions["predicted"] = 50.0
    predictions.to_csv(run.predictions, index=False)
    assert "correlation not defined" in page_of(run)


def test_one_test_example_is_enough_for_a_page(make_run: MakeRun) -> None:
    for kind in ("regression", "binary", "classes"):
        run = make_run(kind, kind=kind)
        predictions = pd.read_csv(run.predictions, dtype=str)
        test = predictions.index[predictions["role"] == "test"]
        predictions.drop(test[1:]).to_csv(run.predictions, index=False)
        assert "<h2>Performance</h2>" in page_of(run)


def test_the_test_split_is_counted_by_its_identity(make_run: MakeRun) -> None:
    assert "This test split has been scored 2 times" in words_of(make_run())


def test_a_verdict_reached_on_known_examples_is_not_green(make_run: MakeRun) -> None:
    run = make_run()
    assert 'class="verdict good"' in page_of(run)
    metrics = json.loads(run.metrics.read_text())
    metrics["flattery"] = {metrics["headline"]["split"]: {"known": 1}}
    run.metrics.write_text(json.dumps(metrics))
    assert 'class="verdict open"' in page_of(run)


@pytest.mark.parametrize(
    ("name", "class_", "severity"),
    [
        ("FAILED TO LEARN", "bad", "red"),
        ("DID NOT GENERALISE", "bad", "red"),
        ("TOO FEW CASES TO SAY", "open", "amber"),
    ],
)
def test_what_the_verdict_warns_of_stands_among_the_checks(
    make_run: MakeRun, name: str, class_: str, severity: str
) -> None:
    run = make_run()
    run.audit.unlink()
    metrics = json.loads(run.metrics.read_text())
    metrics["verdict"]["name"] = name
    run.metrics.write_text(json.dumps(metrics))
    page = words_of(run)
    assert f'class="verdict {class_}"' in page
    assert f'<li class="{severity}">' in page
    assert ("1 red check" in page) == (severity == "red")


def test_without_pictures_three_figures_stand_on_the_first_screen(make_run: MakeRun) -> None:
    page = page_of(make_run(pictures=False))
    first = page[page.index('class="first') : page.index('<details class="section"')]
    assert first.count("<svg") == 3
    assert "data:image" not in page


def test_burned_in_pictures_are_never_shown(make_run: MakeRun) -> None:
    run = make_run()
    pd.read_csv(run.index, dtype=str).assign(burned_in=True).to_csv(run.index, index=False)
    page = words_of(run)
    assert "data:image/png" not in page
    assert "264 images marked as holding burned-in text: never pictured." in page


def test_pictures_whose_arrays_are_gone_are_left_out(make_run: MakeRun) -> None:
    run = make_run()
    (run.path / "shard.npy").unlink()
    assert "the prepared arrays are not where index.csv says" in words_of(run)


def test_nothing_is_fetched_and_nothing_can_be(make_run: MakeRun) -> None:
    page = page_of(make_run(kind="binary"))
    assert "default-src 'none'" in page
    for word in ('src="http', 'href="http', "@import", '<link rel="stylesheet', "url(http"):
        assert word not in page


def test_twenty_thousand_predictions_make_a_page_of_less_than_five_megabytes(make_run: MakeRun) -> None:
    # How long that takes is benchmarks/report.py's question.
    assert write_report(make_run(kind="binary", examples=20_000, patients=True)).stat().st_size < LARGEST


def test_equal_runs_give_equal_pages(make_run: MakeRun) -> None:
    run = make_run(kind="binary")
    assert page_of(run) == page_of(run)
