"""One process at a time for each job folder, also when two programs or two machines want the same job.

A lease is a small file in the folder, made by exactly one process (O_EXCL) and touched while that process lives. It is
stale when its process is known to be gone (same machine), or when it was not touched for a while by the clock of the
file system that holds it; machines' own clocks are never compared. Whoever finds his lease taken over ends at once.
"""

import json
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

LEASE = "lease.json"
STOP = "stop"  # a file that asks the process to write its last checkpoint and leave
_TOUCHED = 2.0  # seconds between two signs of life
_STALE = 30.0  # seconds without one after which a process of another machine counts as gone
_WAITED = 0.5


@dataclass(frozen=True)
class Holder:
    """Who holds a lease.

    started: of the process, in ticks since the machine started, so that a process number used again is seen.
    """

    token: str
    host: str
    process: int
    started: str


@contextmanager
def held(folder: Path, *, until: Callable[[], bool]) -> Iterator[bool]:
    """Hold the folder's lease inside the block; yields False, without it, once another holder has finished the job.

    Args:
        until: tells whether the job is done, while another holds the lease.
    """
    me = Holder(secrets.token_hex(8), socket.gethostname(), os.getpid(), _started(os.getpid()))
    told = False
    while not _take(folder, me):
        if until():
            yield False
            return
        if not told:
            print(f"waiting: {_told(holder(folder))} works on this", flush=True)
            told = True
        time.sleep(_WAITED)
    ended = threading.Event()
    threading.Thread(target=_live, args=(folder, me, ended), daemon=True, name="lease").start()
    try:
        yield not until()
    finally:
        ended.set()
        if holder(folder) == me:
            (folder / LEASE).unlink(missing_ok=True)


def holder(folder: Path) -> Holder | None:
    """Return who holds the folder's lease; None if nobody does, or while it is being written."""
    return _read(folder / LEASE)


def _take(folder: Path, me: Holder) -> bool:
    file = folder / LEASE
    try:
        handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        _clear_if_stale(folder)
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump(asdict(me), stream)
    return True


def _clear_if_stale(folder: Path) -> None:
    """Put a dead holder's lease aside, so that of all who wait one can make the next."""
    file, found = folder / LEASE, holder(folder)
    if not _stale(folder, found):
        return
    aside = folder / f".{LEASE}.{secrets.token_hex(4)}"
    with suppress(FileNotFoundError):  # another one was faster
        file.rename(aside)
        if _read(aside) != found:  # it was already the next one's: give it back
            with suppress(FileExistsError):
                os.link(aside, file)
        aside.unlink()


def _read(file: Path) -> Holder | None:
    try:
        return Holder(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _stale(folder: Path, found: Holder | None) -> bool:
    if found is not None and found.host == socket.gethostname():
        return _started(found.process) != found.started
    try:
        return _now(folder) - (folder / LEASE).stat().st_mtime > _STALE
    except FileNotFoundError:
        return False


def _live(folder: Path, me: Holder, ended: threading.Event) -> None:
    """Touch the lease until the block ends; leave when it is another's, or when a file asks for that."""
    asked = False
    while not ended.wait(_TOUCHED):
        found = holder(folder)
        if found is not None and found != me:
            os.kill(os.getpid(), signal.SIGKILL)  # what two processes write at once is nobody's
        with suppress(OSError):
            os.utime(folder / LEASE)
        if not asked and (folder / STOP).exists():
            asked = True
            os.kill(os.getpid(), signal.SIGINT)


def _now(folder: Path) -> float:
    """Return the time by the clock of the file system that holds the folder."""
    probe = folder / f".clock.{secrets.token_hex(4)}"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _started(process: int) -> str:
    """Return when a process of this machine started, of this boot of the machine; empty if it is gone."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        state, *fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return _alive(process)
    return "" if state == "Z" else f"{boot} {fields[18]}"


def _alive(process: int) -> str:
    """Tell a living process from a gone one where there is no /proc."""
    if Path("/proc/self").exists():
        return ""
    try:
        os.kill(process, 0)
    except OSError:
        return ""
    return "alive"


def _told(found: Holder | None) -> str:
    return f"process {found.process} on {found.host}" if found else "another process"
