"""The body of a request to its files: kept in memory, counted while it comes in, refused as soon as it is too large."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, FormParser, parse_options_header
from python_multipart.multipart import File as Part

from keras_med.data.memory import MemoryFile
from keras_med.serving.memory import stated_size

MOST_FILES = 2000  # the slices of a long series
_PATIENCE = 60.0  # seconds in which a body must be there
_LONGEST_NAME = 255

_parsers = logging.getLogger("python_multipart")  # what its parsers warn of quotes the request: it goes nowhere
_parsers.addHandler(logging.NullHandler())
_parsers.propagate = False


class Refusal(Exception):
    """A request that is refused, with its HTTP status."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


async def sent_files(headers: Mapping[str, str], body: AsyncIterator[bytes], largest: int) -> list[MemoryFile]:
    """Read the field `files` of a form; anything else in it is refused.

    Args:
        largest: bytes of the whole body.
    """
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refusal(415, "Send the files as multipart/form-data, in the field files.")
    if stated_size(headers) > largest:
        raise Refusal(413, _too_large(largest))
    form = _Form(options[b"boundary"], largest)
    try:
        async with asyncio.timeout(_PATIENCE):
            async for chunk in body:
                form.write(chunk)
    except TimeoutError:
        raise Refusal(408, f"The files did not arrive within {_PATIENCE:.0f} s.") from None
    return form.finished()


class _Form:
    def __init__(self, boundary: bytes, largest: int) -> None:
        self._files = list[MemoryFile]()
        self._ended = False
        self._left = self._largest = largest
        config = {"MAX_MEMORY_FILE_SIZE": largest, "UPLOAD_ERROR_ON_BAD_CTE": True}  # nothing goes to a disk
        try:
            self._parser = FormParser(
                "multipart/form-data", self._field, self._file, self._end, boundary=boundary, config=config
            )
        except FormParserError:
            raise Refusal(400, "The form's boundary is not valid.") from None

    def write(self, chunk: bytes) -> None:
        self._left -= len(chunk)
        if self._left < 0:
            raise Refusal(413, _too_large(self._largest))
        try:
            self._parser.write(chunk)
        except (FormParserError, UnicodeError):
            raise Refusal(400, "The form cannot be taken apart.") from None

    def finished(self) -> list[MemoryFile]:
        if not self._ended:
            raise Refusal(400, "The form ends before its end.")
        if not self._files:
            raise Refusal(422, "No file was sent; the field is called files.")
        return self._files

    def _file(self, part: Part) -> None:
        content: bytes = part.file_object.getvalue()  # type: ignore[union-attr]  # no other kind: it stays in memory
        self._add(part.field_name, part.file_name or b"", content)
        part.close()  # the parser's own functions hold each other, and it, until the next collection

    def _field(self, part: Field) -> None:
        self._add(part.field_name, b"", part.value or b"")

    def _add(self, field: bytes | None, name: bytes, content: bytes) -> None:
        if field != b"files":
            raise Refusal(422, "The form has a field that is not called files.")
        if len(self._files) == MOST_FILES:
            raise Refusal(422, f"More than {MOST_FILES} files are not taken at once.")
        self._files.append(MemoryFile(_plain(name), content))

    def _end(self) -> None:
        self._ended = True


def _plain(name: bytes) -> str:
    """Return a name without folders: it tells formats apart and is said back, and is never a path."""
    return name.decode("utf-8", errors="replace").replace("\\", "/").rpartition("/")[2][-_LONGEST_NAME:]


def _too_large(largest: int) -> str:
    return f"A request may have {largest / 2**20:,.0f} MiB; send fewer files, or use python -m keras_med.predict."
