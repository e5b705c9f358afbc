"""The page in a real browser."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pytest

from keras_med.report.page import write_report
from keras_med.runfolder import RunFolder

ReportOf = Callable[..., RunFolder]


@contextmanager
def opened(browser: Any, run: RunFolder, width: int = 1280, **options: Any) -> Iterator[Any]:
    """Open the report; fail on a console message, a script error or a request."""
    page = browser.new_page(viewport={"width": width, "height": 800}, **options)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(f"dialog {dialog.message}"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    address = run.report.as_uri()
    page.goto(address)
    yield page
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:") and url.split("#")[0] != address] == []


def open_everything(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


@pytest.mark.parametrize("kind", ["regression", "binary", "classes"])
@pytest.mark.parametrize("width", [375, 1280])
def test_no_message_no_request_and_no_sideways_scrolling(
    report_of: ReportOf, browser: Any, kind: str, width: int
) -> None:
    long = "a-file-name-without-a-single-place-to-break-" * 4
    run = report_of(kind=kind, worst_id="" if kind == "classes" else long)
    with opened(browser, run, width) as page:
        open_everything(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.body.scrollWidth") <= width


@pytest.mark.parametrize(("kind", "pictures"), [("regression", True), ("binary", False), ("classes", True)])
def test_the_first_screen_needs_no_scrolling(report_of: ReportOf, browser: Any, kind: str, pictures: bool) -> None:
    with opened(browser, report_of(kind=kind, pictures=pictures, demo=True, smoke=True)) as page:
        for part in (".verdict", "h1", ".metric", ".counts", ".reds", ".three"):
            box = page.locator(f".first {part}").bounding_box()
            assert box["y"] + box["height"] <= 800, part
        assert page.locator(".three figure").count() == 3


def test_a_hostile_id_stays_text(report_of: ReportOf, browser: Any) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    with opened(browser, report_of(kind="regression", worst_id=hostile)) as page:
        open_everything(page)
        assert page.locator("#pictures th", has_text=hostile).count() == 1
        assert page.locator("img[src=x]").count() == 0


def test_the_sliders_numbers_are_those_of_its_table(report_of: ReportOf, browser: Any) -> None:
    run = report_of(kind="binary")
    with opened(browser, run) as page:
        open_everything(page)
        table = pd.read_csv(run.figures / "thresholds.csv")
        for place in (0, 20, len(table) // 2, len(table) - 1):
            page.locator("#threshold").fill(str(place))
            row = table.iloc[place]
            assert float(page.locator("#threshold-value").inner_text()) == row["threshold"]
            for name in ("true_positive", "false_negative", "false_positive", "true_negative"):
                shown = page.locator(f"[data-cell={name}]").inner_text().split("\n")[0].replace("\u202f", "")
                assert int(shown) == row[name]


def test_the_slider_starts_where_metrics_json_was_scored(report_of: ReportOf, browser: Any) -> None:
    run = report_of(kind="binary")
    rows = pd.read_csv(run.predictions)
    rows = rows[rows["role"] == "test"]
    sensitivity = (rows.loc[rows["label"] == 1, "p_1"] >= 0.5).mean()
    with opened(browser, run) as page:
        open_everything(page)
        assert page.locator("#threshold-value").inner_text() == "0.5"
        assert page.locator("[data-share=sensitivity]").inner_text() == f"{100 * sensitivity:.1f} %"
        page.locator("#threshold").press("ArrowRight")
        assert page.locator("#threshold-value").inner_text() != "0.5"
        page.locator("#threshold-reset").click()
        assert page.locator("#threshold-value").inner_text() == "0.5"


def test_a_threshold_of_the_network_s_own_is_shown_in_four_digits(
    make_run: Callable[..., RunFolder], browser: Any
) -> None:
    run = make_run(kind="binary")
    chosen = {"value": 0.371234567, "target": 0.9, "positives": 30, "positive_patients": 30, "sentence": "Chosen."}
    told = json.loads(run.metrics.read_text()) | {"threshold": {**chosen, "fit": "t000-final", "part": "calibration"}}
    run.metrics.write_text(json.dumps(told))
    write_report(run)
    with opened(browser, run) as page:
        open_everything(page)
        assert page.locator("#threshold-value").inner_text() == "0.3712"
        page.locator("#threshold").press("ArrowRight")
        page.locator("#threshold-reset").click()
        assert page.locator("#threshold-value").inner_text() == "0.3712"


def test_a_table_sorts_by_numbers_with_their_minus_sign(report_of: ReportOf, browser: Any) -> None:
    with opened(browser, report_of()) as page:
        open_everything(page)
        table = page.locator("#pictures table.sortable")
        table.locator("th button", has_text="Error").press("Enter")
        shown = [
            float(text.replace("\u2212", "-")) for text in table.locator("tbody td:nth-child(4)").all_inner_texts()
        ]
        assert shown == sorted(shown)
        table.locator("th button", has_text="Error").press("Enter")
        assert table.locator("th[aria-sort=descending]").count() == 1


def test_sections_open_from_the_keyboard_and_from_a_link(report_of: ReportOf, browser: Any) -> None:
    with opened(browser, report_of()) as page:
        assert page.locator("#data").get_attribute("open") is None
        page.locator("#data > summary").focus()
        page.keyboard.press("Enter")
        assert page.locator("#data").get_attribute("open") is not None
        page.locator(".reds a").click()
        page.wait_for_selector("#checks[open]")


def test_dark_and_light_follow_the_system_and_the_button(report_of: ReportOf, browser: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, report_of(), color_scheme="dark") as page:
        assert page.evaluate(paper) == "rgb(20, 25, 29)"
        page.locator("#theme").click()
        assert page.locator("#theme").inner_text() == "Theme: light"
        assert page.evaluate(paper) == "rgb(247, 248, 248)"


def test_printing_shows_every_section_on_white(report_of: ReportOf, browser: Any) -> None:
    with opened(browser, report_of(), color_scheme="dark") as page:
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.evaluate("document.querySelectorAll('details:not([open])').length") == 0
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(30, 42, 51)"
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate("document.querySelectorAll('details.section[open]').length") == 0


def test_every_picture_and_figure_has_words(report_of: ReportOf, browser: Any) -> None:
    with opened(browser, report_of(kind="classes")) as page:
        assert page.locator("img").count() > 3
        assert page.locator("img:not([alt]), img[alt='']").count() == 0
        assert page.locator("svg:not([aria-label])").count() == 0
