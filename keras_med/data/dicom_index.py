"""A folder of DICOM files to a table of ids, hashed patients, studies and series, and positions, by headers alone.

Files are read in parallel, 20,000 a job. A finished job stays in the cache under a hash of its files' paths, sizes and
times, so the next run reads only what changed, and holds hashes in place of identifiers.
"""

import hashlib
import json
import os
import re
import shutil
from collections import Counter as Counts
from pathlib import Path

import numpy as np
import pandas as pd

from keras_med import runfolder
from keras_med.data.dicom_headers import read_header
from keras_med.data.dicom_scan import Plain
from keras_med.data.file_lists import Found, decodable, printable, stem, walk, with_excluded
from keras_med.data.identifiers import key_file, keyed_hash, plain_text, read_key
from keras_med.data.location import default_cache
from keras_med.errors import DataError
from keras_med.jobs.job import Job, run_here
from keras_med.jobs.local import LocalRunner
from keras_med.jobs.loop import run_jobs
from keras_med.terminal import Counter

VERSION = 1  # of what a job leaves; a change here reads every header again
ROWS = 20_000
FEW = 2_000  # files that this process reads sooner than a second one starts
READ_HEADERS = "keras_med.data.dicom_index:read_headers"
NO_DICOM = (
    ".csv",
    ".txt",
    ".md",
    ".json",
    ".xml",
    ".html",
    ".pdf",
    ".png",
    ".jpg",
    ".jpeg",
    ".npy",
    ".npz",
    ".zip",
    ".gz",
)
_IDENTIFIERS = {"patient": "PatientID", "study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
_DIRECTORY = "1.2.840.10008.1.3.10"
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")


def dicom(folder: Path) -> pd.DataFrame:
    """List the DICOM pictures below a folder: id, path, patient, study, series (hashed) and position along the series.

    The id is the SOPInstanceUID where it is legal and unique, else the file's name without suffix, else its path below
    the folder. A file that is no DICOM picture goes to excluded.csv with the reason.
    """
    found = [item for item in walk(folder) if not item.file.lower().endswith(NO_DICOM)]
    usable = [item for item in found if decodable(item.name)]
    if not usable:
        raise DataError("There are no DICOM files.", where=str(folder), remedy="Name the data folder with --data DIR.")
    rows = _read(usable)
    rows["id"] = _ids(rows["id"].tolist(), usable)
    rows["path"] = [item.path for item in usable]
    good = rows["reason"] == ""
    table = rows.loc[good, ["id", "path", *_IDENTIFIERS, "position"]].reset_index(drop=True)
    for column in _IDENTIFIERS:
        table[column] = table[column].astype(object).where(table[column] != "", None)
    table.attrs["hashed"] = tuple(_IDENTIFIERS)
    reasons = zip(usable, rows["reason"], strict=True)
    left_out = [(item.name, item.path, reason) for item, reason in reasons if reason]
    unnamed = [item for item in found if not decodable(item.name)]
    left_out += [(printable(item.name), printable(item.path), "its name is not valid Unicode") for item in unnamed]
    return with_excluded(table, left_out)


def read_headers(folder: Path) -> None:
    """Read the headers of one job's files; a file that is no picture becomes a row with its reason."""
    settings = runfolder.read_json(folder / "settings.json")
    key = read_key(Path(settings["key"]))
    hashed: dict[str, str] = {"": ""}
    rows = [_row(Path(path), key, hashed) for path in settings["paths"]]
    runfolder.write_csv(folder / "rows.csv", pd.DataFrame(rows), private=True)
    (folder / "settings.json").unlink()
    runfolder.write_json(folder / "done.json", {"rows": len(rows)})


def _read(found: list[Found]) -> pd.DataFrame:
    """Read the headers that the cache does not hold."""
    cache, key = default_cache() / "headers", key_file()
    mark = keyed_hash("headers", read_key(key))  # with another key, other hashes
    counts = {}
    for start in range(0, len(found), ROWS):
        part = found[start : start + ROWS]
        told = json.dumps([VERSION, mark, [[item.path, *_state(item)] for item in part]])
        job = Job(cache / hashlib.sha256(told.encode()).hexdigest()[:24], READ_HEADERS)
        counts[job] = len(part)
        if not job.done:
            runfolder.write_json(job.folder / "settings.json", {"key": str(key), "paths": [item.path for item in part]})
    _run(counts)
    return pd.concat([_gathered(job, count) for job, count in counts.items()], ignore_index=True)


def _state(item: Found) -> tuple[int, int]:
    status = os.stat(item.path)  # noqa: PTH116 - called a million times; a Path doubles the time
    return status.st_size, status.st_mtime_ns


def _run(counts: dict[Job, int]) -> None:
    waiting = [job for job in counts if not job.done]
    if sum(counts[job] for job in waiting) <= FEW:
        for job in waiting:
            run_here(job)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with Counter("DICOM headers", sum(counts.values())) as counter:
        run_jobs(
            waiting,
            at_once=cores,
            watch=lambda _: counter.reach(sum(counts[job] for job in counts if job.done)),
            runner=LocalRunner(),  # the key that hashes patients stays on this machine
        )
        counter.note(f"Read {sum(counts[job] for job in waiting):,} DICOM headers.")


def _gathered(job: Job, count: int) -> pd.DataFrame:
    """Read what a job left; a damaged leftover is thrown away, so that the next run makes it anew."""
    try:
        rows = pd.read_csv(job.folder / "rows.csv", dtype=str, keep_default_na=False)
        rows["position"] = pd.to_numeric(rows["position"], errors="coerce")
    except (OSError, ValueError, KeyError):
        rows = pd.DataFrame()
    if len(rows) != count:
        shutil.rmtree(job.folder, ignore_errors=True)
        raise DataError("The cache of DICOM headers is damaged.", where=str(job.folder), remedy="Run again.")
    return rows


def _row(path: Path, key: bytes, hashed: dict[str, str]) -> dict[str, object]:
    tags: dict[str, Plain] = {}
    try:
        tags = read_header(path)
        reason = _no_picture(tags)
    except DataError as error:
        reason = error.sentence
    row: dict[str, object] = {"id": "" if reason else _single(tags.get("SOPInstanceUID"))}
    for column, keyword in _IDENTIFIERS.items():
        text = _single(tags.get(keyword))
        if text not in hashed:
            hashed[text] = keyed_hash(text, key)
        row[column] = hashed[text]
    return {**row, "position": _position(tags), "reason": reason}


def _no_picture(tags: dict[str, Plain]) -> str:
    if tags.get("SOPClassUID") == _DIRECTORY:
        return "a DICOM directory, no picture"
    return "" if tags.get("Rows") and tags.get("Columns") else "a DICOM file without a picture"


def _single(value: Plain) -> str:
    """Return a text as a CSV's keys are written, so that both get the same hash."""
    if isinstance(value, tuple):
        value = "\\".join(str(part or "") for part in value)
    return "" if value is None else plain_text(value)


def _position(tags: dict[str, Plain]) -> float | None:
    """Return the place along the normal of the slices in mm; where that is not known, the number in the series."""
    place, turned = _numbers(tags.get("ImagePositionPatient")), _numbers(tags.get("ImageOrientationPatient"))
    if len(place) == 3 and len(turned) == 6:
        return round(float(np.dot(np.cross(turned[:3], turned[3:]), place)), 4)
    if len(place) == 3:
        return place[2]
    number = tags.get("InstanceNumber")
    return float(number) if isinstance(number, (int, float)) else None


def _numbers(value: Plain) -> list[float]:
    parts = value if isinstance(value, tuple) else ()
    numbers = [float(part) for part in parts if isinstance(part, (int, float))]
    return numbers if len(numbers) == len(parts) and all(np.isfinite(numbers)) else []


def _ids(instances: list[str], found: list[Found]) -> list[str]:
    """Choose each file's id: its UID, its name, its path: the first that is legal and that no other file has."""
    stems = [stem(item.file) for item in found]
    counts, names = Counts(instances), Counts(stems)
    legal = {uid for uid, count in counts.items() if count == 1 and len(uid) <= 64 and _UID.fullmatch(uid)}
    chosen = []
    for uid, name, item in zip(instances, stems, found, strict=True):
        own = name if names[name] == 1 and name not in legal else item.name
        chosen.append(uid if uid in legal else own)
    return chosen
