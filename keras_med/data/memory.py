"""Bytes that were sent to what the readers take for a file or a folder of one series; nothing touches the disk."""

import io
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import SimpleNamespace


@dataclass(frozen=True, order=True)
class MemoryFile:
    """A file in memory, with as much of a Path as the readers use.

    name: tells formats apart that their first bytes do not; nothing is opened by it.
    """

    name: str
    content: bytes = field(repr=False, compare=False)

    @property
    def suffix(self) -> str:
        """Return the end of its name, from the last point on."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> PurePosixPath:
        """Return a folder without a name."""
        return PurePosixPath()

    def open(self, mode: str = "rb", buffering: int = -1) -> io.BytesIO:
        """Open it for reading; both arguments are a Path's, and change nothing here."""
        return io.BytesIO(self.content)

    def read_bytes(self) -> bytes:
        """Return all of it."""
        return self.content

    def is_file(self) -> bool:
        """Say yes, as a Path does of what is no folder."""
        return True

    def stat(self) -> SimpleNamespace:
        """Return its size."""
        return SimpleNamespace(st_size=len(self.content))


@dataclass(frozen=True)
class MemoryFolder:
    """Files in memory that are the slices of one DICOM series."""

    files: tuple[MemoryFile, ...]
    name: str = "the series"


File = Path | MemoryFile
Source = Path | MemoryFile | MemoryFolder


def openable(file: File) -> Path | io.BytesIO:
    """Return what libraries take that open a file by themselves."""
    return file if isinstance(file, Path) else file.open()
