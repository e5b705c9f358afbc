"""A URL to a complete file, without waiting long where there is no network."""

import http.client
import os
import shutil
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path

SECONDS_TO_CONNECT = 8.0


def fetch(url: str, target: Path, *, seconds: float = SECONDS_TO_CONNECT) -> None:
    """Download `url` to `target`, which appears only when it is complete.

    Raises OSError when there is no network, no such file, or less of it than was announced.
    """
    response = _open(url, seconds)
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"Downloading {url}", file=sys.stderr)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    try:
        with response, os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(response, file)
            file.flush()
            os.fsync(file.fileno())
        announced = response.headers.get("Content-Length")
        if announced and int(announced) != Path(temporary).stat().st_size:
            raise OSError("the connection ended before the end of the file")
        Path(temporary).replace(target)
    except http.client.HTTPException as problem:
        raise OSError(f"the connection failed: {type(problem).__name__}") from problem
    finally:
        Path(temporary).unlink(missing_ok=True)


def _open(url: str, seconds: float) -> http.client.HTTPResponse:
    """Open a URL within a time that includes finding the address, which urlopen's own timeout does not."""
    result: list[http.client.HTTPResponse | OSError] = []

    def attempt() -> None:
        try:
            result.append(urllib.request.urlopen(url, timeout=seconds))
        except OSError as problem:
            result.append(problem)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    if not result:
        raise OSError(f"no answer within {seconds:.0f} seconds")
    if isinstance(result[0], urllib.error.URLError) and not isinstance(result[0], urllib.error.HTTPError):
        raise OSError(str(result[0].reason))
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]
