"""The page in a real browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

DROP = """(files) => {
  const held = new DataTransfer();
  for (const [name, bytes] of files) held.items.add(new File([new Uint8Array(bytes)], name));
  document.getElementById("stage").dispatchEvent(new DragEvent("drop", {dataTransfer: held, bubbles: true}));
}"""
COLOUR = """([id, x, y]) => [...document.getElementById(id).getContext("2d").getImageData(x, y, 1, 1).data]"""


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """Open the page; fail on a script error, a refused load or a request to anyone else."""
    page = browser.new_page(viewport={"width": 1280, "height": 800}, **options)
    page.set_default_timeout(20_000)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_selector("#facts:not(:empty)")
    yield page
    page.close()
    # a browser writes down that it was answered with 422, and that these tests look at many pixels
    assert [line for line in said if "422" not in line and "willReadFrequently" not in line] == []
    assert [one for one in asked if not one.startswith((url, "data:"))] == []


def drop(page: Any, *files: tuple[str, bytes]) -> None:
    page.evaluate(DROP, [[name, list(content)] for name, content in files])


def shown(page: Any, name: str) -> None:
    """Wait for a picture of this name."""
    page.wait_for_function("(name) => document.getElementById('named').textContent === name", arg=name)
    page.wait_for_selector("#frame:not([hidden])")


def test_two_files_at_once_with_sliders(browser: Any, flat_url: str, samples: Any) -> None:
    half = np.full((8, 8), 40, np.int16)
    half[:, 4:] = 80
    with opened(browser, flat_url) as page:
        assert "DEMO MODEL" in page.inner_text("#strips")
        drop(page, ("half.npy", samples.npy(half)), ("dark.dcm", samples.ct(0)))
        shown(page, "half.npy")
        assert page.locator("#list li").count() == 2
        # logits of 4 * 0.75 - 2 = 1 and of -2, both halved by the temperature: 62 % and 27 %
        assert page.locator("#list .says").all_inner_texts() == ["62 %", "27 %"]
        assert "calibrated probability of 1" in page.inner_text("#answer")
        assert "own 0.731, threshold 0.4" in page.inner_text("#answer")
        assert "Called 1 at the threshold" in page.inner_text("#answer")
        # shown in the recipe's first window, from 0 to 80
        assert page.evaluate(COLOUR, ["picture", 0, 0])[0] in (127, 128)
        assert page.evaluate(COLOUR, ["picture", 7, 0])[0] == 255
        page.locator("#level").fill("80")  # from 40 to 120
        assert page.inner_text("#level-value") == "80"
        assert page.evaluate(COLOUR, ["picture", 0, 0])[0] in (0, 1)
        assert page.evaluate(COLOUR, ["picture", 7, 0])[0] in (127, 128)
        page.locator("#window").fill("20")  # from 70 to 90
        assert page.evaluate(COLOUR, ["picture", 0, 0])[0] == 0
        page.locator("#opacity").fill("80")
        assert page.evaluate("getComputedStyle(document.getElementById('heat')).opacity") == "0.8"
        assert page.evaluate(COLOUR, ["heat", 3, 0])[3] == 255  # the bright half is the hottest
        page.click("#reset")
        assert (page.inner_text("#level-value"), page.inner_text("#window-value")) == ("40", "80")
        page.click("#list li:nth-child(2) button")
        shown(page, "dark.dcm")
        assert page.inner_text("#level-value") == "40 HU"
        page.keyboard.press("ArrowUp")  # without slices the arrows go through the pictures
        shown(page, "half.npy")


def test_a_number_is_shown_whole_with_the_spread_of_its_networks(browser: Any, ages_url: str, samples: Any) -> None:
    with opened(browser, ages_url) as page:
        drop(page, ("half.npy", samples.npy(np.full((8, 8), 40, np.int16))))
        shown(page, "half.npy")
        # 100 and 120 years: their sample deviation is 10 times the root of 2
        assert page.inner_text("#answer .value") == "110years"
        assert page.locator("#list .says").all_inner_texts() == ["110 years"]
        assert "\u00b1 14.1 between the networks" in page.inner_text("#answer")


def test_an_unreadable_file_says_why_and_the_other_is_shown(browser: Any, flat_url: str, samples: Any) -> None:
    hostile = "<img src=x onerror=alert(1)>.dcm"
    with opened(browser, flat_url) as page:
        drop(page, (hostile, b"Dear colleague,"), ("good.png", samples.png(40)))
        shown(page, "good.png")
        assert "not a DICOM file" in page.inner_text("#list li:first-child")
        page.click("#list li:first-child button")
        assert "not a DICOM file" in page.inner_text("#answer")
        assert page.locator("#frame").is_hidden()
        assert page.locator("img[src=x]").count() == 0
        drop(page, ("alone.dcm", b"Dear colleague,"))
        page.wait_for_function("() => document.querySelectorAll('#list li').length === 3")
        page.wait_for_function("() => document.getElementById('named').textContent === 'alone.dcm'")


def test_arrow_keys_go_through_the_slices_of_a_series(browser: Any, deep_url: str, samples: Any) -> None:
    slices = [(f"{place}.dcm", samples.ct(20 * place, series="1.2.3", place=place)) for place in range(4)]
    with opened(browser, deep_url) as page:
        drop(page, *slices)
        shown(page, "4 slices, 0.dcm")
        assert page.inner_text("#place") == "slice 3 of 4"
        assert page.evaluate(COLOUR, ["picture", 0, 0])[0] in (127, 128)  # 40 of 0-80
        page.keyboard.press("ArrowDown")
        assert page.inner_text("#slice-value") == "4 of 4"
        assert page.evaluate(COLOUR, ["picture", 0, 0])[0] in (191, 192)
        page.keyboard.press("ArrowDown")  # there is no fifth
        assert page.inner_text("#slice-value") == "4 of 4"
        for _ in range(3):
            page.keyboard.press("ArrowUp")
        assert page.inner_text("#slice-value") == "1 of 4"
        assert page.evaluate(COLOUR, ["picture", 0, 0])[0] == 0
        page.locator("#slice").fill("1")
        assert page.evaluate(COLOUR, ["picture", 0, 0])[0] in (63, 64)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_telephone_needs_no_sideways_scrolling(browser: Any, flat_url: str, samples: Any, scheme: str) -> None:
    long = "a-file-name-without-a-single-place-to-break-" * 3 + ".png"
    with opened(browser, flat_url, color_scheme=scheme) as page:
        page.set_viewport_size({"width": 375, "height": 812})
        drop(page, (long, samples.png(40)), ("bad.dcm", b"x"))
        shown(page, long)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375
