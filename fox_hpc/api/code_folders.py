"""Where code is imported from: the folders that must be on `sys.path` where it is to run."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path

from ..errors import RecipeError
from .module_wrapper import ModuleWrapper

_OURS = __name__.split(".")[0]


def find_module(name: str) -> Path | None:
    """Find a module without running it, and give the folder that it is imported from."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError) as error:
        raise RecipeError(f"training_module={name!r} cannot be found: {error}") from error
    if spec is None:
        raise RecipeError(f"training_module={name!r} cannot be found on sys.path")
    if spec.origin is None or not spec.has_location:
        return None
    depth = len(name.split("."))
    return Path(spec.origin).resolve().parents[depth if spec.submodule_search_locations else depth - 1]


def folder_of(thing: object) -> Path | None:
    """Give the folder that the module of a function or class is imported from; None if it is ours."""
    module = sys.modules.get(str(getattr(thing, "__module__", "")))
    return None if module is None else _module_folder(ModuleWrapper(module))


def folder_of_object(obj: object) -> Path | None:
    """Give the same of an object's class, or of a wrapped module."""
    return _module_folder(obj) if isinstance(obj, ModuleWrapper) else folder_of(type(obj))


def _module_folder(wrapper: ModuleWrapper) -> Path | None:
    return None if wrapper.name.split(".")[0] == _OURS else wrapper.folder


def is_users(folder: Path) -> bool:
    """Tell the user's folders from those of the interpreter, which every site has of its own."""
    installed = {Path(path).resolve() for path in sysconfig.get_paths().values()}
    return folder.is_dir() and folder not in installed
