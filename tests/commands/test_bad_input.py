"""What a user can get wrong: one to four lines, the right exit code, no traceback, nothing half-written."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def check(told: "subprocess.CompletedProcess[str]", code: int, *words: str) -> None:
    lines = [line for line in told.stderr.splitlines() if not line.startswith(("stripes: runs", "audit,"))]
    assert told.returncode == code, told.stderr
    assert "Traceback" not in told.stderr
    assert 1 <= len(lines) <= 4, told.stderr
    assert told.stdout == ""
    for word in words:
        assert word in told.stderr, told.stderr


@pytest.mark.parametrize("name", ["run", "audit", "fit", "verify", "predict"])
def test_help_answers_without_the_heavy_packages(name: str, tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['x', '--help']; import runpy\n"
    code += f"try: runpy.run_module('keras_med.{name}', run_name='__main__')\n"
    code += "except SystemExit: print(sorted({'tensorflow', 'keras', 'pandas', 'scipy'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert told.stdout.splitlines()[-1] == "[]"
    assert "usage: python -m keras_med." in told.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing.py"], 2, ["There is no recipe 'nothing.py'"]),
        (["{recipe}", "--set", "train.epoch=3"], 2, ["Did you mean train.epochs?"]),
        (["{recipe}", "--set", "model.unit=3"], 2, ["Did you mean model.units?"]),
        (["{recipe}", "--set", "train.epochs=x"], 2, ["expected a whole number at least 1"]),
        (["{recipe}:other"], 2, ["has no recipe named 'other'"]),
        (["{recipe}", "--epochs", "3"], 2, ["Unrecognized arguments: --epochs 3"]),
        (["{recipe}", "--devices", "tpu"], 2, ["--devices tpu is not understood"]),
        (["{recipe}", "--devices", "cpu:3"], 2, ["--set train.batch_size=18"]),
        (["{recipe}", "--on", "head:8786"], 2, ["--on head:8786 is no address", "tcp://head-node:8786"]),
        (["{recipe}", "--resume"], 2, ["There is no run to resume"]),
        (["{recipe}"], 3, ["no data folder"]),
        (["{recipe}", "--data", "absent"], 3, ["The data folder does not exist"]),
        ([], 2, ["required: RECIPE"]),
    ],
)
def test_a_refused_command_line_says_what_where_and_what_to_type(
    command: Command, stripes: Path, tmp_path: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    typed = [argument.format(recipe=stripes / "stripes.py") for argument in arguments]
    check(command("run", *typed), code, *words)
    if code == 2:
        assert list(tmp_path.iterdir()) == []


def test_a_misspelt_backend_is_told_before_keras_is_imported(command: Command, stripes: Path) -> None:
    told = command("run", stripes / "stripes.py", "--data", stripes / "data", KERAS_BACKEND="tensorfow")
    check(told, 4, "KERAS_BACKEND is 'tensorfow'", "export KERAS_BACKEND=tensorflow")


def test_a_syntax_error_is_told_with_its_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text("x = 1\nrecipe = Recipe(\n")
    check(command("run", "my.py"), 2, "not valid Python", "line 2")


CHANGES = {
    "an index without rows": ('"*.png"', '"*.jpg"', "No file matches '*.jpg'"),
    "an index that fails": ("return tables", "return 1 / 0 or tables", "index() fails: ZeroDivisionError"),
    "an index that returns a list": ("return tables.labelled(", "return list(", "list"),
    "a wrong column": ('label="width"', 'label="widht"', "no column 'widht'"),
    "a list from network": (
        "return keras.layers.Dropout",
        "return [x]; keras.layers.Dropout",
        "network() returned a list",
    ),
    "a map from network": (
        "x = keras.layers.GlobalAveragePooling2D()(x)\n",
        "return x\n",
        "expected (batch, features)",
    ),
    "more folds than examples": ("folds=2", "folds=90", "fold"),
    "a batch larger than the data": ("batch_size=16", "batch_size=500", "--set train.batch_size="),
}


@pytest.mark.parametrize("case", list(CHANGES))
def test_a_faulty_recipe_is_told(command: Command, stripes: Path, tmp_path: Path, case: str) -> None:
    old, new, word = CHANGES[case]
    text = (stripes / "stripes.py").read_text()
    assert old in text
    (tmp_path / "stripes.py").write_text(text.replace(old, new))
    told = command("run", "stripes.py", "--data", stripes / "data")
    assert told.returncode in (2, 3), told.stderr
    assert "Traceback" not in told.stderr
    assert word in told.stderr


def with_labels(folder: Path, stripes: Path, change: Callable[[list[str]], list[str]]) -> Path:
    """Return a data folder with the same pictures and changed labels."""
    data = folder / "data"
    data.mkdir()
    for picture in (stripes / "data").glob("*.png"):
        (data / picture.name).symlink_to(picture)
    lines = (stripes / "data" / "labels.csv").read_text().splitlines()
    (data / "labels.csv").write_text("\n".join(change(lines)) + "\n")
    return data


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: [*lines[:3], "p002,wide", *lines[4:]], ["wide", "p002"]),
        (lambda lines: [*lines[:3], "p002,", *lines[4:]], ["p002"]),
        (lambda lines: [*lines, "p002,1.5"], ["p002"]),
        (lambda lines: [lines[0], "zz,3"], ["labels.csv"]),
        (lambda lines: [], ["labels.csv"]),
    ],
    ids=["no number", "missing", "two labels", "nothing matches", "empty"],
)
def test_faulty_labels_are_told_with_their_rows(
    command: Command, stripes: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], words: list[str]
) -> None:
    data = with_labels(tmp_path, stripes, change)
    told = command("run", stripes / "stripes.py", "--data", data)
    check(told, 3, *words)


def test_duplicate_ids_are_told(command: Command, stripes: Path, tmp_path: Path) -> None:
    text = (stripes / "stripes.py").read_text().replace("return tables", "table = tables", 1)
    text = text.replace('label="width")\n', 'label="width")\n    return table.assign(id="same")\n', 1)
    (tmp_path / "stripes.py").write_text(text)
    check(command("run", "stripes.py", "--data", stripes / "data"), 3, "same")


def test_a_file_that_has_gone_is_told(command: Command, stripes: Path, tmp_path: Path) -> None:
    data = with_labels(tmp_path, stripes, lambda lines: lines)
    (data / "p005.png").unlink()
    (data / "p005.png").symlink_to(tmp_path / "gone.png")
    told = command("run", stripes / "stripes.py", "--data", data)
    assert told.returncode in (0, 3)
    assert "p005" in told.stderr or "p005" in (next((tmp_path / "runs").rglob("excluded.csv"))).read_text()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told(command: Command, stripes: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    check(command("run", stripes / "stripes.py", "--data", stripes / "data", "--out", "closed/runs"), 4, "closed")


def test_a_run_folder_behind_a_file_is_told(command: Command, stripes: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    check(command("run", stripes / "stripes.py", "--data", stripes / "data"), 4, "cannot be made")


def test_a_disk_that_fills_is_told_and_leaves_nothing_that_is_trusted(stripes: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: writing fails in the same way."""
    cache = tmp_path / "cache"
    typed = [sys.executable, "-m", "keras_med.run", str(stripes / "stripes.py"), "--data", str(stripes / "data")]
    limited = ["bash", "-c", 'ulimit -f 24; trap "" XFSZ; exec "$@"', "-", *typed]
    environment = {**os.environ, "KERAS_MED_CACHE": str(cache)}
    told = subprocess.run(limited, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode in (1, 4), told.stderr
    assert "Traceback" not in told.stderr
    assert not list(cache.glob("prepared/*/done.json"))
    assert not list(cache.rglob("*.tmp*"))


def test_a_folder_is_audited_through_a_recipe(command: Command, stripes: Path) -> None:
    check(command("audit", stripes / "data"), 2, "--write my.py")
