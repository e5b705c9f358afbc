"""Keys of any type to texts that compare, and raw identifiers to keyed hashes.

The hash is HMAC-SHA256 with a key that never leaves the user's configuration folder (mode 600): whoever holds a run
folder cannot try all patient numbers against it, and the same user gets the same hash in every run.
"""

import hmac
import os
import re
import secrets
import unicodedata
from contextlib import suppress
from pathlib import Path

import pandas as pd

from keras_med.errors import EnvironmentProblem

DIGITS = 16  # of a hash: two of a million patients meet with a chance of one in 30 million
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def key_text(keys: pd.Series) -> pd.Series:
    """Write keys as texts: 7, 7.0, "7" and " 7 " are the same, "007" is another; an empty one is missing (None)."""
    codes, values = pd.factorize(keys)
    texts = [plain_text(value) or None for value in values]
    return pd.Series([texts[code] if code >= 0 else None for code in codes], index=keys.index, dtype=object)


def plain_text(value: object) -> str:
    """Write one value as text; a whole float is the integer."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = unicodedata.normalize("NFC", str(value)).strip()
    whole = _WHOLE.fullmatch(text)
    return whole.group(1) if whole else text


def label_text(label: object) -> str:
    """Write a label as class names are compared: 1, 1.0, True and "1" are one class."""
    if isinstance(label, bool) or type(label).__name__ == "bool":
        return str(int(bool(label)))
    return plain_text(label)


def keyed_hash(text: str, key: bytes | None = None) -> str:
    """Hash one raw identifier; `key` is read from the configuration folder where it is not given."""
    return hmac.digest(key or read_key(key_file()), text.encode("utf-8", "surrogateescape"), "sha256").hex()[:DIGITS]


def keyed_hashes(identifiers: pd.Series) -> pd.Series:
    """Hash a column of raw identifiers of any type; a missing one stays missing."""
    texts = key_text(identifiers)
    key = read_key(key_file())
    codes, values = pd.factorize(texts)
    hashes = [keyed_hash(value, key) for value in values]
    return pd.Series([hashes[code] if code >= 0 else None for code in codes], index=texts.index, dtype=object)


def configuration_folder() -> Path:
    """Name the user's folder for what the program must keep to itself."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.environ.get("APPDATA") or "~/.config"
    return Path(base).expanduser() / "keras_med"


def key_file() -> Path:
    """Return the file of the key, made on first use."""
    path = configuration_folder() / "patient_key"
    try:
        if not path.exists():
            _make_key(path)
        elif os.name == "posix" and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise EnvironmentProblem(
            f"The key for patient hashes cannot be kept: {error.strerror}",
            where=str(path),
            remedy="Let XDG_CONFIG_HOME name a folder that you may write to.",
        ) from None
    return path


def read_key(path: Path) -> bytes:
    """Read the key; one that is cut short is refused, for a new one would change every hash."""
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise EnvironmentProblem(
            f"The key for patient hashes cannot be read: {error.strerror}", where=str(path)
        ) from None
    if len(key) < 64:
        raise EnvironmentProblem(
            "The key for patient hashes is damaged.",
            where=str(path),
            remedy="Restore the file, or delete it for a new key.",
        )
    return key


def _make_key(path: Path) -> None:
    """Write a new key so that of two processes at once one wins and no one reads half a key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        os.write(handle, secrets.token_hex(32).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
