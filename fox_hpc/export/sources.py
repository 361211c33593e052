"""Which of the user's files a recipe is made of, found by reading `import` lines; nothing is run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import RecipeError

_OURS = __name__.split(".")[0]


def find_sources(entry: Path, modules: Iterable[str], roots: Sequence[Path]) -> dict[str, Path]:
    """Follow the imports of a recipe file, and of modules that it only names, through the user's folders.

    A package comes whole, so that what its modules load by name is there as well: its Python files. What
    the roots do not have (installed packages, the standard library) is left out.

    Args:
        entry: the recipe file.
        modules: dotted names of modules that belong to it without being imported there.
        roots: folders that the user's modules are imported from, first come first.

    Returns:
        dict: path of each file, relative to the folder that it is imported from → where it lies.

    Raises:
        RecipeError: a file is not Python.
    """
    found: dict[str, Path] = {entry.name: entry}
    wanted = [*modules, *_imported(entry)]
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        for path, file in _files_of(name, roots):
            if path not in found:
                found[path] = file
                wanted += _imported(file)
    return dict(sorted(found.items()))


def module_names(paths: Iterable[str]) -> list[str]:
    """Name what can be imported at the top: `pkg/a.py` and `pkg/__init__.py` give `pkg`."""
    return sorted({Path(path).parts[0].removesuffix(".py") for path in paths})


def binds(file: Path, name: str) -> bool:
    """Tell whether the file, loaded as a module, assigns the name; an import or a guarded line does not."""
    tree = _parsed(file)
    return any(
        isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name
        for statement in tree.body
        if not _is_guard(statement)
        for node in ast.walk(statement)
    )


def _is_guard(statement: ast.stmt) -> bool:
    own_scope = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    return own_scope or (isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test))


def _imported(file: Path) -> list[str]:
    """Name the modules that a file imports, wherever in it; relative imports stay in their package."""
    names = []
    for node in ast.walk(_parsed(file)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # What is imported from a folder without __init__.py may be a module of it.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _files_of(name: str, roots: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    parts = name.split(".")
    if parts[0] == _OURS or parts[0] in sys.stdlib_module_names:
        return
    for root in roots:
        place = root
        for depth, part in enumerate(parts):
            place = place / part
            if (place / "__init__.py").is_file():
                top = root.joinpath(*parts[: depth + 1])
                yield from _below(top, root)
                return
            if (file := place.with_name(f"{part}.py")).is_file():
                yield file.relative_to(root).as_posix(), file
                return
            if not place.is_dir():
                break


def _below(package: Path, root: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package).parts
        if not any(part.startswith(".") or part == "__pycache__" for part in inside):
            yield file.relative_to(root).as_posix(), file


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes(), str(file))
    except (OSError, SyntaxError, ValueError) as error:
        raise RecipeError(f"{file} cannot be read as Python: {error}") from error
