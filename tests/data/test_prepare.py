"""A table to prepared arrays: read once, resumed, and excluded with reasons; all in real processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.uid import UID

from keras_med.data import pixels, prepare, shards
from keras_med.data.png_tree import file_names
from keras_med.errors import DataError, RecipeError
from keras_med.jobs.local import warm_up
from keras_med.recipe.words import Image

IMAGE = Image(size=(6, 8))
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def warm_processes() -> None:
    warm_up(["keras_med.data.shards", "keras_med.data.png_tree"], {})


def pictures(folder: Path, count: int, *, seed: int = 0, size: tuple[int, int] = (6, 8)) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        path = folder / f"{number:04d}.png"
        path.write_bytes(cv2.imencode(".png", draw.integers(0, 256, size, dtype=np.uint8))[1].tobytes())
        rows.append({"id": f"p{number:04d}", "path": str(path)})
    return pd.DataFrame(rows)


def inputs(table: pd.DataFrame, image: Image = IMAGE) -> list[np.ndarray]:
    rows = table[["array", "array_row", "stack"]].itertuples(index=False)
    return [pixels.read_input(str(row.array), int(row.array_row), bool(row.stack), image) for row in rows]


def stored(path: str) -> np.ndarray:
    return cv2.imread(path, cv2.IMREAD_UNCHANGED)


def written(prepared: prepare.Prepared) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for shard in prepared.shards for file in (shard, *shard.iterdir())}


def dicom_slice(path: Path, value: int, position: float) -> None:
    one = pydicom.Dataset()
    one.file_meta = pydicom.dataset.FileMetaDataset()
    one.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    one.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    one.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.{value}")
    one.SeriesInstanceUID, one.Modality = "1.3", "CT"
    one.PhotometricInterpretation, one.SamplesPerPixel = "MONOCHROME2", 1
    one.ImagePositionPatient, one.ImageOrientationPatient = [0.0, 0.0, position], [1.0, 0, 0, 0, 1.0, 0]
    one.Rows, one.Columns, one.BitsAllocated, one.BitsStored, one.HighBit = 6, 8, 16, 16, 15
    one.PixelRepresentation, one.PixelSpacing = 0, [1.0, 1.0]
    one.PixelData = np.full((6, 8), value, np.uint16).tobytes()
    one["PixelData"].VR = "OW"
    one.save_as(path, enforce_file_format=True)


def test_each_row_is_its_own_file_in_the_order_of_the_ids(tmp_path):
    table = pictures(tmp_path / "in", 5).sample(frac=1, random_state=1)
    made = prepare.prepare(table, IMAGE, tmp_path / "cache")
    assert list(made.table["id"]) == [f"p{number:04d}" for number in range(5)]
    for path, values in zip(made.table["path"], inputs(made.table), strict=True):
        np.testing.assert_array_equal(values[..., 0], stored(path))
    first = stored(made.table["path"][0])
    assert made.table["mean"][0] == pytest.approx(first.mean())
    assert made.table["minimum"][0] == first.min()
    assert list(made.table[["width", "height", "channels", "bits"]].iloc[0]) == [8, 6, 1, 8]
    assert made.thumbnails.shape == (5, 64, 64)
    assert made.excluded.empty


def test_a_second_time_nothing_is_read_or_written(tmp_path):
    table = pictures(tmp_path / "in", 5)
    first = prepare.prepare(table, IMAGE, tmp_path / "cache")
    before = written(first)
    told = []
    second = prepare.prepare(table, IMAGE, tmp_path / "cache", reached=told.append)
    assert written(second) == before
    assert told == [5]
    pd.testing.assert_frame_equal(second.table, first.table)
    np.testing.assert_array_equal(second.thumbnails, first.thumbnails)
    assert prepare.manifest_hash(second) == prepare.manifest_hash(first)


def test_a_file_that_changed_is_read_again_and_alone_in_its_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "_ROWS", 2)
    table = pictures(tmp_path / "in", 4)
    before = prepare.prepare(table, IMAGE, tmp_path / "cache")
    Path(table["path"][3]).write_bytes(cv2.imencode(".png", np.full((6, 8), 7, np.uint8))[1].tobytes())
    after = prepare.prepare(table, IMAGE, tmp_path / "cache")
    np.testing.assert_array_equal(inputs(after.table)[3], 7)
    assert after.shards[0] == before.shards[0]
    assert after.shards[1] != before.shards[1]


@pytest.mark.parametrize("other", [{"size": (3, 4)}, {"values": (0, 100)}, {"channels": 3}])
def test_other_settings_of_the_image_make_other_arrays(tmp_path, other):
    table = pictures(tmp_path / "in", 2)
    first = prepare.prepare(table, IMAGE, tmp_path / "cache")
    image = Image(**({"size": (6, 8)} | other))
    second = prepare.prepare(table, image, tmp_path / "cache")
    assert set(first.shards).isdisjoint(second.shards)
    assert inputs(second.table, image)[0].shape == image.shape


def test_files_of_8_and_of_16_bits_lie_in_one_array(tmp_path):
    table = pictures(tmp_path / "in", 2)
    ramp = (np.arange(48, dtype=np.uint16) * 1365).reshape(6, 8)
    Path(table["path"][1]).write_bytes(cv2.imencode(".png", ramp)[1].tobytes())
    made = prepare.prepare(table, IMAGE, tmp_path / "cache")
    assert list(made.table["bits"]) == [8, 16]
    shallow, deep = inputs(made.table)
    np.testing.assert_array_equal(shallow[..., 0], stored(table["path"][0]))
    np.testing.assert_allclose(deep[..., 0], ramp / 257, rtol=1e-6)  # fractions of a grey level are kept


def test_a_copy_of_other_depth_has_the_same_pixels(tmp_path):
    table = pictures(tmp_path / "in", 3)
    copy = stored(table["path"][0]).astype(np.uint16) * 257  # 255 -> 65535
    Path(table["path"][1]).write_bytes(cv2.imencode(".png", copy)[1].tobytes())
    one, other, stranger = prepare.prepare(table, IMAGE, tmp_path / "cache").table["pixel_hash"]
    assert one == other
    assert one != stranger


def test_what_cannot_be_read_is_left_out_with_its_reason(tmp_path):
    table = pictures(tmp_path / "in", 4)
    Path(table["path"][0]).write_bytes(b"")
    whole = Path(table["path"][2]).read_bytes()
    Path(table["path"][2]).write_bytes(whole[: len(whole) // 2])
    made = prepare.prepare(table, IMAGE, tmp_path / "cache")
    assert list(made.table["id"]) == ["p0001", "p0003"]
    assert list(made.excluded["id"]) == ["p0000", "p0002"]
    assert made.excluded["reason"].str.len().min() > 20
    for path, values in zip(made.table["path"], inputs(made.table), strict=True):
        np.testing.assert_array_equal(values[..., 0], stored(path))


def test_where_nothing_can_be_read_the_reasons_are_told(tmp_path):
    table = pictures(tmp_path / "in", 2)
    for path in table["path"]:
        Path(path).write_bytes(b"nothing")
    with pytest.raises(DataError, match="None of the 2 files can be read"):
        prepare.prepare(table, IMAGE, tmp_path / "cache")


def test_a_fault_of_a_reader_is_told_by_its_class_and_not_by_its_text(tmp_path, monkeypatch):
    def fails(*_):
        raise ValueError("Patient Jane Doe")

    monkeypatch.setattr(pixels, "read", fails)
    (tmp_path / "a.dcm").touch()
    _, _, found = shards.read_row(str(tmp_path / "a.dcm"), None, IMAGE)
    assert "ValueError" in found["reason"]
    assert "Jane" not in str(found)


def test_a_stack_is_used_where_it_lies(tmp_path):
    stack = np.random.default_rng(0).integers(0, 4096, (3, 6, 8), dtype=np.int16)
    np.save(tmp_path / "knees.npy", stack)
    table = pictures(tmp_path / "in", 2)
    rows = pd.DataFrame({"id": ["a", "b", "c"], "path": str(tmp_path / "knees.npy"), "row": [0, 1, 2]})
    image = Image(size=(6, 8), values=(0, 4095))
    made = prepare.prepare(pd.concat([rows, table]), image, tmp_path / "cache")
    assert list(made.table["stack"]) == [True, True, True, False, False]
    assert list(made.table["array"][:3]) == [str(tmp_path / "knees.npy")] * 3
    assert list(made.table["array_row"]) == [0, 1, 2, 0, 1]
    for row, values in enumerate(inputs(made.table[:3], image)):
        np.testing.assert_allclose(values[..., 0], stack[row] / 4095 * 255, rtol=1e-5, atol=1e-5)
    assert sum(len(np.load(shard / "images.npy")) for shard in made.shards) == 2  # the pictures alone were copied


def test_rows_of_an_archive_are_packed_like_pictures(tmp_path):
    stack = np.random.default_rng(0).integers(0, 256, (3, 6, 8), dtype=np.uint8)
    np.savez_compressed(tmp_path / "a.npz", stack)
    table = pd.DataFrame({"id": ["a", "b"], "path": str(tmp_path / "a.npz"), "row": [2, 0]})
    made = prepare.prepare(table, IMAGE, tmp_path / "cache")
    assert not made.table["stack"].any()
    np.testing.assert_array_equal(np.stack(inputs(made.table))[..., 0], stack[[2, 0]])


def test_a_folder_of_slices_is_one_volume_and_follows_its_files(tmp_path):
    series = tmp_path / "series"
    series.mkdir()
    for number, (value, position) in enumerate([(200, 10.0), (100, 5.0), (50, 0.0)]):
        dicom_slice(series / f"{number}.dcm", value, position)
    table = pd.DataFrame({"id": ["a"], "path": [str(series)]})
    image = Image(size=(6, 8, 3), values=(0, 255))
    made = prepare.prepare(table, image, tmp_path / "cache")
    np.testing.assert_allclose(inputs(made.table, image)[0][0, 0, :, 0], [50, 100, 200], atol=1e-3)
    assert prepare.size_and_change(str(series))[0] == sum(file.stat().st_size for file in series.iterdir())
    dicom_slice(series / "1.dcm", 150, 5.0)
    again = prepare.prepare(table, image, tmp_path / "cache")
    np.testing.assert_allclose(inputs(again.table, image)[0][0, 0, :, 0], [50, 150, 200], atol=1e-3)


def test_a_missing_file_stops_with_its_name(tmp_path):
    table = pictures(tmp_path / "in", 2)
    Path(table["path"][1]).unlink()
    with pytest.raises(DataError, match="A file has gone") as caught:
        prepare.prepare(table, IMAGE, tmp_path / "cache")
    assert caught.value.where == table["path"][1]


def test_a_column_that_preparing_fills_is_refused(tmp_path):
    with pytest.raises(DataError, match="width"):
        prepare.prepare(pictures(tmp_path / "in", 2).assign(width=3), IMAGE, tmp_path / "cache")


def test_exclusions_are_tried_again_once_another_decoder_is_installed(tmp_path, monkeypatch):
    table = pictures(tmp_path / "in", 2)
    good = Path(table["path"][1]).read_bytes()
    file = Path(table["path"][1])
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    file.write_bytes(b"\0" * len(good))
    os.utime(file, ns=times)
    assert len(prepare.prepare(table, IMAGE, tmp_path / "cache").excluded) == 1
    file.write_bytes(good)  # stands for a file whose decoder is there now: for the cache it is the same file
    os.utime(file, ns=times)
    assert len(prepare.prepare(table, IMAGE, tmp_path / "cache").excluded) == 1
    monkeypatch.setattr(prepare, "_DECODERS", ("json",))
    assert len(prepare.prepare(table, IMAGE, tmp_path / "cache").excluded) == 0


def test_png_files_of_the_prepared_pictures(tmp_path):
    table = pictures(tmp_path / "in", 3)
    deep = (np.arange(48, dtype=np.uint16) * 1365).reshape(6, 8)
    Path(table["path"][1]).write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    colour = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Path(table["path"][2]).write_bytes(cv2.imencode(".png", colour)[1].tobytes())
    table["id"] = ["train/a/one.png", "two", "../three"]
    image = Image(size=(6, 8), channels=3, store_as="png")
    made = prepare.prepare(table, image, tmp_path / "cache")
    assert made.pictures is not None
    assert made.pictures.is_relative_to(tmp_path / "cache" / "prepared-png")
    files = sorted(str(file.relative_to(made.pictures)) for file in made.pictures.rglob("*.png"))
    assert len(files) == 3
    assert files[1:] == ["train/a/one.png", "two.png"]
    np.testing.assert_array_equal(stored(made.pictures / files[0]), colour)
    np.testing.assert_array_equal(stored(made.pictures / "train/a/one.png")[..., 0], stored(table["path"][0]))
    np.testing.assert_array_equal(stored(made.pictures / "two.png")[..., 0], deep)
    before = {file: file.stat().st_mtime_ns for file in made.pictures.rglob("*")}
    assert prepare.prepare(table, image, tmp_path / "cache").pictures == made.pictures
    assert {file: file.stat().st_mtime_ns for file in made.pictures.rglob("*")} == before


def test_no_two_ids_share_a_png_file():
    names = file_names(["a", "A", "a.png", "a?", "a*", "a/../b", "", "..", "a" * 500, "a" * 501])
    assert len({name.lower() for name in names}) == 10
    assert all(".." not in name.split("/") and len(name) < 200 for name in names)
    assert names[0] == "a.png"


def test_volumes_have_no_png_files(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((1, 4, 4, 4), np.uint8))
    table = pd.DataFrame({"id": ["a"], "path": str(tmp_path / "a.npy"), "row": [0]})
    with pytest.raises(RecipeError, match="store_as"):
        prepare.prepare(table, Image(size=(4, 4, 4), store_as="png"), tmp_path / "cache")


CONVERTING = """
import sys
from pathlib import Path
import pandas as pd
from keras_med.data import prepare
from keras_med.jobs.local import warm_up
from keras_med.recipe.words import Image
if __name__ == "__main__":
    prepare._ROWS = 32
    warm_up(["keras_med.data.shards"], {})
    table = pd.read_csv(sys.argv[1], dtype=str)
    made = prepare.prepare(table, Image(size=(6, 8)), Path(sys.argv[2]), at_once=2)
    print(prepare.manifest_hash(made))
"""


def convert(tmp_path: Path, cache: Path) -> subprocess.Popen:
    program = tmp_path / "convert.py"
    program.write_text(CONVERTING)
    command = [sys.executable, str(program), str(tmp_path / "table.csv"), str(cache)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_killed_conversion_goes_on_to_the_same_arrays(tmp_path):
    pictures(tmp_path / "in", 600, size=(200, 300)).to_csv(tmp_path / "table.csv", index=False)
    whole, _ = convert(tmp_path, tmp_path / "whole").communicate(timeout=60)
    killed, cache = convert(tmp_path, tmp_path / "killed"), tmp_path / "killed" / "prepared"
    while len(list(cache.glob("*/done.json"))) < 3 and killed.poll() is None:
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    time.sleep(0.5)  # its children follow it
    kept = {file: file.stat().st_mtime_ns for file in cache.glob("*/done.json")}
    assert 3 <= len(kept) < 19
    resumed, _ = convert(tmp_path, tmp_path / "killed").communicate(timeout=60)
    assert resumed == whole
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


CRASHING = """
import os, signal, sys
from pathlib import Path
from keras_med.data import pixels, shards
read = pixels.read
def fragile(path, row, image):
    if path.name in ("0001.png", "0004.png"):
        os.kill(os.getpid(), signal.SIGSEGV)  # as a decoder in C would
    return read(path, row, image)
pixels.read = fragile
make_shard = shards.make_shard
"""


def test_a_file_that_crashes_its_decoder_is_left_out_and_the_others_are_read(tmp_path, monkeypatch):
    (tmp_path / "fragile_reader.py").write_text(CRASHING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(prepare, "MAKE_SHARD", "fragile_reader:make_shard")
    table = pictures(tmp_path / "in", 6)
    made = prepare.prepare(table, IMAGE, tmp_path / "cache")
    assert list(made.excluded["id"]) == ["p0001", "p0004"]
    assert made.excluded["reason"].str.contains("decoder crashed").all()
    for path, values in zip(made.table["path"], inputs(made.table), strict=True):
        np.testing.assert_array_equal(values[..., 0], stored(path))


FULL = """
import resource, sys
from pathlib import Path
import pandas as pd
from keras_med.data import prepare
from keras_med.errors import EnvironmentProblem
from keras_med.recipe.words import Image
if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # no file may be larger
    try:
        prepare.prepare(pd.read_csv(sys.argv[1], dtype=str), Image(size=(6, 8)), Path(sys.argv[2]))
    except EnvironmentProblem as problem:
        print(problem)
"""


def test_a_disk_without_room_is_told_and_nothing_half_written_is_trusted(tmp_path):
    table = pictures(tmp_path / "in", 8)
    table.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "full.py").write_text(FULL)
    command = [sys.executable, str(tmp_path / "full.py"), str(tmp_path / "table.csv"), str(tmp_path / "cache")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "--cache DIR" in told.stdout, told.stderr
    assert not list((tmp_path / "cache").glob("prepared/*/done.json"))
    assert len(prepare.prepare(table, IMAGE, tmp_path / "cache").table) == 8
