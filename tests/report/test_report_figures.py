"""Figures and their data, against counts made by hand or by scikit-learn."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import fields

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, roc_curve

from keras_med.recipe.words import Augment
from keras_med.report.changed import changed_pictures
from keras_med.report.class_figures import counts_of
from keras_med.report.contents import read
from keras_med.report.data_figures import years
from keras_med.report.figures import canvas, cloud, finish
from keras_med.report.operating import operating_points
from keras_med.report.page import write_report
from keras_med.report.scored import Scored, scored
from keras_med.runfolder import RunFolder

MakeRun = Callable[..., RunFolder]

EXPECTED = {
    "regression": {"true_predicted", "bland_altman", "error_by_decade", "labels", "curves_loss"},
    "binary": {"confusion", "roc", "precision_recall", "reliability", "labels", "curves_loss"},
    "classes": {"confusion", "roc", "precision_recall", "reliability", "labels", "curves_loss"},
}


@pytest.mark.parametrize("kind", ["regression", "binary", "classes"])
def test_every_figure_is_saved_with_its_data(make_run: MakeRun, kind: str) -> None:
    run = make_run(kind=kind)
    write_report(run)
    assert {file.stem for file in run.figures.glob("*.svg")} == EXPECTED[kind]
    assert EXPECTED[kind] <= {file.stem for file in run.figures.glob("*.csv")}


def test_equal_figures_are_equal_bytes_and_hold_their_text_as_text() -> None:
    def draw() -> str:
        with canvas() as figure:
            figure.add_subplot().plot([0, 1], [2, 3], clip_on=True)
            figure.axes[0].set_xlabel("Epoch")
        return finish(figure, "one", caption="c", alt="a", data=pd.DataFrame()).svg

    assert draw() == draw()
    assert ">Epoch</text>" in draw()


def test_a_figure_in_the_page_follows_the_theme_and_keeps_its_ids_to_itself() -> None:
    with canvas() as figure:
        cloud(figure.add_subplot(), np.arange(9.0), np.arange(9.0))
    drawing = finish(figure, "points", caption="c", alt='9 "points"', data=pd.DataFrame())
    inline, copy = str(drawing.markup), str(drawing.copy_markup("first"))
    assert "var(--accent)" in inline
    assert "#1d6a8a" not in inline
    assert "#1d6a8a" in drawing.svg
    assert "<style" not in inline
    assert 'aria-label="9 &#34;points&#34;"' in inline
    ids = {part.split('"')[0] for part in inline.split(' id="')[1:]}
    copied = {part.split('"')[0] for part in copy.split(' id="')[1:]}
    assert ids
    assert not ids & copied


def test_many_points_become_hexagons_that_hold_them_all() -> None:
    x = np.random.default_rng(0).normal(size=5000)
    with canvas() as figure:
        axes = figure.add_subplot()
        cloud(axes, x, x)
    assert len(finish(figure, "many", caption="c", alt="a", data=pd.DataFrame()).svg) < 400_000


def test_confusion_counts_equal_scikit_learns() -> None:
    generator = np.random.default_rng(1)
    truth, called = generator.integers(0, 4, 300), generator.integers(0, 4, 300)
    assert (counts_of(truth.astype(float), called, 4) == confusion_matrix(truth, called)).all()


def test_operating_points_count_by_hand() -> None:
    #              p:  0.1  0.4  0.4  0.8        at 0.4: two hits of two, one false alarm of two
    found = Scored("test", pd.DataFrame(), np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8]))
    points = operating_points(found, 0.4).set_index("threshold")
    assert points.loc[0.4].to_dict() == {
        "true_positive": 2,
        "false_negative": 0,
        "false_positive": 1,
        "true_negative": 1,
    }
    assert points.loc[0.8].to_dict() == {
        "true_positive": 1,
        "false_negative": 1,
        "false_positive": 0,
        "true_negative": 2,
    }
    assert points.loc[1.0].to_dict() == {
        "true_positive": 0,
        "false_negative": 2,
        "false_positive": 0,
        "true_negative": 2,
    }


def test_operating_points_resolve_the_small_probabilities_of_a_rare_disease() -> None:
    generator = np.random.default_rng(2)
    found = Scored("test", pd.DataFrame(), (np.arange(2000) < 20).astype(float), generator.uniform(0, 0.009, 2000))
    points = operating_points(found, 0.5)
    assert (points["threshold"] < 0.01).sum() > 60


def test_the_roc_data_are_scikit_learns(make_run: MakeRun) -> None:
    run = make_run(kind="binary")
    write_report(run)
    rows = pd.read_csv(run.predictions)
    rows = rows[rows["role"] == "test"]
    x, y, _ = roc_curve(rows["label"], rows["p_1"])
    data = pd.read_csv(run.figures / "roc.csv")
    np.testing.assert_allclose(data["false_positive_rate"], x)
    np.testing.assert_allclose(data["sensitivity"], y)


def test_figures_of_a_run_scored_by_patient_are_of_patients_who_are_never_named(make_run: MakeRun) -> None:
    run = make_run(kind="binary", patients=True)
    people = pd.read_csv(run.index, dtype=str).set_index("id")["patient"]
    rows = pd.read_csv(run.predictions, dtype={"id": str})
    rows = rows[rows["role"] == "test"]
    grouped = rows.groupby(rows["id"].map(people))
    p, sick = grouped["p_1"].mean(), grouped["label"].max() == 1
    settings, metrics = json.loads(run.settings.read_text()), json.loads(run.metrics.read_text())
    settings["settings"]["evaluate.unit"] = "patient"
    metrics["splits"]["test"]["brier"].update(value=((p - sick) ** 2).mean(), n=len(p))
    run.settings.write_text(json.dumps(settings))
    run.metrics.write_text(json.dumps(metrics))
    page = write_report(run).read_text()
    points = pd.read_csv(run.figures / "thresholds.csv").set_index("threshold").loc[0.5]
    assert (points["true_positive"], points["false_positive"]) == (
        (sick & (p >= 0.5)).sum(),
        (~sick & (p >= 0.5)).sum(),
    )
    assert f"{len(p)} patients, each by the mean of a patient&#39;s predictions for 72 examples." in page
    assert "The files are not of one run" not in page
    assert not any("secret-" in file.read_text() for file in (run.report, *run.figures.iterdir()))


def test_bland_altman_data_are_mean_and_difference(make_run: MakeRun) -> None:
    run = make_run()
    write_report(run)
    rows = pd.read_csv(run.predictions, dtype={"id": str})
    one = rows[rows["role"] == "test"].iloc[0]
    data = pd.read_csv(run.figures / "bland_altman.csv", dtype={"id": str}).set_index("id").loc[one["id"]]
    assert data["difference"] == pytest.approx(one["predicted"] - one["label"])
    assert data["mean"] == pytest.approx((one["predicted"] + one["label"]) / 2)


def test_histograms_count_every_example_of_the_exported_networks_fold(make_run: MakeRun) -> None:
    run = make_run(kind="classes")
    write_report(run)
    data = pd.read_csv(run.figures / "labels.csv").set_index("label")
    index = pd.read_csv(run.index, dtype=str).set_index("id")["label"]
    splits = pd.read_csv(run.splits, dtype=str)
    test = splits[(splits["fold"] == "final") & (splits["split"] == "test")]["id"].map(index)
    assert data["test"].to_dict() == test.value_counts().to_dict()


def test_ages_are_counted_in_each_part_however_they_are_written(make_run: MakeRun) -> None:
    run = make_run(kind="classes")
    index = pd.read_csv(run.index, dtype=str, keep_default_na=False)
    index.assign(PatientAge=["063Y" if place % 2 else "018M" for place in range(len(index))]).to_csv(
        run.index, index=False
    )
    write_report(run)
    data = pd.read_csv(run.figures / "ages.csv")
    splits = pd.read_csv(run.splits, dtype=str)
    tested = splits.loc[(splits["fold"] == "final") & (splits["split"] == "test"), "id"].astype(int) % 2
    assert data["test"].iloc[[0, -1]].tolist() == [(tested == 0).sum(), (tested == 1).sum()]
    assert years(pd.Series(["063Y", "018M", "010D", "41", "?"])).tolist()[:2] == [63, 1.5]
    assert years(pd.Series(["063Y", "?", 41])).isna().tolist() == [False, True, False]


def test_what_the_network_sees_are_the_training_pictures_and_their_changes(make_run: MakeRun) -> None:
    run = make_run()
    settings = json.loads(run.settings.read_text())
    settings["settings"] |= {f"augment.{field.name}": field.default for field in fields(Augment)}
    settings["settings"]["augment.flip"] = ["horizontal"]
    run.settings.write_text(json.dumps(settings))
    plan = json.loads(run.fit("t000-final").settings.read_text())
    plan["plan"] |= {"seed": 5, "fold": "final"}
    run.fit("t000-final").settings.write_text(json.dumps(plan))
    write_report(run)
    data = pd.read_csv(run.figures / "changed.csv", dtype={"example": str})
    trained = pd.read_csv(run.splits, dtype=str).query("fold == 'final' and split == 'train'")["id"]
    assert data["epoch"].tolist() == [1, 2, 3, 4] * 3
    assert set(data["example"]) <= set(trained)
    found = re.findall(r"data:image/png;base64,([^\"]+)", (run.figures / "changed.svg").read_text())
    rows = [cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), cv2.IMREAD_GRAYSCALE) for one in found]
    mirrored = 0
    for first in range(0, 15, 5):
        for changed in rows[first + 1 : first + 5]:
            same, turned = np.abs(changed.astype(int) - rows[first]), np.abs(changed.astype(int) - rows[first][:, ::-1])
            assert min(same.max(), turned.max()) <= 1  # shrinking rounds
            mirrored += turned.max() <= 1
    assert 0 < mirrored < 12
    settings["settings"]["report.pictures"] = False
    run.settings.write_text(json.dumps(settings))
    assert changed_pictures(read(run)) == []


def test_the_final_network_keeps_its_last_epoch_and_folds_their_best(make_run: MakeRun) -> None:
    run = make_run()
    history = pd.read_csv(run.fit("t000-fold0").history)
    kept = {fit.name: fit.kept_epoch for fit in read(run).fits}
    assert kept["t000-final"] == 14
    assert kept["t000-fold0"] == history["epoch"][history["validation_loss"].idxmin()]


def test_labels_and_ids_that_look_like_numbers_stay_text(make_run: MakeRun) -> None:
    run = make_run(kind="classes")
    for file in (run.index, run.predictions):
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        table["label"] = table["label"].replace({"covid": "01", "normal": "NA", "virus": "1"})
        table = table.rename(columns={"p_covid": "p_01", "p_normal": "p_NA", "p_virus": "p_1"})
        table.to_csv(file, index=False)
    settings = run.settings.read_text().replace('["covid", "normal", "virus"]', '["01", "NA", "1"]')
    run.settings.write_text(settings)
    found = scored(read(run))
    assert not found.why
    assert sorted(set(found.truth)) == [0, 1, 2]
