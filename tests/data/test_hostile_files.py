"""A sample of the soak benchmarks/soak/mutated_files.py, by the same program: 200 damaged files through the readers."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_med.data.jpeg_streams import claimed_size, is_sound_jpeg, is_whole_jpeg_ls
from keras_med.data.readers import read_picture
from keras_med.errors import DataError

SOAK = Path(__file__).resolve().parents[2] / "benchmarks" / "soak" / "mutated_files.py"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    target = tmp_path_factory.mktemp("soak") / "report.json"
    command = [sys.executable, str(SOAK), "--files", "200", "--seed", "3", "--json", str(target)]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_MED_REAL_DATA"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=environment)
    assert target.exists(), done.stderr[-2000:]
    return json.loads(target.read_text())


def test_damaged_files_end_as_pictures_or_errors(report):
    assert report["failures"] == []
    assert set(report["outcomes"]) == {"picture", "error"}


def test_the_sample_covers_many_formats_and_mostly_their_pixels(report):
    assert report["files"] == 200
    assert report["kinds"] >= 12
    assert report["beyond the header"] >= 100


def test_damaged_files_take_little_time_and_memory(report):
    assert report["slowest in seconds"] < 10
    assert report["largest memory in MiB"] < 1024


def test_files_without_any_sense_are_refused(tmp_path):
    random = np.random.default_rng(0)
    for suffix in (".png", ".jpg", ".tif", ".dcm", ".npy", ".npz", ".nii", ".nii.gz", "", ".txt"):
        path = tmp_path / f"a{suffix}"
        for content in (b"", random.bytes(3), random.bytes(5000), bytes(5000), b"hello\n" * 100):
            path.write_bytes(content)
            with pytest.raises(DataError) as caught:
                read_picture(path, "as_is")
            assert caught.value.remedy


def jpeg(rows: int = 16, columns: int = 24) -> bytes:
    return cv2.imencode(".jpg", np.zeros((rows, columns), np.uint8))[1].tobytes()


def test_a_code_stream_tells_its_size():
    assert claimed_size(jpeg(16, 24)) == (16, 24, 1)
    siz = b"\xff\x4f\xff\x51" + struct.pack(">HHIIII", 41, 0, 300, 200, 0, 0) + bytes(16) + struct.pack(">H", 3)
    assert claimed_size(siz) == (200, 300, 3)
    assert claimed_size(b"no code stream") is None


def test_a_jpeg_ls_stream_must_have_its_size_and_its_end():
    frame = b"\xff\xd8\xff\xf7" + struct.pack(">HBHHB", 11, 8, 16, 24, 1) + b"\x01\x11\x00"
    content = frame + b"\xff\xda" + bytes(20) + b"\xff\xd9\0"
    assert is_whole_jpeg_ls(content, (16, 24, 1))
    assert not is_whole_jpeg_ls(content, (16, 25, 1))
    assert not is_whole_jpeg_ls(content[:-3], (16, 24, 1))
    assert not is_whole_jpeg_ls(b"", (16, 24, 1))


def test_a_sound_stream_is_told_from_a_damaged_one():
    content = jpeg()
    assert is_sound_jpeg(content, (16, 24, 1), 8)
    assert not is_sound_jpeg(content, (16, 24, 1), 7)
    assert not is_sound_jpeg(content, (16, 23, 1), 8)
    assert not is_sound_jpeg(content, (16, 24, 3), 8)
    assert not is_sound_jpeg(content[:-2], (16, 24, 1), 8)
    scan = content.index(b"\xff\xda")
    assert not is_sound_jpeg(content[:-4] + b"\xff\xda" + content[-4:], (16, 24, 1), 8)
    assert not is_sound_jpeg(content[:scan] + b"\xff" + content[scan:], (16, 24, 1), 8)
    table = content.index(b"\xff\xc4") + 5
    assert not is_sound_jpeg(content[:table] + b"\xff" + content[table + 1 :], (16, 24, 1), 8)
    assert not is_sound_jpeg(b"", (16, 24, 1), 8)
