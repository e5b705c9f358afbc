"""Where ImageNet weights come from: a file, a folder, Keras' cache, the network; on demo data also random numbers.

Builders ask here, so that no recipe has to pass a path on: whoever builds a network wraps it in

    with weights.policy(directory, allow_random=demo) as record:
        features = network(image)

and finds in `record.used` what each backbone was given.
"""

import contextlib
import hashlib
import os
import random
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import keras

from keras_med.errors import EnvironmentProblem
from keras_med.models import download, weight_files


class WeightsAbsent(EnvironmentProblem):
    """No weights on this machine, none from the network, and random ones are not allowed."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """Weights as their publisher names them.

    files: accepted names; the first is the one a download gets. md5 is checked for a file of that first name.
    """

    files: tuple[str, ...]
    url: str
    md5: str = ""


@dataclass(frozen=True, kw_only=True)
class Used:
    """What one backbone was given: a file and its SHA-256, or random weights (both empty)."""

    backbone: str
    file: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        return f"{self.backbone}: {self.file or 'RANDOM WEIGHTS, no ImageNet weights were found'}"


@dataclass(kw_only=True)
class Policy:
    """What is allowed, and the record of what was done.

    directory: a folder, or one file, that is looked at first.
    allow_random: demo data alone. Frozen random weights then come from `seed`, the same in every fold and worker.
    """

    directory: Path | None = None
    allow_random: bool = False
    allow_download: bool = True
    seed: int = 0
    used: list[Used] = field(default_factory=list)
    failed_downloads: dict[str, str] = field(default_factory=dict)

    @property
    def any_random(self) -> bool:
        """Tell whether a backbone was given random weights, so that its statistics need calibration."""
        return any(not used.file for used in self.used)


_CURRENT: ContextVar[Policy | None] = ContextVar("weights_policy", default=None)


@contextlib.contextmanager
def policy(
    directory: Path | str | None = None, *, allow_random: bool = False, allow_download: bool = True, seed: int = 0
) -> Iterator[Policy]:
    """Say where the builders called inside look for weights, and record what they used."""
    given = Path(directory).expanduser() if directory else None
    if given and not given.exists():
        raise EnvironmentProblem(f"--weights {given} does not exist.", remedy="Give a folder or a file with weights.")
    current = Policy(directory=given, allow_random=allow_random, allow_download=allow_download, seed=seed)
    token = _CURRENT.set(current)
    try:
        yield current
    finally:
        _CURRENT.reset(token)


@contextlib.contextmanager
def reproducible(frozen: bool | str) -> Iterator[None]:
    """Draw the initial weights of layers built inside from the policy's seed, if some of them stay frozen.

    Folds differ in their seed; a frozen backbone must not, or its features could not be shared between them. Keras'
    initializers take their seed from Python's generator, whose state is put back afterwards.
    """
    if frozen is False:
        yield
        return
    state = random.getstate()
    random.seed(_current().seed)
    try:
        yield
    finally:
        random.setstate(state)


def load(name: str, published: Published, start: keras.KerasTensor, end: keras.KerasTensor) -> bool:
    """Give the layers between two tensors their published weights; False when they keep random ones."""
    current = _current()
    try:
        path = find(name, published, current)
    except WeightsAbsent:
        if not current.allow_random:
            raise
        current.used.append(Used(backbone=name))
        return False
    weight_files.load(path, name, start, end, remedy=_remedy(published))
    current.used.append(Used(backbone=name, file=str(path), sha256=_digest(path, "sha256")))
    return True


def will_be_random(name: str, published: Published) -> bool:
    """Tell whether `load` is going to leave random weights, so that a builder may choose a smaller size."""
    current = _current()
    if not current.allow_random:
        return False
    try:
        find(name, published, current)
    except WeightsAbsent:
        return True
    return False


def find(name: str, published: Published, current: Policy) -> Path:
    """Find the weights of a backbone on this machine, or download them into Keras' cache."""
    if current.directory and current.directory.is_file():
        return _checked(current.directory, published)
    cache = cache_folder()
    for folder in filter(None, (current.directory, cache)):
        for file in published.files:
            if (folder / file).is_file():
                return _checked(folder / file, published)
    reason = "downloads are not allowed here"
    if current.allow_download:
        reason = _downloaded(published.url, cache / published.files[0], current)
        if not reason:
            return _checked(cache / published.files[0], published)
    looked = " and ".join(str(folder) for folder in (current.directory, cache) if folder)
    raise WeightsAbsent(
        f"The ImageNet weights of {name} are absent: no {published.files[0]} in {looked}, and {reason}.",
        remedy=_remedy(published),
    )


def _downloaded(url: str, target: Path, current: Policy) -> str:
    """Try a download, once in a policy's life; return why it failed, or nothing."""
    if url not in current.failed_downloads:
        try:
            download.fetch(url, target)
        except OSError as problem:
            current.failed_downloads[url] = f"the download failed ({problem})"
    return current.failed_downloads.get(url, "")


def cache_folder() -> Path:
    """Name the folder where keras.applications keeps weights."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"


def _current() -> Policy:
    return _CURRENT.get() or Policy()


def _checked(path: Path, published: Published) -> Path:
    """Refuse a file that has the published name and other contents."""
    if published.md5 and path.name == published.files[0] and _digest(path, "md5") != published.md5:
        weight_files.refuse_other_formats(path, remedy=_remedy(published))
        raise EnvironmentProblem(
            f"{path} is not the file that was published under this name (its MD5 should be {published.md5}).",
            remedy=_remedy(published),
        )
    return path


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _remedy(published: Published) -> str:
    return (
        f"Download {published.url} as {published.files[0]} into {cache_folder()}, "
        "or give its folder or another such file by --weights."
    )
