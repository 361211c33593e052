"""Marks on functions: `@fox.algo`, `@fox.collab`, `@fox.init`, `@fox.final`.

A mark is an attribute of the function and changes nothing else; App looks for marks later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, Literal, TypeVar

from ..errors import RecipeError

Mark = Literal["algo", "collab", "init", "final"]
F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE = "__fox_marks__"


def mark(func: F, name: Mark) -> F:
    """Add a mark to a function and give the same function back.

    Raises:
        RecipeError: it is not a function, or the algorithm would have a second role.
    """
    target = getattr(func, "__func__", func)
    if isinstance(func, type) or not callable(target):
        raise RecipeError(f"@fox.{name} marks functions and methods, not {func!r}")
    names = marks(func) | {name}
    if "algo" in names and len(names) > 1:
        other = next(iter(names - {"algo"}))
        raise RecipeError(
            f"{_name(func)}() is marked @fox.algo and @fox.{other}: the algorithm has no other role"
        )
    setattr(target, _ATTRIBUTE, names)
    return func


def marks(func: object) -> frozenset[str]:
    """Tell the marks of a function, also of one inside a staticmethod or classmethod."""
    found = getattr(getattr(func, "__func__", func), _ATTRIBUTE, None)
    return found if isinstance(found, frozenset) else frozenset()


def find_marked(obj: object, name: Mark) -> dict[str, Callable[..., Any]]:
    """Collect the functions of a module, or the methods of an object, that have a mark.

    In order of definition, base classes first. A method that overrides a marked one counts as marked;
    a function with two names counts once.
    """
    found: dict[str, Callable[..., Any]] = {}
    for attribute, raw in _attributes(obj):
        if name in marks(raw):
            func = getattr(obj, attribute, None)
            if callable(func) and func not in found.values():
                found[attribute] = func
    return found


def _attributes(obj: object) -> Iterator[tuple[str, object]]:
    if isinstance(obj, ModuleType):
        yield from tuple(vars(obj).items())
        return
    for cls in reversed(type(obj).__mro__):
        yield from tuple(vars(cls).items())


def _name(func: object) -> str:
    return str(getattr(func, "__qualname__", func))
