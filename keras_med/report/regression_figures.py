"""A regression's predictions to figures: true against predicted, Bland-Altman, error by decade."""

import numpy as np
import pandas as pd

from keras_med.report.contents import Contents
from keras_med.report.figures import ACCENT, GRID, INK, MUTED, SECOND, Drawing, canvas, cloud, finish, name_line
from keras_med.report.scored import Scored
from keras_med.report.wording import DECADE, Entry, count, finite, number, split_name


def regression_figures(contents: Contents, found: Scored) -> list[Drawing]:
    """Draw what a regression is judged by."""
    unit, entries = contents.target.unit, (contents.metrics.get("splits") or {}).get(found.split) or {}
    drawings = [true_predicted(found, unit), bland_altman(found, unit, entries)]
    decades = by_decade(found, unit, entries)
    return [*drawings, decades] if decades else drawings


def true_predicted(found: Scored, unit: str) -> Drawing:
    """Draw predicted against true values, with the line where they are equal."""
    low, high = float(min(found.truth.min(), found.p.min())), float(max(found.truth.max(), found.p.max()))
    room = 0.03 * (high - low) or 1.0
    ends = (low - room, high + room)
    with canvas() as figure:
        axes = figure.add_subplot()
        axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        cloud(axes, found.truth, found.p)
        axes.set(xlim=ends, ylim=ends, xlabel=_axis("True", unit), ylabel=_axis("Predicted", unit))
        axes.set_box_aspect(0.8)
    together = _correlation(found.truth, found.p)
    return finish(
        figure,
        "true_predicted",
        caption="Predicted against true. On the dashed line the prediction is exact; below it, too low.",
        alt=f"{count(len(found.truth))} {found.case}s of the {split_name(found.split).lower()} split, predicted "
        f"against true; correlation {together}.",
        data=_pairs(found),
    )


def bland_altman(found: Scored, unit: str, entries: dict[str, Entry]) -> Drawing:
    """Draw the error against the mean of both, with bias and limits of agreement as metrics.json has them."""
    error, middle = found.p - found.truth, (found.p + found.truth) / 2
    lines = {name: entries.get(name, {}).get("value") for name in ("limit_high", "bias", "limit_low")}
    with canvas() as figure:
        axes = figure.add_subplot()
        axes.axhline(0, color=MUTED, linewidth=0.7)
        cloud(axes, middle, error)
        for name, value in lines.items():
            if finite(value):
                solid = name == "bias"
                axes.axhline(value, color=SECOND, linewidth=1.3, linestyle="-" if solid else (0, (4, 3)))
                label = {"bias": "bias", "limit_low": "\u22121.96 SD", "limit_high": "+1.96 SD"}[name]
                name_line(axes, value, f"{label}\n{number(value, unit)}")
        axes.set(xlabel=_axis("Mean of true and predicted", unit), ylabel=_axis("Predicted minus true", unit))
    said = ", ".join(
        f"{name.replace('_', ' ')} {number(value, unit)}" for name, value in lines.items() if finite(value)
    )
    return finish(
        figure,
        "bland_altman",
        caption="Bland-Altman: the error over the whole range, its mean (bias) and 95 % limits of agreement.",
        alt=f"Error against the mean of true and predicted: {said}.",
        data=pd.DataFrame({"id": found.rows["id"], "mean": middle, "difference": error}),
    )


def by_decade(found: Scored, unit: str, entries: dict[str, Entry]) -> Drawing | None:
    """Draw the MAE of each decade of the label with its interval and count; None where metrics.json has no decades."""
    rows = sorted((int(hit[1]), int(hit[2]), entries[name]) for name in entries if (hit := DECADE.match(name)))
    if not rows:
        return None
    data = pd.DataFrame(
        [
            {"from": low, "to": high, **{key: entry.get(key) for key in ("n", "value", "low", "high")}}
            for low, high, entry in rows
        ]
    )
    overall = entries.get("mae", {}).get("value")
    with canvas() as figure:
        axes = figure.add_subplot()
        places = np.arange(len(data))
        value, low, high = (pd.to_numeric(data[name], errors="coerce") for name in ("value", "low", "high"))
        axes.bar(places, value, width=0.68, color=ACCENT, alpha=0.75, linewidth=0)
        axes.vlines(places, low, high, color=INK, linewidth=1.2)
        if finite(overall):
            axes.axhline(overall, color=SECOND, linewidth=1.3, linestyle=(0, (4, 3)))
            name_line(axes, overall, f"all\n{number(overall, unit)}")
        names = [f"{low}\u2013{high}\nn {count(entry.get('n'))}" for low, high, entry in rows]
        axes.set_xticks(places, names)
        axes.set(xlabel=_axis("True", unit), ylabel=_axis("Mean absolute error", unit), xlim=(-0.6, len(data) - 0.4))
        axes.grid(visible=False, axis="x")
        axes.spines["bottom"].set_color(GRID)
    said = "; ".join(
        f"{low} to {high}: {number(entry.get('value'), unit)} of {count(entry.get('n'))}" for low, high, entry in rows
    )
    return finish(
        figure,
        "error_by_decade",
        caption="Mean absolute error for each decade of the true value, with 95 % intervals and counts.",
        alt=f"Mean absolute error by decade. {said}.",
        data=data,
    )


def _pairs(found: Scored) -> pd.DataFrame:
    return pd.DataFrame({"id": found.rows["id"], "label": found.truth, "predicted": found.p})


def _axis(what: str, unit: str) -> str:
    return f"{what} ({unit})" if unit else what


def _correlation(one: np.ndarray, other: np.ndarray) -> str:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return "not defined"
    return number(float(np.corrcoef(one, other)[0, 1]))
