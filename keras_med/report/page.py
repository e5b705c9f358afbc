"""A run folder to report.html: one self-contained page, its figures and their data."""

import functools
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from keras_med.report import sections
from keras_med.report.changed import changed_pictures
from keras_med.report.checks import checks
from keras_med.report.class_figures import class_figures
from keras_med.report.contents import Contents, read
from keras_med.report.data_figures import data_histograms
from keras_med.report.figures import Drawing
from keras_med.report.folds import fold_table
from keras_med.report.heat import read_heat
from keras_med.report.opening import first_screen
from keras_med.report.operating import operating_points, threshold_of
from keras_med.report.performance import performance
from keras_med.report.pictures import first_three, gallery
from keras_med.report.regression_figures import regression_figures
from keras_med.report.reproduce import reproduce
from keras_med.report.scored import Scored, judged, scored
from keras_med.report.search import search_section
from keras_med.report.search_figures import search_drawings
from keras_med.report.training_figures import learning_curves
from keras_med.runfolder import RunFolder, write_csv, write_text

TEMPLATES = Path(__file__).parent / "templates"
LARGEST = 5_000_000  # bytes: what a mail gateway lets through


def write_report(run: RunFolder) -> Path:
    """Write report.html, figures/*.svg and the figures' data; say in the page what is missing."""
    contents = read(run)
    found = scored(contents)
    cases = judged(contents, found)
    drawings = draw(contents, cases)
    for drawing in [each for group in drawings.values() for each in group]:
        drawing.save(run.figures)
    points = None
    if contents.target.kind == "binary" and not cases.why:
        points = operating_points(cases, threshold_of(contents.metrics, cases.rows))
        write_csv(run.figures / "thresholds.csv", points)
    page = render(contents, found, drawings, points)
    if len(page.encode()) > LARGEST:
        page = render(contents, found, drawings, points, pictures=False)
    write_text(run.report, page)
    return run.report


def draw(contents: Contents, found: Scored) -> dict[str, list[Drawing]]:
    """Make every figure, by the section that shows it."""
    figures: list[Drawing] = []
    if not found.why and contents.target.kind == "regression":
        figures = regression_figures(contents, found)
    elif not found.why:
        figures = class_figures(contents, found, threshold_of(contents.metrics, found.rows))
    return {
        "data": [*data_histograms(contents), *changed_pictures(contents)],
        "training": learning_curves(contents),
        "search": search_drawings(contents),
        "performance": figures,
    }


def render(
    contents: Contents,
    found: Scored,
    drawings: dict[str, list[Drawing]],
    points: pd.DataFrame | None,
    *,
    pictures: bool = True,
) -> str:
    """Fill the templates; every text from the run is escaped."""
    known = checks(contents, found)
    three = first_three(contents, found) if pictures else []
    heat = read_heat(contents.run)
    shown = gallery(contents, found, heat) if pictures else []
    values: dict[str, Any] = {
        "title": contents.title,
        "run_name": contents.run.path.name,
        "demo": contents.demo,
        "smoke": contents.smoke,
        "first": first_screen(contents, found, known, three, drawings),
        "result": sections.result(contents),
        "checks": known,
        "data": sections.data(contents, drawings["data"]),
        "training": sections.training(contents, drawings["training"]),
        "search": search_section(contents, drawings["search"]),
        "performance": performance(contents, found, drawings["performance"], points),
        "gallery": sections.pictures(contents, found, shown, heat.sentences()),
        "folds": fold_table(contents),
        "reproduce": reproduce(contents),
    }
    values["sections"] = sections.headings(contents, values)
    return _templates().get_template("page.html").render(values)


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
