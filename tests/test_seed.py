"""docs/seed.md: every name of the seed is where the page says, and the tests that it names are there."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parent.parent
PAGE = REPO / "docs" / "seed.md"
#: A part that another change brings; what its rows name may be missing.
COMING = "coming: "


@dataclass(frozen=True)
class Row:
    """One name of the seed."""

    says: str
    where: str
    shown_by: str

    @property
    def coming(self) -> bool:
        return self.says.startswith(COMING)


def rows() -> list[Row]:
    lines = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", PAGE.read_text(), flags=re.MULTILINE)
    return [Row(*line) for line in lines if line[0] != "in the seed" and not line[0].startswith("---")]


ROWS = rows()


def wrong_names(where: str) -> Iterator[str]:
    """Tell which `module:name(arguments)` of a cell is not there."""
    for module, path, arguments in re.findall(r"`(fox_hpc[\w.]*):([\w.]+)(?:\(([\w, ]+)\))?`", where):
        try:
            thing: Any = importlib.import_module(module)
            for name in path.split("."):
                thing = found(thing, name)
        except (ImportError, AttributeError) as error:
            yield f"{module}:{path} is not there: {error}"
            continue
        known = inspect.signature(thing).parameters if arguments else {}
        yield from (
            f"{path} has no argument {name}" for name in arguments.split(", ") if name and name not in known
        )


def found(thing: Any, name: str) -> Any:
    """Take an attribute; of a class also one that only its objects have, as its source says."""
    if hasattr(thing, name):
        return getattr(thing, name)
    if inspect.isclass(thing) and f"self.{name} =" in inspect.getsource(thing):
        return None
    raise AttributeError(name)


@cache
def names_in(file: Path) -> frozenset[str]:
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )


def wrong_tests(shown_by: str) -> Iterator[str]:
    named = re.findall(r"`(tests/[\w/]+\.py)(?::(\w+))?`", shown_by)
    if not named:
        yield f"{shown_by} names no test"
    for path, test in named:
        if not (REPO / path).is_file():
            yield f"there is no {path}"
        elif test and test not in names_in(REPO / path):
            yield f"{path} has no {test}"


def nothing(lines: Iterator[str]) -> None:
    wrong = list(lines)

    assert not wrong, "\n" + "\n".join(wrong)


def test_every_name_of_the_seed_is_where_the_page_says() -> None:
    nothing(f"{row.says}: {line}" for row in ROWS if not row.coming for line in wrong_names(row.where))


def test_every_name_of_the_seed_has_a_test() -> None:
    nothing(f"{row.says}: {line}" for row in ROWS if not row.coming for line in wrong_tests(row.shown_by))


@pytest.mark.parametrize("layer", range(1, 8))
def test_every_layer_has_its_table(layer: int) -> None:
    assert re.search(rf"^## Layer {layer}: ", PAGE.read_text(), flags=re.MULTILINE)


def test_the_page_is_whole() -> None:
    assert len(ROWS) > 110
    assert len({row.says for row in ROWS}) == len(ROWS)
