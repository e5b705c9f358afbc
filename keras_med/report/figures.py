"""One visual hand for every figure: size, colours, type; and the way from matplotlib to SVG on disk and in the page."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from keras_med.runfolder import write_csv, write_text

# Each colour has a name; the page swaps the value for the name's CSS variable, so that a figure follows light and dark.
INK, MUTED, GRID = "#1e2a33", "#5f6e79", "#dde3e7"
ACCENT, SECOND, THIRD = "#1d6a8a", "#b5551d", "#5a7d2a"
FOURTH, FIFTH = "#7b5aa6", "#a6812b"
COLOURS = {
    "ink": INK,
    "muted": MUTED,
    "grid": GRID,
    "accent": ACCENT,
    "second": SECOND,
    "third": THIRD,
    "fourth": FOURTH,
    "fifth": FIFTH,
}
SERIES = (ACCENT, SECOND, THIRD, FOURTH, FIFTH, MUTED)
WIDTH, HEIGHT = 4.6, 3.45  # inches: two side by side on a screen, and still readable when shrunk to a phone
MOST_POINTS = 1500  # beyond, a scatter is a blot and a megabyte: density instead

STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "keras_med",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8.75,
    "ytick.labelsize": 8.75,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.fontsize": 8.75,
    "legend.handlelength": 1.6,
}


@dataclass(frozen=True)
class Drawing:
    """One figure.

    Attributes:
        name: of its files, figures/<name>.svg and .csv.
        caption: what it shows, in a sentence under it.
        alt: what it shows, with its numbers, to someone who cannot see it.
        svg: the drawing in its light colours.
        data: what was drawn.
    """

    name: str
    caption: str
    alt: str
    svg: str
    data: pd.DataFrame = field(repr=False)

    def save(self, folder: Path) -> None:
        """Write the drawing and its data."""
        write_text(folder / f"{self.name}.svg", self.svg)
        write_csv(folder / f"{self.name}.csv", self.data)

    @property
    def markup(self) -> Markup:
        """The drawing for the page: themed, without a fixed size, its ids its own, with its alt text."""
        return _inline(self.name, self.alt, self.svg)

    def copy_markup(self, prefix: str) -> Markup:
        """The same for a second place of the page, whose ids must differ."""
        return _inline(f"{prefix}-{self.name}", self.alt, self.svg)


@contextmanager
def canvas(height: float = HEIGHT) -> Iterator[Figure]:
    """Give an empty figure in the house style; draw and finish it inside the `with`."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(WIDTH, height), layout="constrained")


def finish(figure: Figure, name: str, *, caption: str, alt: str, data: pd.DataFrame) -> Drawing:
    """Turn a figure into its drawing; equal figures give equal bytes."""
    stream = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context(STYLE):  # text as text and fixed ids are decided when the file is written
        FigureCanvasSVG(figure).print_svg(stream, metadata=nothing)  # savefig would lay everything out twice
    return Drawing(name, caption, alt, stream.getvalue(), data)


def cloud(axes: Any, x: np.ndarray, y: np.ndarray) -> None:
    """Draw points; where they are many, hexagons the darker the more points they hold."""
    if len(x) <= MOST_POINTS:
        axes.scatter(x, y, s=11, color=ACCENT, alpha=0.55 if len(x) < 400 else 0.35, linewidths=0)
        return
    hexagons = axes.hexbin(x, y, gridsize=42, mincnt=1, linewidths=0)
    held = np.log1p(np.asarray(hexagons.get_array(), dtype=np.float64))
    red, green, blue = mpl.colors.to_rgb(ACCENT)
    shade = 0.15 + 0.85 * held / held.max()
    hexagons.set_array(None)
    hexagons.set_facecolor([(red, green, blue, alpha) for alpha in np.round(shade, 2)])


def name_line(axes: Any, value: float, text: str) -> None:
    """Write what a horizontal line is beside its right end, outside the points."""
    axes.annotate(
        text, (1, value), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points", va="center",
        fontsize=8.75, color=SECOND,
    )  # fmt: skip


def _inline(name: str, alt: str, svg: str) -> Markup:
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", body, flags=re.DOTALL)
    used = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", body))
    kept = {one or other for one, other in used}
    body = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in kept else "", body)
    body = body.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    for colour, value in COLOURS.items():
        body = body.replace(value, f"var(--{colour})")
    box = re.search(r'viewBox="([^"]+)"', body)
    inside = body[body.index(">") + 1 :]
    size = box[1] if box else ""
    head = f'<svg viewBox="{size}" role="img" aria-label="{escape(alt)}">'
    # Safe: matplotlib escapes the texts of a figure, and alt is escaped above.
    return Markup(head + re.sub(r"\n\s*", "\n", inside))
