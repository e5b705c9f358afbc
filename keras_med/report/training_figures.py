"""Histories of fits to learning curves with the best epoch marked."""

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from keras_med.report.contents import Contents, Fit
from keras_med.report.figures import ACCENT, INK, MUTED, SECOND, Drawing, canvas, finish
from keras_med.report.wording import metric_name, number, several

NOT_A_METRIC = ("epoch", "learning_rate", "seconds")
METRIC_NAMES = {"loss": "Loss", "mean_absolute_error": "Mean absolute error", "auc": "AUROC (running)"}


def learning_curves(contents: Contents) -> list[Drawing]:
    """Draw the loss of every fit, and the first further metric that they all recorded."""
    if not contents.fits:
        return []
    shared = set.intersection(*(set(fit.history.columns) for fit in contents.fits))
    others = [
        name
        for name in contents.fits[0].history.columns
        if name in shared and name not in (*NOT_A_METRIC, "loss") and not name.startswith(("validation_", "watched_"))
    ]
    return [_curves(contents.fits, name) for name in ["loss", *others[:1]]]


def _curves(fits: tuple[Fit, ...], metric: str) -> Drawing:
    parts = []
    with canvas() as figure:
        axes = figure.add_subplot()
        for fit in fits:
            parts.append(_one_fit(axes, fit, metric))
        data = pd.concat(parts, ignore_index=True)
        _scale(axes, data["value"])
        axes.set(xlabel="Epoch", ylabel=_name(metric))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.legend(handles=_legend(fits, data), loc="upper right", ncols=2, columnspacing=1.2)
    return finish(
        figure,
        f"curves_{metric}",
        caption=f"{_name(metric)} of {several(len(fits), 'fit')}, training and validation. A dot marks the epoch whose "
        f"weights were kept.{_staged(fits)}",
        alt=f"Learning curves ({_name(metric).lower()}). {_told(fits, metric)}",
        data=data,
    )


def _staged(fits: tuple[Fit, ...]) -> str:
    if not any(fit.stage > 1 for fit in fits):
        return ""
    return " The second stage, with frozen layers set free, stands after the first, whose kept weights it began with."


def _one_fit(axes, fit: Fit, metric: str) -> pd.DataFrame:  # type: ignore[no-untyped-def]  # matplotlib has no types here
    colour = SECOND if fit.final else ACCENT
    epochs = fit.history["epoch"].to_numpy()
    places = fit.before + epochs
    parts = []
    for role, column, style in (("training", metric, (0, (3, 2))), ("validation", f"validation_{metric}", "-")):
        if column not in fit.history:
            continue
        values = pd.to_numeric(fit.history[column], errors="coerce").to_numpy(dtype=np.float64)
        axes.plot(
            places, values, color=colour, linestyle=style, alpha=0.9 if role == "validation" else 0.5, linewidth=1.3
        )
        parts.append(
            pd.DataFrame({"fit": fit.name, "stage": fit.stage, "epoch": epochs, "part": role, "value": values})
        )
        kept = fit.kept_epoch
        if role == "validation" and kept is not None and kept in epochs:
            axes.plot([fit.before + kept], values[epochs == kept], "o", color=colour, markersize=4.5, zorder=3)
    return pd.concat(parts, ignore_index=True)


def _scale(axes, values: pd.Series) -> None:  # type: ignore[no-untyped-def]
    """Use a logarithmic axis where the first epochs would press the rest flat."""
    seen = values[np.isfinite(values)]
    if not len(seen) or seen.min() <= 0 or seen.max() / seen.min() < 20:
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _legend(fits: tuple[Fit, ...], data: pd.DataFrame) -> list[Line2D]:
    both = any(fit.final for fit in fits) and not all(fit.final for fit in fits)
    handles = [Line2D([], [], color=INK, linestyle=(0, (3, 2)), linewidth=1.3, alpha=0.6, label="training")]
    if (data["part"] == "validation").any():
        handles.append(Line2D([], [], color=INK, linewidth=1.3, label="validation"))
        handles.append(Line2D([], [], color=MUTED, marker="o", markersize=4.5, linestyle="", label="kept"))
    if both:
        handles += [
            Line2D([], [], color=ACCENT, linewidth=3, label="folds"),
            Line2D([], [], color=SECOND, linewidth=3, label="final"),
        ]
    return handles


def _told(fits: tuple[Fit, ...], metric: str) -> str:
    column = f"validation_{metric}"
    said = []
    for fit in fits:
        kept = fit.kept_epoch
        values = fit.history.set_index("epoch")[column].to_dict() if column in fit.history else {}
        said.append(f"{fit.name}: kept epoch {kept}" + (f" at {number(values[kept])}" if kept in values else ""))
    return "; ".join(said) + "."


def _name(metric: str) -> str:
    return METRIC_NAMES.get(metric, metric_name(metric))
