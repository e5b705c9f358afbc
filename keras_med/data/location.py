"""A recipe and --data to the folder its `index` reads: the real data, or the recipe's phantom, made once."""

import hashlib
import importlib
import inspect
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keras_med.errors import DataError, RecipeError
from keras_med.recipe.kinds import near
from keras_med.recipe.words import Data

PHANTOMS = {
    "spr_age": "keras_med.phantoms.chest_xray:spr_age",
    "chest_folders": "keras_med.phantoms.chest_xray:chest_folders",
    "few_chest_folders": "keras_med.phantoms.chest_xray:few_chest_folders",
    "rsna": "keras_med.phantoms.head_ct:rsna",
    "brain_tumor": "keras_med.phantoms.brain_mr:brain_tumor",
    "oai": "keras_med.phantoms.knee_mr:oai",
}


@dataclass(frozen=True)
class Location:
    """Where the data are, and whether they are demo data."""

    root: Path
    demo: bool


def default_cache() -> Path:
    """Return $KERAS_MED_CACHE, or keras_med's folder in the user's cache."""
    named = os.environ.get("KERAS_MED_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "keras_med"


def locate(data: Data, stem: str, named: Path | None, cache: Path, say: Callable[[str], None]) -> Location:
    """Return the data folder; without real data, that of the phantom.

    Args:
        stem: the recipe file's name, for $KERAS_MED_DATA/<stem>.
        named: what --data said.
        say: is told when a phantom is made.
    """
    shelf = os.environ.get("KERAS_MED_DATA")
    folder = named or (Path(shelf) / stem if shelf and (Path(shelf) / stem).is_dir() else None)
    if folder is not None:
        if not folder.is_dir():
            raise DataError(
                "The data folder does not exist.", where=str(folder), remedy="Name another with --data DIR."
            )
        return Location(folder.absolute(), demo=False)
    if data.phantom is None:
        remedy = f"Name it with --data DIR, or put it below $KERAS_MED_DATA/{stem}."
        raise DataError("There is no data folder, and the recipe has no demo data.", remedy=remedy)
    return Location(_phantom(data.phantom, cache, say), demo=True)


def _phantom(phantom: str | Callable[..., None], cache: Path, say: Callable[[str], None]) -> Path:
    """Generate the demo data, unless this version of their generator has done so already."""
    make = _generator(phantom)
    name = getattr(make, "__name__", "phantom")
    folder = cache / "phantoms" / f"{name}-{_version(make)}"
    if not folder.is_dir():
        say(f"generating demo data ({name}) once, in {folder}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
        try:
            make(temporary / name, seed=0)
            (temporary / name).replace(folder)
        except OSError:
            if not folder.is_dir():  # else another run has made the same in the meantime
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _generator(phantom: str | Callable[..., None]) -> Callable[..., None]:
    if not isinstance(phantom, str):
        return phantom
    if phantom not in PHANTOMS:
        raise RecipeError(f"There is no phantom {phantom!r}", remedy=near(phantom, list(PHANTOMS)))
    module, _, function = PHANTOMS[phantom].partition(":")
    return getattr(importlib.import_module(module), function)


def _version(make: Callable[..., None]) -> str:
    """Hash the generator's source and its neighbours', so that a changed phantom is made anew."""
    file = Path(inspect.getfile(make))
    digest = hashlib.sha256()
    for source in sorted(file.parent.glob("*.py")) if make.__module__.startswith("keras_med.") else [file]:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:10]
