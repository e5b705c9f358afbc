"""A folder of unknown data to guesses: where labels come from, what the target is, how large and deep images are."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from keras_med.data.dicom_headers import read_header
from keras_med.data.file_lists import Found, is_picture, stem, walk
from keras_med.data.identifiers import key_text, keyed_hashes, label_text
from keras_med.data.labels import compared
from keras_med.data.readers import MOST_CHANNELS, read_picture
from keras_med.data.stacks import open_stack
from keras_med.errors import DataError, five_of

LABEL_NAMES = ("label", "labels", "class", "target", "diagnosis", "outcome", "category", "y", "grade", "finding", "age")
PATIENT_NAMES = ("patient", "patientid", "patient_id", "subject", "subject_id", "subjectid")
NEGATIVE = re.compile(
    r"0|(non|no|not|without)([ _-].*)?|normal|negative|healthy|control|benign|false|none|absent", re.I
)
MOST_CLASSES = 20
_SAMPLE = 12
_HEAD_CT = "[(40, 80), (80, 200), (600, 2800)]"
_BODY_CT = "[(40, 400), (-600, 1500), (400, 1800)]"
_LARGEST = {2: 224, 3: 96}


@dataclass(frozen=True)
class Key:
    """Which column of the CSV names which column of the table."""

    column: str
    on: str
    zfill: int
    rows: int


@dataclass(frozen=True)
class Pictures:
    """The size, channels and scale of the images, as the words of a recipe."""

    size: tuple[int, ...]
    channels: int | None
    values: str


@dataclass(frozen=True)
class Target:
    """What the labels are: the recipe's word, and its arguments."""

    word: str
    arguments: dict[str, object] = field(default_factory=dict)


def kind_of(root: Path) -> tuple[str, list[Found]]:
    """Tell what a folder holds: "dicom", "stacks" or "pictures", and those files."""
    found = walk(root)
    arrays = [item for item in found if item.file.lower().endswith(".npy")]
    pictures = [item for item in found if is_picture(item.file) and not item.file.lower().endswith((".npy", ".npz"))]
    dicoms = [item for item in found if "." not in item.file or item.file.lower().endswith((".dcm", ".dicom", ".ima"))]
    dicoms = dicoms if any(_is_dicom(item.path) for item in dicoms[:_SAMPLE]) else []
    kinds = {
        "dicom": dicoms,
        "pictures": pictures,
        "stacks": _images_of(arrays) if len(arrays) < MOST_CLASSES else arrays,
    }
    kind = max(kinds, key=lambda name: len(kinds[name]))  # of several alike the first: .dcm files are pictures too
    if not kinds[kind]:
        remedy = "Expected DICOM files, pictures (png, jpg, tif, nii) or .npy arrays of (samples, rows, columns)."
        raise DataError("There are no images.", where=str(root), remedy=remedy)
    return kind, kinds[kind]


def pattern_of(found: list[Found]) -> str:
    """Return the pattern that lists the pictures, by their folder and suffixes."""
    names = sorted({item.file.removeprefix(stem(item.file)).lstrip(".") for item in found})
    folders = {item.name.rpartition("/")[0] for item in found}
    folder = f"{folders.pop()}/".lstrip("/") if len(folders) == 1 else "**/"
    return f"{folder}*.{names[0]}" if len(names) == 1 else f"{folder}*.{{{','.join(names)}}}"


def guess_key(table: pd.DataFrame, rows: pd.DataFrame) -> Key:
    """Find the column whose values name most rows of the table, as id, file, patient, study or series."""
    tried = []
    for column in rows.columns:
        texts = key_text(rows[column]).dropna()
        if texts.nunique() < 2:
            continue
        for on in ("id", "file", "patient", "study", "series"):
            if on in table or on == "file":
                tried += _tries(table, str(column), texts, on)
    best = max(tried, key=lambda key: key.rows, default=None)
    if best is None or not best.rows:
        raise DataError(
            f"No column of the CSV names the files: it has {five_of([str(name) for name in rows.columns])}",
            remedy="Give it a column with file names, ids or patient ids; or write index() by hand.",
        )
    return best


def guess_label(rows: pd.DataFrame, key: Key) -> str:
    """Choose the column that is called like a label, else one of few values, else one of many numbers."""
    others = [str(name) for name in rows.columns if name != key.column and rows[name].nunique() > 1]
    others = [name for name in others if name.lower() not in (*PATIENT_NAMES, "split", "fold", "set")]
    named = sorted((name for name in others if name.lower() in LABEL_NAMES), key=lambda n: LABEL_NAMES.index(n.lower()))
    few = [name for name in others if rows[name].nunique() <= MOST_CLASSES]
    many = [name for name in others if pd.api.types.is_numeric_dtype(rows[name])]
    for candidates in (named, few, many):
        if candidates:
            return candidates[0]
    told = five_of([str(name) for name in rows.columns])
    raise DataError(
        f"No column of the CSV looks like a label: it has {told}", remedy="Call the label's column 'label'."
    )


def guess_target(labels: pd.Series) -> Target:
    """Choose Binary for two values, Classes for a few, Regression for many or broken numbers."""
    labels = labels.dropna()
    numeric = pd.api.types.is_numeric_dtype(labels) and not pd.api.types.is_bool_dtype(labels)
    texts = sorted({label_text(value) for value in labels})
    whole = not numeric or bool((labels % 1 == 0).all())
    if len(texts) < 2:
        raise DataError(
            f"All labels are the same: {five_of(texts)}", remedy="There is nothing to learn from one label."
        )
    if numeric and (len(texts) > MOST_CLASSES or (not whole and len(texts) > 2)):
        return Target("Regression")
    if len(texts) > MOST_CLASSES:
        raise DataError(
            f"{len(texts)} different labels are too many for classes.", remedy="Name a column of few values."
        )
    names = [int(text) for text in texts] if numeric and whole else list(texts)
    if len(names) > 2:
        return Target("Classes", {"names": tuple(sorted(names))})
    positive = [name for name in names if not NEGATIVE.fullmatch(str(name))] or names
    return Target("Binary", {"positive": positive[-1]})


def guess_pictures(kind: str, table: pd.DataFrame) -> Pictures:
    """Look at a few images: their usual size, made smaller where it is large, their channels and their scale."""
    if kind == "stacks":
        return _of_stack(Path(table["path"].iloc[0]))
    places = np.unique(np.linspace(0, len(table) - 1, _SAMPLE).astype(int))
    paths = [Path(table["path"].iloc[place]) for place in places]
    seen = [picture for picture in map(_read, paths) if picture is not None]
    if not seen:
        raise DataError("None of the images looked at can be read.", where=str(paths[0]))
    axes = Counter(array.ndim for array, _ in seen).most_common(1)[0][0]
    arrays = [array for array, _ in seen if array.ndim == axes]
    channels = 3 if all(_is_coloured(array) for array in arrays) else 1
    values = '"as_is"' if max(bits for _, bits in seen) <= 8 else '"per_image"'
    if kind == "dicom":
        values = _dicom_values(paths)
    size = np.median([array.shape[:-1] for array in arrays], axis=0)
    return Pictures(_reduced(size), None if values.startswith("[") else channels, values)


def _tries(table: pd.DataFrame, column: str, texts: pd.Series, on: str) -> list[Key]:
    ours = compared(table, on, texts)
    keys = {0: texts}
    width = max((len(text) for text in ours.dropna() if text.isdecimal()), default=0) if on == "id" else 0
    if width and texts.str.isdecimal().all():
        keys[width] = texts.str.zfill(width)
    if on in ("patient", "study", "series") and on in table.attrs.get("hashed", ()):
        keys = {0: keyed_hashes(texts)}
    return [Key(column, on, zfill, int(ours.isin(set(padded)).sum())) for zfill, padded in keys.items()]


def _is_dicom(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _images_of(arrays: list[Found]) -> list[Found]:
    """Keep the arrays that hold images, and not the one that holds their labels."""
    kept = []
    for item in arrays:
        try:
            shape = open_stack(Path(item.path)).shape
        except DataError:
            continue
        if len(shape) in (3, 4, 5):
            kept.append(item)
    return kept


def _read(path: Path) -> tuple[np.ndarray, int] | None:
    try:
        picture = read_picture(path, "per_image")
    except DataError:
        return None
    return picture.array, picture.bits


def _is_coloured(array: np.ndarray) -> bool:
    return array.shape[-1] == 3 and bool((array[..., 0] != array[..., 1]).any())


def _dicom_values(paths: list[Path]) -> str:
    """Take fixed windows where values are calibrated (CT), else the file's own."""
    tags = [read_header(path) for path in paths]
    if any(found.get("Modality") != "CT" for found in tags):
        return '"file"'
    parts = {str(found.get("BodyPartExamined", "")).upper() for found in tags}
    return _HEAD_CT if parts & {"HEAD", "BRAIN", "SKULL"} else _BODY_CT


def _of_stack(path: Path) -> Pictures:
    stack = open_stack(path)
    coloured = len(stack.shape) == 5 or (len(stack.shape) == 4 and stack.shape[-1] <= MOST_CHANNELS)
    size = np.array(stack.shape[1:-1] if coloured else stack.shape[1:])
    sample = stack.read(sorted({0, len(stack) // 2, len(stack) - 1}))
    low, high = float(np.nanmin(sample)), float(np.nanmax(sample))
    if stack.dtype == np.uint8 and high > 1:
        values = '"as_is"'
    else:
        values = "(0.0, 1.0)" if low >= 0 and 0 < high <= 1 else '"per_image"'
    return Pictures(_reduced(size), 3 if coloured and stack.shape[-1] == 3 else 1, values)


def _reduced(size: np.ndarray) -> tuple[int, ...]:
    """Shrink to what a starter trains in reasonable time, keeping the proportions."""
    factor = min(1.0, _LARGEST[len(size)] / float(max(size)))
    return tuple(max(8, round(float(length) * factor / 8) * 8) if factor < 1 else int(length) for length in size)
