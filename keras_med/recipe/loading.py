"""`FILE.py:name` to a checked recipe."""

import importlib.util
import sys
import traceback
import types
from dataclasses import dataclass
from pathlib import Path

from keras_med.errors import RecipeError, UserError
from keras_med.recipe.kinds import near
from keras_med.recipe.words import Recipe


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe, the file it came from and its name there."""

    recipe: Recipe
    path: Path
    name: str
    docstring: str

    @property
    def title(self) -> str:
        """The name of its runs: the file's, with the recipe's own where it is not `recipe`."""
        return self.path.stem if self.name == "recipe" else f"{self.path.stem}-{self.name}"


def check_reference(reference: str) -> tuple[Path, str]:
    """Return the file and the name that `FILE.py:name` says; a RecipeError if there is no such Python file."""
    file, _, name = reference.partition(":") if not Path(reference).exists() else (reference, "", "")
    path = Path(file)
    if path.suffix != ".py":
        raise RecipeError(f"A recipe is a Python file, not {file!r}", remedy="For example recipes/spr_age.py")
    if not path.is_file():
        where = f"looked in {path.absolute().parent}"
        raise RecipeError(f"There is no recipe {file!r}", where=where, remedy=_siblings(path))
    return path, name or "recipe"


def load_recipe(reference: str, *, called: str | None = None) -> LoadedRecipe:
    """Run the recipe file and return the recipe that the reference names.

    Args:
        reference: `FILE.py` or `FILE.py:name`.
        called: the file's name where it is a copy of another, as in a run folder.
    """
    path, name = check_reference(reference)
    module = _run_file(path)
    recipes = [own for own, value in vars(module).items() if isinstance(value, Recipe)]
    if name not in recipes:
        known = near(name, recipes) if recipes else "Write recipe = Recipe(...) at its end."
        raise RecipeError(f"{path.name} has no recipe named {name!r}", where=str(path), remedy=known)
    return LoadedRecipe(vars(module)[name], Path(called) if called else path, name, module.__doc__ or "")


def _run_file(path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(f"keras_med_recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path.name} cannot be read as Python", where=str(path))
    module = importlib.util.module_from_spec(spec)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        where = f"{path}, line {error.lineno}"
        raise RecipeError(f"{path.name} is not valid Python: {error.msg}", where=where) from None
    except UserError as error:
        error.where = error.where or _line_in(path, error)
        raise
    except Exception as error:
        raise RecipeError(f"{path.name} fails: {type(error).__name__}: {error}", where=_line_in(path, error)) from error
    finally:
        sys.dont_write_bytecode = writes_bytecode
    return module


def _line_in(path: Path, error: BaseException) -> str:
    """Return the last line of the recipe file that the error passed."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def _siblings(path: Path) -> str:
    names = sorted(str(other) for other in path.parent.glob("*.py")) if path.parent.is_dir() else []
    return near(str(path), names) if names else "Name a recipe file, for example recipes/spr_age.py."
