"""ModuleWrapper: a module in the place of an object; it travels as its name and its folder."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import RecipeError


class ModuleWrapper:
    """Makes the marked functions of a module a server's or a client's functions.

    Args:
        module: a module, or its dotted name. `__main__` is used as it is here, and is known to other
            processes by the name under which its file can be imported.

    Raises:
        RecipeError: there is no such module, or importing it fails.
    """

    def __init__(self, module: ModuleType | str) -> None:
        self.module = module if isinstance(module, ModuleType) else _load(module)

    @property
    def name(self) -> str:
        """The name by which another process imports the module."""
        return self._place()[0]

    @property
    def folder(self) -> Path | None:
        """The folder that must be on `sys.path` for that; None if the module has no file."""
        return self._place()[1]

    def _place(self) -> tuple[str, Path | None]:
        spec = getattr(self.module, "__spec__", None)
        name = spec.name if spec is not None else self.module.__name__
        file = getattr(self.module, "__file__", None)
        if file is None:
            return name, None
        path = Path(file).resolve()
        parts = name.split(".")
        if name == "__main__" or not _lies_at(path, parts):
            return path.stem, path.parent
        return name, path.parents[len(parts) if path.stem == "__init__" else len(parts) - 1]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        name, folder = self._place()
        if folder is None and (name == "__main__" or importlib.util.find_spec(name) is None):
            raise RecipeError(f"module {name} has no file: put its functions in a file that sites can import")
        return _unpack, (name, None if folder is None else str(folder))

    def __deepcopy__(self, memo: dict[int, Any]) -> ModuleWrapper:
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "module":
            raise AttributeError(f"ModuleWrapper has no attribute {name!r}")
        return getattr(self.module, name)

    def __repr__(self) -> str:
        return f"<ModuleWrapper {self.name}>"


def _lies_at(path: Path, parts: list[str]) -> bool:
    tail = path.with_suffix("").parts
    if tail[-1] == "__init__":
        tail = tail[:-1]
    return list(tail[-len(parts) :]) == parts


def _load(name: str, folder: str | None = None) -> ModuleType:
    # The folder goes last: it must not hide other modules of this process.
    if folder is not None and folder not in sys.path:
        sys.path.append(folder)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise RecipeError(f"module {name!r} cannot be imported: {type(error).__name__}: {error}") from error


def _unpack(name: str, folder: str | None) -> ModuleWrapper:
    return ModuleWrapper(_load(name, folder))
