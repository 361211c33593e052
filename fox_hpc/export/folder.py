"""An exported folder: `job.json` for the reader, the code, and the manifest that holds both."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ..api.module_wrapper import ModuleWrapper
from ..errors import RecipeError, WorkspaceError
from .manifest import MANIFEST, check_manifest, write_manifest
from .sources import binds, find_sources, module_names

JOB = "job.json"
FORMAT = 1


class Exportable(Protocol):
    """A recipe, seen from here."""

    code_path: tuple[str, ...]

    def described(self) -> dict[str, Any]:
        """Give the arguments as plain values."""


@dataclass(frozen=True)
class Exported:
    """An exported folder whose files are those of its manifest.

    Args:
        file: the recipe file; its folder is the one that the code is imported from.
        name: what the recipe is called in it.
        told: the recipe's arguments as `job.json` tells them.
    """

    folder: Path
    file: Path
    name: str
    told: Mapping[str, Any]

    def check(self, described: Mapping[str, Any]) -> None:
        """Hold what the recipe file has made against what `job.json` tells its readers.

        Raises:
            RecipeError: they differ, e.g. because the recipe reads an environment variable.
        """
        for name in dict.fromkeys([*self.told, *described]):
            told, made = self.told.get(name), described.get(name)
            if told != made:
                raise RecipeError(
                    f"{self.folder}: {JOB} says {name}={told!r}, but {self.file.name} makes {made!r} here"
                )


def export(recipe: Exportable, folder: Path, code: str | None) -> Path:
    """Write a recipe's folder; all of it or, if this process dies, nothing.

    Args:
        code: the folder within the folder that the code goes into; None names the modules only.

    Raises:
        RecipeError: the recipe file is not known, or the folder has something in it.
        WorkspaceError: the folder cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RecipeError(f"{folder} has something in it already: a new folder, or an empty one, is right")
    file, module, name = _home_of(recipe)
    inside = _checked_code(code)
    told = recipe.described()
    modules = list(_modules_of(told))
    if module != file.stem and module in modules:
        raise RecipeError(
            f"{file} is the module {module} here, but is loaded as {file.stem} elsewhere, where its objects "
            "have other names: put them into another module than the recipe"
        )
    sources = find_sources(file, modules, [file.parent, *map(Path, recipe.code_path)])
    job = {
        "format": FORMAT,
        "recipe": {"file": (inside / file.name).as_posix(), "name": name},
        "code": {
            "shipped": code is not None,
            "modules": module_names(sources.keys() - {file.name}),
        },
        "arguments": told,
    }
    kept = {path: each for path, each in sources.items() if code is not None or path == file.name}
    try:
        _write(folder, job, {inside / path: each for path, each in kept.items()})
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be written: {error.strerror or error}") from error
    return folder


def open_exported(folder: Path) -> Exported:
    """Check an exported folder; what it needs and does not bring is looked for, and not run.

    Raises:
        RecipeError: a file is not as it was exported, or a module is not here.
    """
    known = check_manifest(folder)
    try:
        job = json.loads((folder / JOB).read_bytes())
        made, file, name = job["format"], job["recipe"]["file"], job["recipe"]["name"]
        shipped, modules, told = job["code"]["shipped"], job["code"]["modules"], dict(job["arguments"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RecipeError(f"{folder / JOB} is not the {JOB} of an exported recipe: {error!r}") from error
    if made != FORMAT:
        raise RecipeError(f"{folder / JOB} is of format {made}; this fox-hpc reads {FORMAT}")
    if file not in known:
        raise RecipeError(f"{folder / JOB} names {file}, which {MANIFEST} does not list")
    if not shipped:
        _refuse_missing(folder, modules)
    return Exported(folder, folder / file, name, told)


def _modules_of(told: Mapping[str, Any]) -> Iterator[str]:
    """Name the modules of a recipe's objects, which need not be imported where it is made."""
    for name, value in told.items():
        if name == "training_module" and value:
            yield value
        elif name in ("server", "client"):
            yield value.split(":")[0]
        elif name.endswith(("_objects", "_filters")):
            parts = [each if isinstance(each, list) else [each] for each in value.values()]
            yield from (part.split(":")[0] for part in itertools.chain(*parts))


def _home_of(recipe: Exportable) -> tuple[Path, str, str]:
    """Find the file that makes the recipe when it is loaded, its module, and the recipe's name in it."""
    known = [
        (Path(file).resolve(), ModuleWrapper(module).name, name)
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None)) and str(file).endswith(".py")
        for name, value in list(vars(module).items())
        if value is recipe
    ]
    # `recipe` first; then the order of import.
    for file, module, name in sorted(known, key=lambda each: each[2] != "recipe"):
        if binds(file, name):
            return file, module, name
    raise RecipeError(
        "the recipe cannot be exported: no file makes it when it is loaded. `recipe = FoxRecipe(…)` at the "
        "top level of a file is right, outside of functions and of `if __name__ == '__main__':`"
    )


def _checked_code(code: str | None) -> PurePosixPath:
    inside = PurePosixPath(code or ".")
    if code is not None and (inside.is_absolute() or ".." in inside.parts or not inside.parts):
        raise RecipeError(f"code={code!r}: the name of a folder within the exported one is right, e.g. 'src'")
    return inside


def _write(folder: Path, job: Mapping[str, Any], files: Mapping[PurePosixPath, Path]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        beside.mkdir()
        for path, file in files.items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, beside / path)
        text = json.dumps(job, indent=2, ensure_ascii=False)
        (beside / JOB).write_text(text + "\n", encoding="utf-8")
        write_manifest(beside)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _refuse_missing(folder: Path, modules: Sequence[str]) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise RecipeError(
                f"{folder}: module {module!r} is not here: this folder only names its code. Put the module "
                "on PYTHONPATH, or export the recipe with its code"
            )


__all__ = ["JOB", "MANIFEST", "Exported", "export", "open_exported"]
