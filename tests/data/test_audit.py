"""What the audit says of data with a known fault, and what it does not say of sound data."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from keras_med.data import hashes
from keras_med.data.audit import audit, leaked_ids, noisy, refuse, sides, to_json
from keras_med.errors import DataError

REAL = os.environ.get("KERAS_MED_REAL_DATA", "")
needs_real_data = pytest.mark.skipif(not REAL, reason="KERAS_MED_REAL_DATA names no folder with the real data")


def picture(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(64, 64)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def prepared(pictures: list[np.ndarray], **columns: object) -> tuple[pd.DataFrame, np.ndarray]:
    """Return what prepare hands over, with random names, one size and labels that follow nothing."""
    names = np.random.default_rng(5).permutation(len(pictures))
    grey = [image if image.ndim == 3 else image[..., None] for image in pictures]
    found, thumbnails = zip(*(hashes.describe(image, image) for image in grey), strict=True)
    table = pd.DataFrame(found)
    ids = [f"{name:04d}" for name in names]
    table = table.assign(id=ids, path=[f"/data/{name}.png" for name in ids], width=64, height=64, channels=1, bits=8)
    table = table.assign(label=np.random.default_rng(6).permutation(np.arange(len(pictures)) % 2))
    table = table.assign(patient=[f"p{number}" for number in range(len(pictures))], **columns)
    return table, np.stack(thumbnails)


def names(found) -> dict[str, tuple[str, int, bool]]:
    return {finding.name: (finding.severity, finding.count, finding.blocks) for finding in found.findings}


@pytest.fixture(scope="module")
def sound() -> tuple[pd.DataFrame, np.ndarray]:
    return prepared([picture(seed) for seed in range(80)])


def test_sound_data_give_no_finding_and_a_group_for_each_picture(sound):
    table, thumbnails = sound
    found = audit(table, thumbnails=thumbnails, kind="binary")
    assert names(found) == {}
    assert found.table["group"].tolist() == table["id"].tolist()
    refuse(found)


def test_the_table_that_came_is_left_as_it_was(sound):
    table, thumbnails = sound
    before = table.copy(deep=True)
    audit(table, thumbnails=thumbnails, kind="binary", duplicates="drop")
    pd.testing.assert_frame_equal(table, before)


def with_twins(sound, labels: tuple[int, int, int]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the sound data with rows 1 and 2 being row 0, the same and mirrored."""
    pictures = [picture(seed) for seed in range(80)]
    pictures[1], pictures[2] = pictures[0], pictures[0][:, ::-1]
    table, thumbnails = prepared(pictures)
    table.loc[:2, "label"] = labels
    return table, thumbnails


@pytest.mark.parametrize(
    ("duplicates", "severity", "blocks", "rows"),
    [
        ("group", "info", False, 80),
        ("allow", "amber", False, 80),
        ("error", "red", True, 80),
        ("drop", "info", False, 78),
    ],
)
def test_twins_are_grouped_allowed_refused_or_dropped_as_the_recipe_says(sound, duplicates, severity, blocks, rows):
    table, thumbnails = with_twins(sound, (1, 1, 1))
    found = audit(table, thumbnails=thumbnails, kind="binary", duplicates=duplicates)
    assert names(found)["identical_images"] == (severity, 2, blocks)
    assert len(found.table) == rows
    assert found.table["group"].iloc[0] == table["id"][0]
    together = found.table.set_index("id")["group"].reindex(table["id"][:3])
    assert together.nunique() == 1
    assert sorted(found.dropped["id"]) == (sorted(table["id"][1:3]) if duplicates == "drop" else [])


@pytest.mark.parametrize(
    ("duplicates", "blocks"), [("group", True), ("error", True), ("allow", False), ("drop", False)]
)
def test_equal_pictures_with_different_labels_stop_the_run_until_accepted(sound, duplicates, blocks):
    table, thumbnails = with_twins(sound, (1, 1, 0))
    found = audit(table, thumbnails=thumbnails, kind="binary", duplicates=duplicates)
    assert names(found)["label_conflicts"] == ("red", 3, blocks)
    if duplicates == "drop":
        assert sorted(found.dropped["id"]) == sorted(table["id"][:3])
    if blocks:
        with pytest.raises(DataError, match=r"different labels|pixels"):
            refuse(found)


def test_near_twins_with_different_labels_are_listed_only():
    pictures = [picture(seed) for seed in range(80)]
    pictures[1] = (pictures[0] * 0.9).astype(np.uint8)
    table, thumbnails = prepared(pictures)
    table.loc[:1, "label"] = [0, 1]
    found = audit(table, thumbnails=thumbnails, kind="binary")
    assert names(found) == {"near_twin_conflicts": ("amber", 1, False), "near_twins": ("info", 1, False)}


def test_a_missing_label_is_no_conflict(sound):
    table, thumbnails = with_twins(sound, (1, 1, 1))
    table["label"] = table["label"].astype(float)
    table.loc[2, "label"] = np.nan
    assert "label_conflicts" not in names(audit(table, thumbnails=thumbnails, kind="binary"))


def split_of(table: pd.DataFrame) -> pd.DataFrame:
    places = np.where(np.arange(len(table)) < 50, "train", np.where(np.arange(len(table)) < 65, "val", "test"))
    return table.assign(split=places)


def test_patients_on_two_sides_of_a_given_split_stop_the_run_until_accepted(sound):
    table, thumbnails = split_of(sound[0]), sound[1]
    table.loc[[0, 1], "patient"] = table["patient"][50]  # in training, twice, and in validation
    table.loc[51, "patient"] = table["patient"][65]  # in validation and test
    found = audit(table, thumbnails=thumbnails, kind="binary", given_split=True)
    assert names(found) == {"shared_patients": ("red", 2, True)}
    assert "1 in train and validation, 1 in validation and test" in found.findings[0].sentence
    accepted = audit(table, thumbnails=thumbnails, kind="binary", given_split=True, leaks="drop_from_training")
    assert names(accepted) == {"shared_patients": ("amber", 2, False)}
    assert leaked_ids(accepted.table, sides(table, "split")) == list(table["id"][[0, 1, 51]])


def test_twins_on_two_sides_of_a_given_split_stop_the_run_unless_duplicates_are_allowed(sound):
    table, thumbnails = with_twins(sound, (1, 1, 1))
    table = split_of(table).replace({"split": {"val": "test"}})
    table.loc[0, "split"] = "test"
    found = names(audit(table, thumbnails=thumbnails, kind="binary", given_split="split"))
    assert found["twins_across_splits"] == ("red", 1, True)
    allowed = names(audit(table, thumbnails=thumbnails, kind="binary", given_split="split", duplicates="allow"))
    assert allowed["twins_across_splits"] == ("amber", 1, False)


def test_of_equal_pictures_the_one_in_the_test_split_is_kept(sound):
    table, thumbnails = with_twins(sound, (1, 1, 1))
    table = split_of(table)
    table.loc[:2, "split"] = ["train", "val", "test"]
    found = audit(table, thumbnails=thumbnails, kind="binary", given_split=True, duplicates="drop")
    assert sorted(found.dropped["id"]) == sorted(table["id"][:2])
    assert "twins_across_splits" not in names(found)


def test_a_split_that_lacks_a_class_is_told(sound):
    table, thumbnails = split_of(sound[0]), sound[1]
    table.loc[table["split"] == "test", "label"] = 1
    assert names(audit(table, thumbnails=thumbnails, kind="binary", given_split=True))["missing_class"][1] == 1


def test_empty_noisy_and_unreadable_pictures_are_told():
    noise = np.random.default_rng(8).integers(0, 256, (64, 64), np.uint8)
    half = picture(3)
    half[32:] = noise[32:]
    pictures = [picture(seed) for seed in range(80)]
    pictures[0], pictures[1], pictures[2], pictures[3] = noise, half, np.zeros_like(noise), np.full_like(noise, 9)
    table, thumbnails = prepared(pictures)
    excluded = pd.DataFrame({"id": ["a", "b"], "reason": ["PixelData is truncated", "not an image"]})
    found = audit(table, thumbnails=thumbnails, kind="binary", excluded=excluded)
    assert names(found) == {
        "constant_images": ("amber", 2, False),
        "noise_images": ("amber", 2, False),
        "excluded_files": ("amber", 2, False),
    }
    told = {finding.name: finding for finding in found.findings}
    assert set(told["noise_images"].rows) == set(table["id"][:2])
    assert "1 of them because a file is cut short" in told["excluded_files"].sentence


def test_a_picture_of_stripes_or_edges_is_not_noise():
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::8] = 255
    assert noisy(np.stack([picture(1), stripes])).tolist() == [False, False]


@pytest.mark.parametrize(("rare", "severity"), [(15, "amber"), (3, "red")])
def test_a_class_of_too_few_patients_is_told(sound, rare, severity):
    table = sound[0]
    few = table.assign(label=(np.arange(len(table)) < rare).astype(int))
    found = names(audit(few.sample(frac=1, random_state=0), thumbnails=None, kind="binary"))
    assert found["few_examples"] == (severity, rare, False)


def test_unknown_patients_are_told(sound):
    table, thumbnails = sound
    found = audit(table.drop(columns="patient"), thumbnails=thumbnails, kind="binary")
    assert names(found) == {"patients_unknown": ("amber", 80, False)}


def shortcut(table: pd.DataFrame, kind: str = "binary") -> dict[str, str]:
    found = audit(table, thumbnails=None, kind=kind)
    return {finding.name: finding.severity for finding in found.findings}


@pytest.mark.parametrize("trait", ["width", "channels", "bits"])
def test_a_trait_of_the_file_that_goes_with_the_label_is_a_shortcut(sound, trait):
    table = sound[0].assign(**{trait: np.where(sound[0]["label"] == 1, 3, 1)})
    assert shortcut(table) == {"shortcut_" + trait.replace("width", "size"): "red"}


def test_a_file_name_that_holds_the_label_is_a_shortcut(sound):
    table = sound[0]
    paths = [
        f"/data/{'covid' if label else 'clear'}-{name}.png"
        for label, name in zip(table["label"], table["id"], strict=True)
    ]
    assert shortcut(table.assign(path=paths)) == {"shortcut_name": "red"}


def test_a_table_sorted_by_label_is_told(sound):
    table = sound[0].sort_values("label", kind="stable")
    assert shortcut(table) == {"shortcut_order": "red"}


def test_the_labels_own_folder_is_no_shortcut_but_two_hospitals_are(sound):
    table = sound[0]
    by_label = table["label"].map({0: "clear", 1: "ill"})
    own = table.assign(path="/data/" + by_label + "/" + table["id"] + ".png")
    assert shortcut(own) == {"label_is_folder": "info"}
    hospital = by_label + np.where(np.arange(len(table)) % 3 == 0, "A", "B")
    assert shortcut(own.assign(path="/data/" + hospital + "/" + table["id"] + ".png")) == {"shortcut_folder": "red"}


def test_a_folder_a_patient_is_no_shortcut(sound):
    table = sound[0]
    assert shortcut(table.assign(path="/data/" + table["patient"] + "/scan.png")) == {}


def test_a_number_that_the_size_predicts_is_a_shortcut(sound):
    table = sound[0].assign(label=np.random.default_rng(3).uniform(20, 90, 80))
    assert shortcut(table, "regression") == {}
    assert shortcut(table.assign(width=table["label"].round()), "regression") == {"shortcut_size": "red"}


def test_small_tables_without_a_shortcut_seldom_cry_wolf():
    random = np.random.default_rng(0)
    table, _ = prepared([picture(seed) for seed in range(40)])
    told = 0
    for _ in range(20):
        drawn = table.assign(label=random.permutation(table["label"]), width=random.integers(50, 99, 40))
        told += bool(shortcut(drawn))
    assert told <= 2


def test_audit_json_holds_every_finding_and_no_patient(sound):
    table, thumbnails = split_of(sound[0]), sound[1]
    table["patient"] = ["secret" if row in (0, 60) else f"hidden{row}" for row in range(80)]
    found = audit(table, thumbnails=thumbnails, kind="binary", given_split=True)
    text = json.dumps(to_json(found))
    assert json.loads(text)["format"] == 1
    assert json.loads(text)["findings"][0]["name"] == "shared_patients"
    assert "secret" not in text
    assert "hidden" not in text


def test_nothing_left_to_audit_is_an_error_with_a_remedy(sound):
    with pytest.raises(DataError, match=r"excluded\.csv"):
        audit(sound[0].iloc[:0], thumbnails=None, kind="binary")


def real(pattern: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a table of real pictures by a short path of its own: OpenCV, 224 x 224."""
    paths = sorted(Path(REAL).glob(pattern))
    stored = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]
    stored = [image if image.ndim == 2 else image[..., :3] for image in stored]
    resized = [cv2.resize(image.astype(np.float32), (224, 224), interpolation=cv2.INTER_AREA) for image in stored]
    described = [hashes.describe(one, small.reshape(224, 224, -1)) for one, small in zip(stored, resized, strict=True)]
    found, thumbnails = zip(*described, strict=True)
    table = pd.DataFrame(found).assign(
        id=[path.relative_to(REAL).as_posix() for path in paths], path=[str(path) for path in paths]
    )
    return table, np.stack(thumbnails)


@needs_real_data
def test_the_chest_x_rays_share_six_pictures_between_their_splits_and_four_pairs_inside_folders():
    table, thumbnails = real("chest_xray_3class/*/*/*.*")
    table = table.assign(
        label=[Path(each).parent.name for each in table["id"]], split=table["id"].str.split("/").str[1]
    )
    found = audit(table, thumbnails=thumbnails, kind="classes", given_split=True)
    same = found.pairs[found.pairs["kind"] == "identical"]
    folders = [tuple(same[side].map(lambda each: Path(each).parts[1])) for side in ("first", "second")]
    assert sum(one != other for one, other in zip(*folders, strict=True)) == 6
    assert len(same) == 10
    assert found.table["group"].value_counts().max() == 4
    assert names(found)["twins_across_splits"] == ("red", 6, True)
    assert "label_conflicts" not in names(found)


@needs_real_data
def test_the_head_ct_hold_two_black_pictures_and_no_twins():
    table, thumbnails = real("head_ct_png/*/*.png")
    found = audit(table.assign(label=table["id"].str.split("/").str[1]), thumbnails=thumbnails, kind="binary")
    black = next(finding for finding in found.findings if finding.name == "constant_images")
    assert [Path(each).stem for each in black.rows] == ["ID_c3fdc5156", "ID_db2298819"]
    assert found.table["group"].value_counts().max() <= 3


@needs_real_data
def test_the_chest_x_rays_with_ages_share_patients_but_no_picture_between_patients():
    table, thumbnails = real("chest_xray_age/*/*/*.png")
    given = pd.read_csv(Path(REAL) / "chest_xray_age" / "ages.csv").set_index("image")
    given = given.loc[table["id"].str.removeprefix("chest_xray_age/")]
    table = table.assign(label=given["age"].to_numpy(float), patient=given["patient"].astype(str).to_numpy())
    found = audit(
        table.assign(split=given["split"].to_numpy()), thumbnails=thumbnails, kind="regression", given_split=True
    )
    shared = next(finding for finding in found.findings if finding.name == "shared_patients")
    assert "15 in train and validation, 8 in train and test, 9 in validation and test" in shared.sentence
    assert len(found.pairs) <= 2
