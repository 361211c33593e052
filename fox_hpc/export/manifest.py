"""The manifest of an exported folder: one SHA-256 per file, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

from ..errors import RecipeError

MANIFEST = "MANIFEST.sha256"
#: What may lie beside the manifest and is not in it: its signatures.
SIGNATURES = (f"{MANIFEST}.sig", f"{MANIFEST}.asc", f"{MANIFEST}.gpg")
#: Where runs are made by default, if somebody stands in the folder when submitting it.
_RUNS = "fox_runs"
_LINE = re.compile(r"([0-9a-f]{64})  (\S.*)")


def write_manifest(folder: Path) -> None:
    """Write down the sum of every file that the folder has now, but for Python's caches, which go."""
    _remove_caches(folder)
    lines = [f"{_sum(folder / name)}  {name}\n" for name in _files(folder)]
    (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")


def check_manifest(folder: Path) -> tuple[str, ...]:
    """Hold every file against the manifest, and give their names; nothing of the folder is run.

    Python's caches are removed first: it would run them in the place of the source, and no manifest
    can know them.

    Raises:
        RecipeError: a file was changed, added, removed or replaced by a link; the text names it.
    """
    _remove_caches(folder)
    said, there = _read(folder), _files(folder)
    for name in sorted(set(there) - set(said)):
        raise RecipeError(f"{folder}: {name} is not in {MANIFEST}: it was added after the export")
    for name, known in said.items():
        if name not in there:
            raise RecipeError(f"{folder}: {name} is missing, but {MANIFEST} lists it")
        if _sum(folder / name) != known:
            raise RecipeError(f"{folder}: {name} was changed after the export: {MANIFEST} has another sum")
    return tuple(said)


def _read(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / MANIFEST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{folder} is no exported recipe: {MANIFEST} cannot be read ({_why(error)}); "
            "recipe.export(DIR) makes one"
        ) from error
    said: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise RecipeError(f"{folder / MANIFEST}:{number} is no line of a manifest: SUM  NAME is right")
        said[found[2]] = found[1]
    return said


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _files(folder: Path) -> list[str]:
    """Name the files of the folder, relative to it, sorted; raises RecipeError at a link."""
    found = []
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if here == folder:
            folders[:] = [name for name in folders if name != _RUNS]
            files = [name for name in files if name not in (MANIFEST, *SIGNATURES)]
        for name in (*folders, *files):
            if (here / name).is_symlink():
                raise RecipeError(f"{here / name} is a link: an exported folder has plain files only")
        found += [(here / name).relative_to(folder).as_posix() for name in files]
    return sorted(found)


def _sum(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise RecipeError(f"{file} cannot be read: {error.strerror}") from error


def _remove_caches(folder: Path) -> None:
    for cache in sorted(folder.rglob("__pycache__")):
        try:
            shutil.rmtree(cache)
        except FileNotFoundError:
            continue  # another start of this folder was faster
        except OSError as error:
            raise RecipeError(
                f"{cache} cannot be removed ({error.strerror}): Python would run what is in it, unchecked"
            ) from error
