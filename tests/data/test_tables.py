import hashlib
import hmac
import os
import stat
import warnings

import cv2
import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from keras_med import Binary, Classes, Regression
from keras_med.data import dicom_index, tables
from keras_med.data.identifiers import key_file, key_text, keyed_hashes
from keras_med.errors import DataError

RAW = "Silva^Maria-77"  # what must never leave `index`


@pytest.fixture(autouse=True)
def own_key_and_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
    monkeypatch.setenv("KERAS_MED_CACHE", str(tmp_path_factory.mktemp("cache")))


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def write_csv(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def write_dicom(path, *, patient=RAW, instance=None, position=0.0, pixels=True, study="1.2.3", **tags):
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RSNA's UIDs are no legal ones, and pydicom says so
        return _write_dicom(path, patient, instance or generate_uid(), position, pixels, study, tags)


def _write_dicom(path, patient, instance, position, pixels, study, tags):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = instance
    file = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, instance
    file.PatientID, file.StudyInstanceUID, file.SeriesInstanceUID = patient, study, study + ".1"
    file.ImagePositionPatient, file.ImageOrientationPatient = [0, 0, position], [1, 0, 0, 0, 1, 0]
    if pixels:
        file.Rows = file.Columns = 4
        file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
        file.BitsAllocated = file.BitsStored = 16
        file.HighBit, file.PixelRepresentation = 15, 1
        file.PixelData = bytes(32)
    for keyword, value in tags.items():
        setattr(file, keyword, value)
    file.save_as(path)
    return instance


# folders


def test_class_folders_are_labels(tmp_path):
    touch(tmp_path, "cat/1.png", "cat/deep/2.JPG", "dog/3.tiff", "dog/.hidden.png", "dog/notes.txt", ".git/x.png")
    table = tables.folders(tmp_path)
    assert table["id"].tolist() == ["cat/1.png", "cat/deep/2.JPG", "dog/3.tiff"]
    assert table["label"].tolist() == ["cat", "cat", "dog"]
    assert table["path"].tolist()[0] == str(tmp_path / "cat/1.png")
    assert "split" not in table


def test_split_folders_above_class_folders_give_a_split(tmp_path):
    touch(tmp_path, "Train/a/1.png", "valid/a/2.png", "test/b/3.png", "train/b/4.png", "test/lost.png")
    table = tables.folders(tmp_path).set_index("id")
    assert table["split"].to_dict() == {
        "Train/a/1.png": "train",
        "valid/a/2.png": "validation",
        "test/b/3.png": "test",
        "train/b/4.png": "train",
    }
    assert tables.excluded(table)[["id", "reason"]].to_numpy().tolist() == [
        ["test/lost.png", "it lies in no class folder"]
    ]


def test_labels_rename_class_folders_and_leave_others_out_with_a_reason(tmp_path):
    touch(tmp_path, "covid/1.png", "normal/2.png", "other/3.png")
    table = tables.folders(tmp_path, {"covid": 1, "normal": 0})
    assert table["label"].tolist() == [1, 0]
    assert tables.excluded(table)["id"].tolist() == ["other/3.png"]


def test_a_misspelt_class_folder_is_refused_with_the_near_name(tmp_path):
    touch(tmp_path, "covid/1.png")
    with pytest.raises(DataError, match=r"(?s)class folder covd.*Did you mean covid"):
        tables.folders(tmp_path, {"covd": 1})


def test_a_name_that_is_no_unicode_is_left_out_with_a_reason(tmp_path):
    touch(tmp_path, "a/1.png")
    with open(os.fsencode(tmp_path) + b"/a/caf\xe9.png", "wb"):  # noqa: PTH123 - bytes in the name
        pass
    table = tables.folders(tmp_path)
    assert table["id"].tolist() == ["a/1.png"]
    assert tables.excluded(table)["id"].tolist() == ["a/caf?.png"]


def test_a_folder_without_pictures_and_an_absent_one_are_refused(tmp_path):
    with pytest.raises(DataError, match="no class folders"):
        tables.folders(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        tables.folders(tmp_path / "absent")


def test_a_link_to_a_folder_above_ends(tmp_path):
    touch(tmp_path, "a/1.png")
    (tmp_path / "a/up").symlink_to(tmp_path)
    assert tables.folders(tmp_path)["id"].tolist() == ["a/1.png"]


# files


def test_files_are_named_by_stem(tmp_path):
    touch(tmp_path, "x/1.png", "y/2.png", "y/3.jpg", "4.png")
    assert sorted(tables.files(tmp_path)["id"]) == ["1", "2", "4"]
    assert tables.files(tmp_path, "y/*")["id"].tolist() == ["2", "3"]
    assert tables.files(tmp_path, "y/*.{png,jpg}")["id"].tolist() == ["2", "3"]
    assert tables.files(tmp_path, "[xy]/?.png")["id"].tolist() == ["1", "2"]


def test_files_with_equal_stems_are_named_by_path(tmp_path):
    touch(tmp_path, "x/1.png", "y/1.png", "y/2.png")
    assert tables.files(tmp_path)["id"].tolist() == ["x/1.png", "y/1.png", "y/2.png"]


def test_a_pattern_without_match_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"No file matches '\*.dcm'"):
        tables.files(tmp_path, "*.dcm")


# labelled


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([7, 70], ["7", "70"]),
        ([7.0, None], ["7", None]),
        ([" 7 ", "7.0", "007", "1.2.840.1", ""], ["7", "7", "007", "1.2.840.1", None]),
        (["cafe\u0301"], ["caf\u00e9"]),
    ],
)
def test_keys_are_compared_as_text(keys, expected):
    assert key_text(pd.Series(keys)).tolist() == expected


def seven_images(tmp_path):
    touch(tmp_path, *(f"{number:06}.png" for number in range(7)))
    return tables.files(tmp_path)


def test_numbers_that_lost_their_zeros_are_padded(tmp_path):
    csv = write_csv(tmp_path / "train.csv", "imageId,age\n" + "".join(f"{number},{number}.5\n" for number in range(7)))
    table = tables.labelled(seven_images(tmp_path), csv, key="imageId", label="age", zfill=6)
    assert table["label"].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert len(tables.excluded(table)) == 0


def test_keys_without_partner_are_kept_with_reasons_on_both_sides(tmp_path):
    csv = write_csv(tmp_path / "l.csv", "id,label\n000000,1\n000001,0\n000009,1\n")
    table = tables.labelled(seven_images(tmp_path), csv, key="id", label="label")
    assert table["label"].tolist() == [1, 0]
    left_out = tables.excluded(table).set_index("id")["reason"]
    assert left_out["000002"] == "l.csv has no row for it"
    assert left_out["000009"] == "no file has this id, which stands in l.csv"
    assert len(left_out) == 6
    assert tables.excluded(pd.concat([table, table])).equals(tables.excluded(table))


def test_a_repeated_key_with_one_label_counts_once(tmp_path):
    csv = write_csv(tmp_path / "l.csv", "id,label\n000000,1\n000001,0\n000000,1\n")
    table = tables.labelled(seven_images(tmp_path), csv, key="id", label="label")
    assert (len(table), table.attrs["collapsed"]) == (2, 1)


def test_a_repeated_key_with_two_labels_is_refused(tmp_path):
    rows = "".join(f"{number:06},0\n{number:06},1\n" for number in range(7))
    csv = write_csv(tmp_path / "l.csv", "id,label\n" + rows)
    with pytest.raises(DataError, match=r"7 values of id .* 000000, 000001, 000002, 000003, 000004 and 2 more"):
        tables.labelled(seven_images(tmp_path), csv, key="id", label="label")


def test_a_missing_column_is_refused_with_the_near_name(tmp_path):
    csv = write_csv(tmp_path / "l.csv", "image,bleeds\n000000,1\n")
    with pytest.raises(DataError) as raised:
        tables.labelled(seven_images(tmp_path), csv, key="image", label="bleed")
    assert raised.value.remedy == "Did you mean bleeds?"
    assert raised.value.where == str(csv)


def test_where_nothing_matches_the_column_that_would_is_named(tmp_path):
    csv = write_csv(tmp_path / "l.csv", "image,label\n000000.png,1\n000001.png,1\n")
    with pytest.raises(DataError) as raised:
        tables.labelled(seven_images(tmp_path), csv, key="image", label="label")
    assert raised.value.remedy == 'on="file" would match 2 of 7 rows.'


def test_files_are_found_by_as_many_folders_as_the_key_has(tmp_path):
    touch(tmp_path, "p1/a.png", "p2/a.png", "p2/b.png")
    csv = write_csv(tmp_path / "l.csv", "image,label\np1/a.png,1\np2/a.png,2\np2/b.png,3\n")
    table = tables.labelled(tables.files(tmp_path), csv, key="image", label="label", on="file")
    assert table["label"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        (b"id;label\n000000;1\n000001;2\n", [1, 2]),
        ("\ufeffid,label\r\n000000,1\r\n000001,2\r\n".encode(), [1, 2]),
        ("id\tlabel\n000000\t1\n000001\t2\n".encode("utf-16"), [1, 2]),
        ("id,label\n000000,são\n000001,NA\n".encode("cp1252"), ["são", "NA"]),
        (b"id,label\n000000,None\n000001,\n", ["None", None]),
    ],
)
def test_csv_files_of_any_program_are_read(tmp_path, content, labels):
    (tmp_path / "l.csv").write_bytes(content)
    table = tables.labelled(seven_images(tmp_path), tmp_path / "l.csv", key="id", label="label")
    assert [None if pd.isna(label) else label for label in table["label"]] == labels


def test_more_columns_come_along_under_other_names(tmp_path):
    csv = write_csv(tmp_path / "l.csv", "id,label,gender\n000000,1,F\n000001,2,M\n")
    table = tables.labelled(seven_images(tmp_path), csv, key="id", label="label", columns={"gender": "sex"})
    assert table["sex"].tolist() == ["F", "M"]


@pytest.mark.parametrize("content", [b"", b"id,label\n,1\n", b'id,label\n"open,1\n2,3\n4,"x'])
def test_a_damaged_csv_is_refused(tmp_path, content):
    (tmp_path / "l.csv").write_bytes(content)
    with pytest.raises(DataError):
        tables.labelled(seven_images(tmp_path), tmp_path / "l.csv", key="id", label="label")


# stacks


def test_the_samples_of_a_stack_are_rows(tmp_path):
    np.save(tmp_path / "knee.npy", np.zeros((3, 4, 4, 2), np.float32))
    table = tables.stack(tmp_path / "knee.npy", label="normal")
    assert table["id"].tolist() == ["knee-000000", "knee-000001", "knee-000002"]
    assert table["row"].tolist() == [0, 1, 2]
    assert set(table["label"]) == {"normal"}


def test_several_stacks_stand_below_one_another(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4)))
    np.save(tmp_path / "b.npy", np.zeros((1, 4, 4)))
    table = tables.checked(tables.stacks({tmp_path / "a.npy": 0, tmp_path / "b.npy": 1}), Binary())
    assert table["label"].tolist() == [0, 0, 1]


def test_labels_of_a_stack_may_be_an_array(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 4, 4)))
    np.save(tmp_path / "y.npy", np.array([2, 0, 1]))
    assert tables.stack(tmp_path / "x.npy", labels=tmp_path / "y.npy")["label"].tolist() == [2, 0, 1]
    np.save(tmp_path / "y.npy", np.array([2, 0]))
    with pytest.raises(DataError, match="2 labels for 3 samples"):
        tables.stack(tmp_path / "x.npy", labels=tmp_path / "y.npy")


def test_a_pickle_is_no_stack(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError) as raised:
        tables.stack(tmp_path / "x.npy")
    assert raised.value.where == "x.npy"


# checked


def plain(tmp_path, labels):
    touch(tmp_path, *(f"{number}.png" for number in range(len(labels))))
    return pd.DataFrame(
        {
            "id": [str(number) for number in range(len(labels))],
            "path": [str(tmp_path / f"{number}.png") for number in range(len(labels))],
            "label": pd.Series(labels, dtype=object),
        }
    )


@pytest.mark.parametrize("labels", [[0, 1], [0.0, 1.0], ["0", "1"], [False, True], ["0.0", " 1 "]])
@pytest.mark.parametrize(("positive", "expected"), [(1, [0, 1]), ("1", ["0", "1"]), (True, [False, True])])
def test_binary_labels_equal_the_positive_of_the_recipe_however_they_are_written(tmp_path, labels, positive, expected):
    table = tables.checked(plain(tmp_path, labels), Binary(positive=positive))
    assert table["label"].tolist() == expected


def test_class_labels_equal_the_names_of_the_recipe(tmp_path):
    table = tables.checked(plain(tmp_path, ["2", 1.0, "0"]), Classes(names=(0, 1, 2)))
    assert table["label"].tolist() == [2, 1, 0]


def test_regression_labels_are_numbers(tmp_path):
    assert tables.checked(plain(tmp_path, ["1.5", 2, " 3 "]), Regression())["label"].tolist() == [1.5, 2.0, 3.0]


@pytest.mark.parametrize(
    ("labels", "target", "told"),
    [
        ([1, 1, 1], Binary(), "Binary needs two labels; found 1: 1"),
        ([0, 1, 2], Binary(), "Binary needs two labels; found 3"),
        (["no", "yes"], Binary(), "neither is positive=1"),
        ([0, 1, None], Binary(), "1 of 3 rows have no label: 2"),
        ([0, 1, " "], Binary(), "1 of 3 rows have no label: 2"),
        (["a", "bb", "bb"], Classes(names=("a", "b")), "does not have: bb"),
        (["a", "a"], Classes(names=("a", "b")), "No example has the label b"),
        ([1, "8,5", 3], Regression(), "1 labels are no finite number: '8,5' of 1"),
        ([1, float("inf"), 3], Regression(), "1 labels are no finite number: inf of 1"),
        ([1, "NaN", 3], Regression(), "1 labels are no finite number: 'NaN' of 1"),
    ],
)
def test_labels_that_do_not_fit_the_target_are_refused(tmp_path, labels, target, told):
    with pytest.raises(DataError, match=told):
        tables.checked(plain(tmp_path, labels), target, "index()")


def test_duplicate_ids_are_refused_and_five_shown(tmp_path):
    table = plain(tmp_path, [0, 1] * 8).assign(id=[str(number // 2) for number in range(16)])
    with pytest.raises(DataError, match="8 ids are not unique: 0, 1, 2, 3, 4 and 3 more"):
        tables.checked(table, Binary())


def test_missing_files_are_refused_and_five_shown(tmp_path):
    table = plain(tmp_path, [0, 1] * 20)
    for number in range(30, 37):
        (tmp_path / f"{number}.png").unlink()
    (tmp_path / "20.png").unlink()
    (tmp_path / "20.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"8 files of 8 rows do not exist: .*20.png"):
        tables.checked(table, Binary())


def test_relative_paths_become_absolute(tmp_path, monkeypatch):
    table = plain(tmp_path, [0, 1])
    monkeypatch.chdir(tmp_path)
    assert tables.checked(table.assign(path=["0.png", "1.png"]), Binary())["path"].tolist() == table["path"].tolist()


@pytest.mark.parametrize("column", ["id", "path", "label"])
def test_a_column_of_the_contract_that_is_missing_is_named(tmp_path, column):
    with pytest.raises(DataError, match=f"no column '{column}'"):
        tables.checked(plain(tmp_path, [0, 1]).drop(columns=column), Binary())


def test_what_is_no_table_and_what_has_no_rows_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"returned a list; expected a pandas\.DataFrame"):
        tables.checked([1], Binary())
    with pytest.raises(DataError, match="without rows"):
        tables.checked(plain(tmp_path, [0, 1]).head(0), Binary())


def test_raw_patients_are_hashed_and_the_table_given_is_left_alone(tmp_path):
    table = plain(tmp_path, [0, 1, 0, 1]).assign(patient=[RAW, RAW, 7, None])
    made = tables.checked(table, Binary())
    assert made["patient"][0] == made["patient"][1] != made["patient"][2]
    assert made["patient"].isna().tolist() == [False, False, False, True]
    assert RAW not in made.to_csv()
    assert table["patient"][0] == RAW


def test_raw_patients_put_in_place_of_hashed_ones_are_hashed_too(tmp_path):
    write_dicom(tmp_path / "d/0.dcm")
    write_dicom(tmp_path / "d/1.dcm")
    table = tables.dicom(tmp_path / "d").assign(patient=["Souza^Joao", None], label=[0, 1])
    assert tables.checked(table, Binary())["patient"].tolist() == [tables.keyed_hash("Souza^Joao"), None]


def test_an_unlabelled_table_needs_no_labels(tmp_path):
    assert len(tables.checked(plain(tmp_path, [0, 1]).drop(columns="label"), None)) == 2


# identifiers


def test_hashes_are_hmac_sha256_with_a_key_only_the_user_can_read():
    key = key_file()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    expected = hmac.new(key.read_bytes(), RAW.encode(), hashlib.sha256).hexdigest()[:16]
    assert tables.keyed_hash(RAW) == expected
    assert keyed_hashes(pd.Series([RAW, None])).tolist() == [expected, None]


def test_a_key_that_others_could_read_is_closed():
    key_file().chmod(0o644)
    assert stat.S_IMODE(key_file().stat().st_mode) == 0o600


# DICOM


def test_dicom_headers_become_rows_with_hashed_patients(tmp_path):
    first = write_dicom(tmp_path / "a.dcm", position=2.5)
    write_dicom(tmp_path / "deep/ID_b.dcm", patient="P2", study="ID_study", instance="ID_b", position=5.0)
    touch(tmp_path, "labels.csv", "not.dcm")
    write_dicom(tmp_path / "report.dcm", pixels=False)
    table = tables.dicom(tmp_path)
    assert table["id"].tolist() == [first, "ID_b"]
    assert table["position"].tolist() == [2.5, 5.0]
    assert table["patient"].tolist() == [tables.keyed_hash(RAW), tables.keyed_hash("P2")]
    assert tables.excluded(table)["id"].tolist() == ["not.dcm", "report.dcm"]
    assert tables.excluded(table)["reason"].tolist()[1] == "a DICOM file without a picture"


def test_copies_of_one_instance_get_different_ids(tmp_path):
    write_dicom(tmp_path / "a/x.dcm", instance="1.2.3.4")
    write_dicom(tmp_path / "b/x.dcm", instance="1.2.3.4")
    write_dicom(tmp_path / "b/1.2.3.5", instance="1.2.3.4")
    assert tables.dicom(tmp_path)["id"].tolist() == ["a/x.dcm", "1.2.3.5", "b/x.dcm"]


def test_raw_patients_of_a_csv_meet_hashed_patients_of_the_headers(tmp_path):
    for number, patient in enumerate((RAW, RAW, "000007")):
        write_dicom(tmp_path / f"d/{number}.dcm", patient=patient, position=float(number))
    csv = write_csv(tmp_path / "labels.csv", f"PatientID,bleed\n{RAW},1\n000007,0\nSouza^Joao,1\n")
    table = tables.labelled(tables.dicom(tmp_path / "d"), csv, key="PatientID", label="bleed")
    assert table.sort_values("position")["label"].tolist() == [1, 1, 0]
    checked = tables.checked(table, Binary())
    assert checked["patient"].equals(table["patient"])
    left_out = tables.excluded(checked)
    assert left_out["id"].tolist() == [tables.keyed_hash("Souza^Joao")]
    assert not any(name in (checked.to_csv() + left_out.to_csv()) for name in (RAW, "Souza", "000007"))


def test_an_error_about_patients_names_none(tmp_path):
    write_dicom(tmp_path / "d/0.dcm")
    for rows in (f"{RAW},1\n{RAW},0\n", "Souza^Joao,1\n"):
        csv = write_csv(tmp_path / "labels.csv", "PatientID,bleed\n" + rows)
        with pytest.raises(DataError) as raised:
            tables.labelled(tables.dicom(tmp_path / "d"), csv, key="PatientID", label="bleed")
        assert "Souza" not in str(raised.value)
        assert RAW not in str(raised.value)


def test_headers_are_read_once_and_again_when_a_file_changes(tmp_path, monkeypatch):
    write_dicom(tmp_path / "d/0.dcm")
    before = tables.dicom(tmp_path / "d")
    read = []
    monkeypatch.setattr(dicom_index, "read_header", lambda path: read.append(path) or {})
    pd.testing.assert_frame_equal(tables.dicom(tmp_path / "d"), before)
    assert read == []
    os.utime(tmp_path / "d/0.dcm", ns=(1, 1))
    tables.dicom(tmp_path / "d")
    assert len(read) == 1


def test_no_raw_identifier_stays_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_MED_CACHE", str(tmp_path / "cache"))
    write_dicom(tmp_path / "d/0.dcm", PatientName="Maria Silva", study="1.2.99.77")
    tables.dicom(tmp_path / "d")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert b"reason" in kept
    assert not any(name in kept for name in (RAW.encode(), b"Maria", b"1.2.99.77"))


def test_many_files_are_read_by_several_processes_alike(tmp_path, monkeypatch):
    for number in range(6):
        write_dicom(tmp_path / f"d/{number}.dcm", patient=f"P{number}", position=float(number))
    alone = tables.dicom(tmp_path / "d")
    monkeypatch.setenv("KERAS_MED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(dicom_index, "FEW", 0)
    monkeypatch.setattr(dicom_index, "ROWS", 2)
    pd.testing.assert_frame_equal(tables.dicom(tmp_path / "d"), alone)


def test_a_damaged_cache_is_thrown_away(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_MED_CACHE", str(tmp_path / "cache"))
    write_dicom(tmp_path / "d/0.dcm")
    table = tables.dicom(tmp_path / "d")
    next((tmp_path / "cache").rglob("rows.csv")).write_text("id\n")
    with pytest.raises(DataError, match="cache of DICOM headers is damaged"):
        tables.dicom(tmp_path / "d")
    pd.testing.assert_frame_equal(tables.dicom(tmp_path / "d"), table)


def test_real_pictures_go_through(tmp_path):
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4), np.uint8))
    assert tables.checked(tables.folders(tmp_path), Classes(names=("a", "b")))["label"].tolist() == ["a", "b"]
