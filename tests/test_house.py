"""The rules of the house, read from the source: who imports whom, what is loaded when, how big things are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
PACKAGE = REPO / "fox_hpc"

#: Wing → floor. A file imports its own wing and lower floors; wings on one floor do not meet, except
#: that a recipe and the environments are one wing: the user holds both. Files not named are ground.
FLOORS = {
    "api": 1,
    "wire": 1,
    "hpc": 1,
    "tracking": 2,
    "algos": 2,
    "testing": 2,
    "server": 3,
    "site": 3,
    "export": 4,
    "recipe": 4,
    "envs": 4,
    "compat": 5,
    "cli": 5,
    "__main__": 5,
    "__init__": 5,
}
SAME_WING = [{"recipe", "export", "envs"}, {"cli", "__main__", "__init__"}]

HEAVY = {"torch", "numpy", "mlflow", "wandb", "tensorboard", "tensorflow", "mpi4py", "sklearn", "pandas"}
MOST_LINES = 300
MOST_FUNCTION_LINES = 50
NAMELESS = {"util", "utils", "helper", "helpers", "misc", "common"}


@dataclass(frozen=True)
class Import:
    """One imported module, where that is written, and whether it happens when the file is loaded."""

    file: Path
    line: int
    module: str
    at_load: bool

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(REPO)}:{self.line}"


@cache
def files() -> tuple[Path, ...]:
    return tuple(sorted(PACKAGE.rglob("*.py")))


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(), str(file))


def module_name(file: Path) -> str:
    parts = file.relative_to(REPO).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> frozenset[str]:
    return frozenset(module_name(file) for file in files())


def wing(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


@cache
def imports(file: Path) -> tuple[Import, ...]:
    return tuple(_imports(file, tree(file), at_load=True))


def _imports(file: Path, node: ast.AST, *, at_load: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(file, child.lineno, alias.name, at_load)
        elif isinstance(child, ast.ImportFrom):
            base = _base(file, child)
            for alias in child.names:
                whole = f"{base}.{alias.name}"
                yield Import(file, child.lineno, whole if whole in modules() else base, at_load)
        else:
            loads = at_load and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                loads = False
            yield from _imports(file, child, at_load=loads)


def _base(file: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = list(file.relative_to(REPO).parent.parts)
    package = package[: len(package) - (node.level - 1)]
    return ".".join([*package, *([node.module] if node.module else [])])


def ours() -> Iterator[Import]:
    """Every import of one of our own modules, except by the public door, which loads lazily."""
    for file in files():
        if file != PACKAGE / "__init__.py":
            yield from (each for each in imports(file) if each.module.split(".")[0] == "fox_hpc")


def foreign(*names: str) -> Iterator[Import]:
    for file in files():
        yield from (each for each in imports(file) if each.module.split(".")[0] in names)


def relative(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def breaks_floor(each: Import) -> str | None:
    source, target = wing(module_name(each.file)), wing(each.module)
    if source == target or any({source, target} <= together for together in SAME_WING):
        return None
    if source == "fake":
        return "fake/ imports nothing of the house"
    if target == "fake":
        allowed = source == "cli" or relative(each.file) == "envs/hpc.py"
        return None if allowed else "only envs/hpc.py and cli/ import fake/"
    if FLOORS.get(target, 0) < FLOORS.get(source, 0):
        return None
    if source not in FLOORS and target not in FLOORS:
        return None
    return f"{source} (floor {FLOORS.get(source, 0)}) may not import {target} (floor {FLOORS.get(target, 0)})"


def nothing(found: Iterable[str]) -> None:
    """Fail with every line that breaks a rule, not with the first."""
    lines = list(found)

    assert not lines, "\n" + "\n".join(lines)


def test_imports_go_down_the_floors() -> None:
    nothing(f"{each.place} imports {each.module}: {why}" for each in ours() if (why := breaks_floor(each)))


def test_every_wing_has_a_floor() -> None:
    wings = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}

    assert wings - {"fake"} <= set(FLOORS)


def test_no_import_cycle_exists() -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for each in ours():
        source = module_name(each.file)
        if each.module in graph and each.module != source:
            graph[source].add(each.module)
    done: set[str] = set()

    def cycle_from(name: str, path: tuple[str, ...]) -> tuple[str, ...] | None:
        if name in path:
            return (*path[path.index(name) :], name)
        if name in done:
            return None
        found = next(filter(None, (cycle_from(after, (*path, name)) for after in sorted(graph[name]))), None)
        done.add(name)
        return found

    nothing(" → ".join(found) for name in sorted(graph) if (found := cycle_from(name, ())))


@pytest.mark.parametrize(
    ("package", "home"),
    [("zmq", ("wire/",)), ("submitit", ("hpc/executor.py", "hpc/submitit_plugin.py"))],
)
def test_a_package_is_met_at_its_border(package: str, home: tuple[str, ...]) -> None:
    nothing(each.place for each in foreign(package) if not relative(each.file).startswith(home))


def test_heavy_packages_are_not_imported_at_load() -> None:
    nothing(f"{each.place} {each.module}" for each in foreign(*HEAVY) if each.at_load)


def test_processes_are_started_in_their_places_only() -> None:
    homes = ("hpc/commands.py", "site/", "envs/", "fake/", "cli/")

    nothing(
        each.place
        for each in foreign("subprocess", "multiprocessing", "pty")
        if not relative(each.file).startswith(homes)
    )


def test_the_environment_is_read_in_its_places_only() -> None:
    homes = ("environment.py", "hpc/", "fake/")
    names = {"environ", "environb", "getenv", "putenv", "unsetenv"}
    nothing(
        f"{file.relative_to(REPO)}:{node.lineno}"
        for file in files()
        if not relative(file).startswith(homes)
        for node in ast.walk(tree(file))
        if (isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "os")
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and names & {a.name for a in node.names})
    )


def test_files_are_small() -> None:
    sizes = {file.relative_to(REPO): len(file.read_text().splitlines()) for file in files()}

    nothing(f"{file} has {size} lines" for file, size in sizes.items() if size > MOST_LINES)


def test_functions_are_small() -> None:
    nothing(
        f"{file.relative_to(REPO)}:{node.lineno} {node.name}"
        for file in files()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= MOST_FUNCTION_LINES
    )


def test_files_have_names_that_say_something() -> None:
    everywhere = [
        path for top in ("fox_hpc", "tests", "scripts", "examples") for path in (REPO / top).rglob("*")
    ]

    nothing(str(path) for path in everywhere if path.stem.lower() in NAMELESS)


def test_nothing_is_put_off_in_a_comment() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X:")
    nothing(
        f"{file.relative_to(REPO)}:{number}"
        for file in files()
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if any(word in line for word in words)
    )


LIGHT = ("torch", "numpy", "zmq", "submitit", "rich")


HELP = """
import contextlib
from fox_hpc.cli import main
with contextlib.suppress(SystemExit):
    main(["--help"])
"""


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import fox_hpc", LIGHT),
        (HELP, LIGHT),
        ("import fox_hpc.site.relay", ("torch", "numpy", "rich", "click", "asyncio")),
        ("import fox_hpc.site.worker", ("torch", "numpy", "rich", "click", "asyncio")),
    ],
    ids=["package", "help", "relay", "worker"],
)
def test_little_is_loaded_by(code: str, absent: tuple[str, ...]) -> None:
    ask = f"import sys\n{code}\nprint('loaded:', *[name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", ask], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "loaded:"
