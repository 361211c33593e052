"""Loads a recipe file."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ..envs.base import ExecEnv
from ..errors import FoxError, RecipeError
from ..export.folder import Exported, open_exported
from ..recipe import FoxRecipe


@dataclass(frozen=True)
class Loaded:
    """What a recipe file defines."""

    file: Path
    recipe: FoxRecipe
    env: ExecEnv | None


def load(path: str) -> Loaded:
    """Run a recipe file once, as an importable module, and take `recipe` and `env` from it.

    A folder is one that `recipe.export()` has made: it is checked first, file by file. The file's folder
    goes first on `sys.path`, and it is registered under its own name, so that what it defines can be found
    by that name in other processes. `if __name__ == "__main__":` blocks do not run.

    Raises:
        RecipeError: the file is missing, raises, or defines no `recipe`; or an exported folder is not as it
            was exported.
    """
    file = Path(path).resolve()
    if file.is_dir():
        return _load_exported(open_exported(file))
    if not file.is_file():
        raise RecipeError(f"there is no recipe file {path}")
    module = _run(file, path)
    recipe, env = getattr(module, "recipe", None), getattr(module, "env", None)
    if not isinstance(recipe, FoxRecipe):
        raise RecipeError(f"{path} {_what_is_wrong(module)}")
    if env is not None and not isinstance(env, ExecEnv):
        raise RecipeError(f"{path}: env is a {type(env).__name__}: SimEnv, PocEnv or HpcEnv is right")
    return Loaded(file, recipe, env)


def _load_exported(exported: Exported) -> Loaded:
    file = exported.file
    module = _run(file, str(file))
    recipe, env = getattr(module, exported.name, None), getattr(module, "env", None)
    if not isinstance(recipe, FoxRecipe):
        raise RecipeError(f"{file} makes no FoxRecipe named {exported.name!r}")
    exported.check(recipe.described())
    return Loaded(file, recipe, env if isinstance(env, ExecEnv) else None)


def _run(file: Path, path: str) -> ModuleType:
    name = file.stem
    if "." in name or name in sys.modules or name in sys.stdlib_module_names:
        why = "has a dot in its name" if "." in name else f"has the name of the module {name!r}"
        raise RecipeError(f"{path} {why}: rename it, so that the sites can import it")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path} is not a Python file: its name must end in .py")
    sys.path.insert(0, str(file.parent))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except RecipeError as error:
        raise RecipeError(f"{path}{_line_of(error, file)}: {error}") from error
    except FoxError:
        raise
    except SystemExit as error:
        raise RecipeError(f"{path} called sys.exit({error.code!r}) while it was loaded") from None
    except Exception as error:
        raise RecipeError(f"{path} could not be loaded: {type(error).__name__}: {error}") from error
    return module


def _line_of(error: BaseException, file: Path) -> str:
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)
    ]
    return f":{lines[-1]}" if lines else ""


def _what_is_wrong(module: ModuleType) -> str:
    names = [name for name, value in vars(module).items() if isinstance(value, FoxRecipe)]
    if hasattr(module, "recipe"):
        problem = f"defines a recipe that is a {type(module.recipe).__name__}, not a FoxRecipe"
    else:
        problem = "defines no recipe"
    if not names:
        return f"{problem}: recipe = FoxRecipe(…) is right"
    return f"{problem}, but there is {', '.join(names)}: recipe = {names[0]} would be right"
