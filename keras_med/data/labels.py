"""A table and a CSV of labels to one table, with every row of either side accounted for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from keras_med.data.file_lists import stem, with_excluded
from keras_med.data.identifiers import key_text, keyed_hashes
from keras_med.errors import DataError, five_of
from keras_med.recipe.kinds import near

DICOM_COLUMNS = {
    "PatientID": "patient",
    "StudyInstanceUID": "study",
    "SeriesInstanceUID": "series",
    "SOPInstanceUID": "id",
}
_IDENTIFIERS = ("patient", "study", "series")


def labelled(
    table: pd.DataFrame,
    csv: Path | pd.DataFrame,
    *,
    key: str,
    label: str,
    on: str | None = None,
    zfill: int = 0,
    columns: Sequence[str] | Mapping[str, str] = (),
) -> pd.DataFrame:
    """Give each row of the table the label that a CSV has for it.

    Keys are compared as text: 7, 7.0 and " 7 " are the same, "007" is another (see zfill). Rows without a partner, on
    either side, go to excluded.csv. A key that the CSV repeats with the same label counts once
    (`table.attrs["collapsed"]` says how often); with different labels it is refused.

    Args:
        csv: the file, or the table that the recipe made of it.
        key: the CSV's column that names an example, a file or a patient.
        label: the CSV's column with the label.
        on: the table's column to compare with: id, patient, any other, "stem" for the file's name without suffix, or
            "file" for its name with as many of its folders as the key has. Without it, patient for key="PatientID" and
            so on, else id.
        zfill: pad keys that are whole numbers with zeros to so many digits: 7 finds 000007.png with 6.
        columns: more of the CSV's columns to bring along; a mapping renames them (`{"gender": "sex"}`).
    """
    where = "the table of labels" if isinstance(csv, pd.DataFrame) else str(csv)
    renamed = dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns}
    rows = csv if isinstance(csv, pd.DataFrame) else read_csv(csv, text=[key])
    for name in (key, label, *renamed):
        if name not in rows:
            raise DataError(f"There is no column {name!r}.", where=where, remedy=near(name, [str(c) for c in rows]))
    on = _compared_column(table, key, on)
    rows, collapsed = _one_row_a_key(rows, key, label, list(renamed), zfill, where, private=on in _IDENTIFIERS)
    ours = compared(table, on, rows["key"])
    theirs = _hashed_alike(rows["key"], ours) if on in _IDENTIFIERS else rows["key"]
    if not ours.isin(set(theirs)).any():
        raise _nothing_matches(table, rows["key"], key, on, where)
    partner = ours.map(pd.Series(range(len(rows)), index=theirs))
    matched = partner.notna()
    made = table[matched].reset_index(drop=True)
    places = partner[matched].to_numpy(dtype=int)
    for name, own in {label: "label", **renamed}.items():
        made[own] = rows[name].take(places).array
    left_out = _left_out(table[~matched], rows, theirs, set(ours), key=key, on=on, where=Path(where).name)
    made = with_excluded(made, left_out)
    made.attrs["collapsed"] = made.attrs.get("collapsed", 0) + collapsed
    return made


def read_csv(path: Path, *, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV with commas, semicolons or tabs, in UTF-8 or Windows' code page; only empty cells are missing.

    Args:
        text: columns that stay as they are written, so that 000007 keeps its zeros.
    """
    if path.suffix.lower() in (".xls", ".xlsx", ".ods"):
        raise DataError("This is a spreadsheet, not a CSV.", where=str(path), remedy="Save the sheet as CSV.")
    try:
        content = path.read_bytes()
        encoding = _encoding(content)
        head = content[:65536].decode(encoding, "replace").lstrip("\n\r").partition("\n")[0]
        separator = max(",;\t|", key=head.count)
        return pd.read_csv(
            path,
            sep=separator,
            encoding=encoding,
            dtype=dict.fromkeys(text, str),
            keep_default_na=False,  # a class may be called "None" or "NA"
            na_values=[""],
            skipinitialspace=True,
            low_memory=False,
        ).rename(columns=lambda name: str(name).strip())
    except OSError as error:
        remedy = "Name the data folder with --data DIR."
        raise DataError(f"The CSV cannot be read: {error.strerror}", where=str(path), remedy=remedy) from None
    except (ValueError, pd.errors.ParserError) as error:
        told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"The CSV cannot be read: {told}", where=str(path)) from None


def _encoding(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _compared_column(table: pd.DataFrame, key: str, on: str | None) -> str:
    if on is None:
        guess = DICOM_COLUMNS.get(key, "id")
        return guess if guess in table else "id"
    if on not in table and on not in ("file", "stem"):
        raise DataError(f"The table has no column {on!r} to compare with.", remedy=near(on, [str(c) for c in table]))
    return on


def compared(table: pd.DataFrame, on: str, keys: pd.Series) -> pd.Series:
    """Return a column as text, to compare with keys; "file" has as many of its folders as the keys name."""
    if on in table:
        return key_text(table[on])
    paths = [str(path).replace("\\", "/").split("/") for path in table["path"]]
    if on == "stem":
        return key_text(pd.Series([stem(parts[-1]) for parts in paths], index=table.index))
    depths, wanted = sorted({key.count("/") + 1 for key in keys}, reverse=True), set(keys)
    ends = (["/".join(parts[-depth:]) for depth in depths] for parts in paths)
    return pd.Series([next((end for end in each if end in wanted), each[-1]) for each in ends], index=table.index)


def _one_row_a_key(
    rows: pd.DataFrame, key: str, label: str, others: list[str], zfill: int, where: str, *, private: bool
) -> tuple[pd.DataFrame, int]:
    """Return the rows with a text column `key`, each key once, and how many repeats that took away."""
    kept = list(dict.fromkeys([label, *others]))
    texts = key_text(rows[key]).map(lambda text: _padded(text, zfill), na_action="ignore")
    if texts.isna().any():
        lines = [str(line + 2) for line in texts.isna().to_numpy().nonzero()[0]]
        raise DataError(
            f"{len(lines)} rows have no {key}: lines {five_of(lines)}",
            where=where,
            remedy="Fill the cells, or delete the rows.",
        )
    named = pd.concat([texts.rename("key"), rows[kept]], axis=1).reset_index(drop=True)
    single = named.drop_duplicates(ignore_index=True)
    twice = single["key"].duplicated(keep=False)
    if twice.any():
        keys = list(dict.fromkeys(single.loc[twice, "key"]))
        told = "" if private else f": {five_of(keys)}"
        raise DataError(
            f"{len(keys)} values of {key} stand there twice with different {' or '.join(kept)}{told}",
            where=where,
            remedy="Correct the rows, or decide in index() which one counts.",
        )
    return single, len(named) - len(single)


def _padded(text: str, digits: int) -> str:
    return text.zfill(digits) if text.isdecimal() else text


def _hashed_alike(keys: pd.Series, ours: pd.Series) -> pd.Series:
    """Hash raw identifiers of the CSV where the table's are hashed, as those of `dicom` are."""
    return keys if keys.isin(set(ours)).any() else keyed_hashes(keys)


def _nothing_matches(table: pd.DataFrame, keys: pd.Series, key: str, on: str, where: str) -> DataError:
    wanted = set(keys)
    others = [name for name in ("id", "file", "stem", "patient") if name != on]
    counts = {
        name: int(compared(table, name, keys).isin(wanted).sum()) for name in others if name in (*table, "file", "stem")
    }
    best = max(counts, key=lambda name: counts[name], default="")
    if best and counts[best]:
        remedy = f'on="{best}" would match {counts[best]} of {len(table)} rows.'
    else:
        remedy = 'Give on=..., or zfill=... where numbers lost their zeros (on="file" and "stem" are the file\'s name).'
    if on in _IDENTIFIERS:
        return DataError(f"No {key} of {len(keys)} is a {on} of the table.", where=where, remedy=remedy)
    example = (
        f"{keys.iloc[0]!r} against {compared(table, on, keys).iloc[0]!r}" if len(keys) and len(table) else "nothing"
    )
    return DataError(f"No {key} of {len(keys)} is an {on} of the table, as {example}.", where=where, remedy=remedy)


def _left_out(
    ours: pd.DataFrame, rows: pd.DataFrame, theirs: pd.Series, known: set[str], *, key: str, on: str, where: str
) -> list[tuple[str, str, str]]:
    """Return the rows without a partner; patients appear by their hash alone."""
    files = [
        (str(own), str(path), f"{where} has no row for it") for own, path in zip(ours["id"], ours["path"], strict=True)
    ]
    lone = ~theirs.isin(known)
    names = rows.loc[lone, "key"]
    if on in _IDENTIFIERS and len(names):
        names = keyed_hashes(names)
    return files + [(name, "", f"no file has this {key}, which stands in {where}") for name in names]
