"""A classifier's predictions to figures: confusion, ROC and precision-recall with bands, reliability."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from keras_med.evaluation.intervals import wilson
from keras_med.evaluation.metrics import ratios
from keras_med.report.contents import Contents
from keras_med.report.figures import ACCENT, INK, MUTED, SERIES, Drawing, canvas, finish
from keras_med.report.operating import calibrated, calibration_of
from keras_med.report.scored import Floats, Scored
from keras_med.report.wording import Entry, count, finite, interval, number, percent, split_name

RESAMPLES = 200
AXIS = np.linspace(0, 1, 101)
FEWEST_IN_A_BAND = 20  # patients; below, a band would claim more than it knows


def class_figures(contents: Contents, found: Scored, threshold: float) -> list[Drawing]:
    """Draw what a classifier is judged by."""
    target, entries = contents.target, (contents.metrics.get("splits") or {}).get(found.split) or {}
    if target.kind == "binary":
        called = (found.p >= threshold).astype(np.int64)
        curves = [roc(found, contents, entries), precision_recall(found, contents, entries)]
        return [confusion(found, called, target.classes), *curves, reliability(found, contents, "positive")]
    called = found.p.argmax(axis=1)
    curves = [one_against_rest(found, target.classes, kind) for kind in ("roc", "precision_recall")]
    return [confusion(found, called, target.classes), *curves, reliability(found, contents, "right")]


def counts_of(truth: Floats, called: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.int64]:
    """Count true (rows) against called (columns)."""
    return np.bincount(truth.astype(np.int64) * classes + called, minlength=classes**2).reshape(classes, classes)


def confusion(found: Scored, called: npt.NDArray[np.int64], classes: tuple[str, ...]) -> Drawing:
    """Draw the confusion matrix, shaded by the share of the true class; of two classes the positive one first."""
    counts, names = counts_of(found.truth, called, len(classes)), classes
    if len(classes) == 2:
        counts, names = counts[::-1, ::-1], classes[::-1]
    shares = ratios(
        counts.astype(np.float64), counts.sum(axis=1, keepdims=True).astype(np.float64)
    )  # undefined where a class has no example
    with canvas() as figure:
        axes = figure.add_subplot()
        for row, column in np.ndindex(counts.shape):
            shade = round(0.05 + 0.55 * float(np.nan_to_num(shares[row, column])), 2)
            axes.bar(column, 1, bottom=row - 0.5, width=0.97, color=ACCENT, alpha=shade, linewidth=0)
            texts = ((count(counts[row, column]), "bottom"), (percent(shares[row, column]), "top"))
            for text, side in texts:
                axes.text(column, row, text, ha="center", va=side, fontsize=9 if len(names) < 6 else 7)
        places = np.arange(len(names))
        axes.set_xticks(places, names)
        axes.set_yticks(places, names)
        axes.set(xlabel="Called", ylabel="True", xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5))
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
    told = [
        f"true {names[row]}, called {names[column]}: {count(counts[row, column])}"
        for row, column in np.ndindex(counts.shape)
    ]
    return finish(
        figure,
        "confusion",
        caption="Confusion matrix: counts and shares of each true class.",
        alt=f"Confusion matrix. {'; '.join(told[:36])}.",
        data=pd.DataFrame(counts, columns=list(names)).assign(true=names)[["true", *names]],
    )


def roc(found: Scored, contents: Contents, entries: dict[str, Entry]) -> Drawing:
    """Draw the ROC curve with its band over patients, or the sentence why there is none."""
    both = 0 < found.truth.sum() < len(found.truth)
    data = pd.DataFrame(columns=["false_positive_rate", "sensitivity"])
    band = _bands(found, contents)[0]
    entry = entries.get("auroc", {})
    with canvas() as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        if both:
            x, y, _ = roc_curve(found.truth, found.p)
            data = pd.DataFrame({"false_positive_rate": x, "sensitivity": y})
            _band(axes, band)
            axes.plot(x, y, color=ACCENT)
        axes.set(xlabel="1 \u2212 specificity", ylabel="Sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set_box_aspect(0.8)
        _corner(axes, f"AUROC {number(entry.get('value'))}\n{_span(entry)}", "lower right")
    caption = "ROC curve" + (" with its 95 % band over patients." if band is not None else ".")
    return finish(
        figure,
        "roc",
        caption=caption if both else "No ROC curve: one of the two classes has no example here.",
        alt=f"ROC curve, {split_name(found.split).lower()}: AUROC {number(entry.get('value'))}, "
        f"95 % interval {interval(entry)}.",
        data=data,
    )


def precision_recall(found: Scored, contents: Contents, entries: dict[str, Entry]) -> Drawing:
    """Draw precision against sensitivity with its band, and the prevalence that a coin would reach."""
    positives = float(found.truth.mean())
    data = pd.DataFrame(columns=["sensitivity", "precision"])
    band = _bands(found, contents)[1]
    entry = entries.get("average_precision", {})
    with canvas() as figure:
        axes = figure.add_subplot()
        axes.axhline(positives, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        if positives:
            precision, recall, _ = precision_recall_curve(found.truth, found.p)
            data = pd.DataFrame({"sensitivity": recall, "precision": precision})
            _band(axes, band)
            axes.plot(recall, precision, color=ACCENT, drawstyle="steps-pre")
        axes.set(xlabel="Sensitivity", ylabel="Precision (PPV)", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set_box_aspect(0.8)
        _corner(axes, f"average precision {number(entry.get('value'))}\n{_span(entry)}", "lower left")
    return finish(
        figure,
        "precision_recall",
        caption=f"Precision against sensitivity; the dashed line is the prevalence here, {percent(positives)}."
        if positives
        else "No precision-recall curve: there is no positive example here.",
        alt=f"Precision-recall curve: average precision {number(entry.get('value'))}, prevalence {percent(positives)}.",
        data=data,
    )


def one_against_rest(found: Scored, classes: tuple[str, ...], kind: str) -> Drawing:
    """Draw each class's curve against all others; a class without examples has none."""
    parts, told = [], []
    with canvas() as figure:
        axes = figure.add_subplot()
        if kind == "roc":
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for place, name in enumerate(classes):
            own = found.truth == place
            if not own.any() or own.all():
                told.append(f"{name}: no curve")
                continue
            one = _curve(own, found.p[:, place], kind)
            area = (roc_auc_score if kind == "roc" else average_precision_score)(own, found.p[:, place])
            told.append(f"{name} {number(float(area))}")
            style = "-" if place < len(SERIES) else (0, (3, 1))
            axes.plot(
                one.iloc[:, 0],
                one.iloc[:, 1],
                color=SERIES[place % len(SERIES)],
                linestyle=style,
                label=told[-1],
                linewidth=1.3,
            )
            parts.append(one.assign(**{"class": name}))
        labels = ("1 \u2212 specificity", "Sensitivity") if kind == "roc" else ("Sensitivity (recall)", "Precision")
        axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set_box_aspect(0.8)
        if parts and len(classes) <= 10:
            axes.legend(loc="lower right" if kind == "roc" else "lower left")
    what = "ROC curve" if kind == "roc" else "Precision-recall curve"
    measure = "AUROC" if kind == "roc" else "average precision"
    data = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    return finish(
        figure,
        kind,
        caption=f"{what} of each class against the rest, with its {measure}.",
        alt=f"{what}s. {'; '.join(told)}.",
        data=data,
    )


def reliability(found: Scored, contents: Contents, word: str) -> Drawing:
    """Draw the observed share against the predicted probability, in bins of equally many examples, calibrated too."""
    curves = {"predicted": found.chances()}
    calibration = calibration_of(contents.metrics, found.rows)
    if calibration is not None:
        curves = {"as the network says": found.chances(), "calibrated": calibrated(found, calibration).chances()}
    parts = []
    with canvas() as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for (name, (event, p)), colour in zip(curves.items(), (ACCENT, SERIES[1]), strict=False):
            bins = _bins(event, p)
            at = bins["predicted"]
            axes.vlines(at, bins["low"], bins["high"], color=colour, alpha=0.35, linewidth=2.5)
            axes.plot(
                at, bins["observed"], "o-", color=colour, markersize=4.5, linewidth=1.2, label=name, clip_on=False
            )
            parts.append(bins.assign(curve=name))
        axes.set(xlabel="Predicted probability", ylabel=f"Share that is {word}", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        axes.set_box_aspect(0.8)
        if len(curves) > 1:
            axes.legend(loc="upper left")
    told = []
    for bins in parts:
        first, last = bins.iloc[0], bins.iloc[-1]
        told.append(
            f"{first['curve'].capitalize()}, in {len(bins)} bins: the lowest predicts {number(first['predicted'])} and "
            f"sees {number(first['observed'])}, the highest predicts {number(last['predicted'])} and sees "
            f"{number(last['observed'])}."
        )
    return finish(
        figure,
        "reliability",
        caption="Reliability: on the dashed line the probabilities can be read as chances. Bars are 95 % limits of "
        f"each bin, with {found.case}s counted as independent.",
        alt=f"Reliability. {' '.join(told)}",
        data=pd.concat(parts, ignore_index=True),
    )


def _bins(event: Floats, p: Floats) -> pd.DataFrame:
    order = np.array_split(np.argsort(p, kind="stable"), max(1, min(10, len(p) // 5)))
    data = pd.DataFrame(
        [{"predicted": p[rows].mean(), "observed": event[rows].mean(), "n": len(rows)} for rows in order]
    )
    spans = [wilson(float(event[rows].mean()), len(rows)) for rows in order]
    return data.assign(low=[span.low for span in spans], high=[span.high for span in spans])


def _curve(own: npt.NDArray[np.bool_], p: Floats, kind: str) -> pd.DataFrame:
    if kind == "roc":
        x, y, _ = roc_curve(own, p)
        return pd.DataFrame({"false_positive_rate": x, "sensitivity": y})
    precision, recall, _ = precision_recall_curve(own, p)
    return pd.DataFrame({"sensitivity": recall, "precision": precision})


def _bands(found: Scored, contents: Contents) -> tuple[Floats | None, Floats | None]:
    """Resample patients and give 95 % bands of sensitivity over 1 - specificity, and of precision over sensitivity."""
    patients = found.patients()
    number_of_patients = int(patients.max()) + 1
    if number_of_patients < FEWEST_IN_A_BAND or not 0 < found.truth.sum() < len(found.truth):
        return None, None
    generator = np.random.default_rng(int(contents.settings.get("seed") or 0))
    order = np.argsort(-found.p, kind="stable")
    ends = np.flatnonzero(np.diff(found.p[order], append=-1.0))  # ties are one step of the curve
    positive, whose = found.truth[order] == 1, patients[order]
    sensitivities, precisions = [], []
    for _ in range(RESAMPLES):
        weights = np.bincount(
            generator.integers(0, number_of_patients, number_of_patients), minlength=number_of_patients
        )[whose]
        hits, alarms = np.cumsum(weights * positive)[ends], np.cumsum(weights * ~positive)[ends]
        if not hits[-1] or not alarms[-1]:
            continue
        recall = hits / hits[-1]
        sensitivities.append(np.interp(AXIS, np.r_[0, alarms / alarms[-1]], np.r_[0, recall]))
        # Precision is no line between two thresholds: take the first threshold that reaches the sensitivity.
        reached = np.searchsorted(recall, AXIS[1:] - 1e-9)
        precisions.append((hits / np.maximum(hits + alarms, 1))[reached])
    if len(sensitivities) < 0.9 * RESAMPLES:
        return None, None
    roc_band = np.vstack([AXIS, np.quantile(sensitivities, (0.025, 0.975), axis=0)])
    if np.array_equal(roc_band[1], roc_band[2]):  # classes that no resample mixes: a band of no width promises too much
        return None, None
    return roc_band, np.vstack([AXIS[1:], np.quantile(precisions, (0.025, 0.975), axis=0)])


def _band(axes, band: Floats | None) -> None:  # type: ignore[no-untyped-def]  # matplotlib has no types here
    if band is not None:
        axes.fill_between(band[0], band[1], band[2], color=ACCENT, alpha=0.16, linewidth=0)


def _span(entry: Entry) -> str:
    return f"95 % {interval(entry)}" if finite(entry.get("low")) else "no interval"


def _corner(axes, text: str, where: str) -> None:  # type: ignore[no-untyped-def]
    """Write lines into a lower corner, each a text of its own: the font of a page is not as wide as the one here."""
    right = "right" in where
    for place, line in enumerate(reversed(text.split("\n"))):
        axes.annotate(
            line,
            (0.97 if right else 0.03, 0.05),
            xycoords="axes fraction",
            xytext=(0, 12 * place),
            textcoords="offset points",
            ha="right" if right else "left",
            color=INK,
        )
