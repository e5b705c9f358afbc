from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from keras_med.phantoms.head_ct import TYPES, rsna

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI:UserWarning")  # as the real files

ORDER = ["epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any"]


@pytest.fixture(scope="module")
def challenge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "rsna"
    rsna(folder, seed=2, patients=60, slices=4, side=64)
    return folder


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One slice a patient, so that no model is helped by having seen the patient."""
    folder = tmp_path_factory.mktemp("data") / "strangers"
    rsna(folder, seed=4, patients=700, slices=1, side=96)
    return folder


def headers(folder: Path) -> dict[str, pydicom.Dataset]:
    files = sorted((folder / "stage_2_train_images").iterdir())
    return {file.stem: pydicom.dcmread(file, stop_before_pixels=True) for file in files}


def labels(folder: Path) -> pd.Series:
    table = pd.read_csv(folder / "stage_2_train.csv").drop_duplicates()
    table = table[table["ID"].str.endswith("_any")]
    return pd.Series(table["Label"].to_numpy(), index=table["ID"].str.rsplit("_", n=1).str[0])


def stored(folder: Path, name: str) -> np.ndarray:
    """The stored values, sign and all, read without pydicom's own conversion."""
    dataset = pydicom.dcmread(folder / "stage_2_train_images" / f"{name}.dcm")
    kind = "<i2" if dataset.PixelRepresentation else "<u2"
    return np.frombuffer(dataset.PixelData, kind).astype(int).reshape(dataset.Rows, dataset.Columns)


def hounsfield(folder: Path, name: str, header: pydicom.Dataset) -> np.ndarray:
    """Hounsfield units by the published repair: add 1000, wrap at 4096, intercept -1000."""
    values = stored(folder, name)
    if header.PixelRepresentation == 0 and header.RescaleIntercept > -100:
        return np.where(values + 1000 >= 4096, values + 1000 - 4096, values + 1000) - 1000
    return values + int(header.RescaleIntercept)


def test_the_csv_has_six_rows_an_image_in_the_named_order_and_twenty_four_rows_twice(challenge: Path) -> None:
    table = pd.read_csv(challenge / "stage_2_train.csv")
    parts = table["ID"].str.rsplit("_", n=1)
    images = {file.stem for file in (challenge / "stage_2_train_images").iterdir()}
    assert list(table) == ["ID", "Label"]
    assert parts.str[1].tolist() == ORDER * (len(table) // 6)
    assert list(TYPES) == ORDER
    assert set(parts.str[0]) == images
    assert parts.str[0].str.fullmatch(r"ID_[0-9a-f]{9}").all()
    assert table.duplicated().sum() == 24
    assert len(table) == 6 * len(images) + 24


def test_any_is_labelled_exactly_where_a_type_is(challenge: Path) -> None:
    table = pd.read_csv(challenge / "stage_2_train.csv").drop_duplicates()
    label = table["Label"].to_numpy().reshape(-1, 6)
    assert (label[:, :5].max(axis=1) == label[:, 5]).all()
    assert 0.2 < label[:, 5].mean() < 0.6


def test_the_files_have_the_challenge_s_tags_and_both_kinds_of_encoding(challenge: Path) -> None:
    found = headers(challenge)
    kinds = {(int(h.BitsStored), int(h.PixelRepresentation), h["WindowCenter"].VM) for h in found.values()}
    assert kinds == {(16, 1, 1), (12, 0, 2)}
    assert {int(h.RescaleIntercept) for h in found.values()} == {-1024, -1000, 0, 1}
    assert all(name == h.SOPInstanceUID for name, h in found.items())
    assert {(h.Modality, h.BitsAllocated, h.PhotometricInterpretation, h.StudyID) for h in found.values()} == {
        ("CT", 16, "MONOCHROME2", "")
    }
    assert all(h.PatientID.startswith("ID_") and h.StudyInstanceUID.startswith("ID_") for h in found.values())
    assert len({(h.Rows, h.Columns) for h in found.values()}) > 1


def test_a_patient_has_several_slices_and_some_have_several_studies(challenge: Path) -> None:
    rows = [(h.PatientID, h.StudyInstanceUID, float(h.ImagePositionPatient[2])) for h in headers(challenge).values()]
    table = pd.DataFrame(rows, columns=["patient", "study", "position"])
    assert (table.groupby("study").size() == 4).all()
    assert table.groupby("study")["position"].nunique().eq(4).all()
    assert set(table.groupby("patient")["study"].nunique()) == {1, 2}


def test_air_is_minus_1000_however_the_scanner_stores_it(challenge: Path) -> None:
    found = headers(challenge)
    seen = set()
    for name, header in found.items():
        try:
            units = hounsfield(challenge, name, header)
        except ValueError:
            continue  # the file that is cut short
        air = units[(units > -1500) & (units < -500)]
        assert air.size > 0.1 * units.size
        assert np.median(air) == pytest.approx(-1000, abs=30)
        seen.add(int(header.RescaleIntercept))
    assert seen == {-1024, -1000, 0, 1}


def test_unsigned_files_with_intercept_0_wrap_around_and_hold_air_as_3096(challenge: Path) -> None:
    names = [name for name, header in headers(challenge).items() if header.RescaleIntercept == 0]
    assert names
    assert np.median(stored(challenge, names[0])) == pytest.approx(3096, abs=30)


def test_some_scanners_pad_with_minus_2000_outside_their_circle(challenge: Path) -> None:
    corners = []
    for name, header in headers(challenge).items():
        if header.PixelRepresentation:
            try:
                corners.append(stored(challenge, name)[0, 0])
            except ValueError:
                continue
    assert -2000 in corners
    assert max(corners) > -200


def test_one_file_is_cut_short_and_one_is_noise_below(challenge: Path) -> None:
    short, noisy = [], []
    for name, header in headers(challenge).items():
        dataset = pydicom.dcmread(challenge / "stage_2_train_images" / f"{name}.dcm")
        if len(dataset.PixelData) < 2 * header.Rows * header.Columns:
            short.append(len(dataset.PixelData) / (2 * header.Rows * header.Columns))
        elif stored(challenge, name)[-header.Rows // 4 :].std() > 10_000:
            noisy.append(name)
    assert short == [pytest.approx(0.29, abs=0.01)]
    assert len(noisy) == 1


def test_nothing_simple_predicts_bleeding(strangers: Path, auroc_of, summaries, thumbnails) -> None:
    found, bleeding = headers(strangers), labels(strangers)
    windowed, kept = [], []
    for name, header in found.items():
        try:
            units = hounsfield(strangers, name, header)
        except ValueError:
            continue
        kept.append(name)
        windowed.append(np.clip(units / 80.0, 0, 1) * 255)
    positive = bleeding[kept].to_numpy() == 1
    simple = summaries(windowed) | {
        "position": np.array([[float(found[name].ImagePositionPatient[2])] for name in kept]),
        "encoding": np.array([[found[name].BitsStored, float(found[name].RescaleIntercept)] for name in kept]),
    }
    aurocs = {name: auroc_of(values, positive) for name, values in simple.items()}
    assert {name: auroc for name, auroc in aurocs.items() if auroc > 0.6} == {}
    assert auroc_of(thumbnails(windowed), positive) < 0.65


def test_slices_of_one_patient_are_alike_enough_that_a_random_split_flatters(challenge: Path, thumbnails) -> None:
    """A slice's nearest other slice is nearly always of the same patient, so it also has that patient's label."""
    found, pictures, patients = headers(challenge), [], []
    for name, header in found.items():
        try:
            pictures.append(np.clip(hounsfield(challenge, name, header) / 80.0, 0, 1) * 255)
        except ValueError:
            continue
        patients.append(header.PatientID)
    small = thumbnails(pictures)
    apart = ((small[:, None] - small[None]) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    same = np.array(patients)[apart.argmin(axis=1)] == np.array(patients)
    assert same.mean() > 0.8


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in "ab":
        rsna(tmp_path / name, seed=9, patients=4, slices=3, side=32)
    first, second = (
        {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("*.*")}
        for name in "ab"
    )
    assert first == second
