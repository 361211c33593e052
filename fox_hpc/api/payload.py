"""Payload: what `FoxClientAPI[MyModel]` promises of the values that pass, checked where they pass.

Pure. A value is held against the annotations of its class: plain classes, unions, `Literal`, and the
standard containers with what they hold. What an annotation says beyond that is not looked at.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from ..errors import RecipeError


def check_payload(value: object, kind: type, where: str) -> None:
    """Hold a value and its fields against a dataclass.

    Args:
        where: whose value it is, e.g. `execute()`.

    Raises:
        RecipeError: one sentence that names the field, what is right and what was there.
    """
    if not isinstance(value, kind):
        raise RecipeError(f"{where}: {_name(kind, value)} is right, not {_kind_of(value)}")
    for field, hint in _hints(kind).items():
        wrong = _find_wrong(getattr(value, field), hint, f"{kind.__qualname__}.{field}")
        if wrong:
            raise RecipeError(f"{where}: {wrong}")


def check_kind(kind: object) -> type:
    """Give the class that a payload is to have.

    Raises:
        RecipeError: it is no dataclass, or its annotations cannot be read.
    """
    if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):
        raise RecipeError(f"FoxClientAPI[{getattr(kind, '__qualname__', kind)}]: a dataclass is right")
    _hints(kind)
    return kind


def _hints(kind: type) -> dict[str, Any]:
    fields = {field.name for field in dataclasses.fields(kind)}
    try:
        hints = typing.get_type_hints(kind)
    except Exception as error:
        raise RecipeError(f"the annotations of {kind.__qualname__} cannot be read: {error}") from error
    return {name: hint for name, hint in hints.items() if name in fields}


def _find_wrong(value: object, hint: Any, path: str) -> str:
    """Say what is wrong with a value; "" if nothing is."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _find_wrong(value, args[0], path)
    if origin in (typing.Union, types.UnionType):
        fits = any(not _find_wrong(value, one, path) for one in args)
    elif origin is typing.Literal:
        fits = value in args
    elif isinstance(origin, type):
        fits = isinstance(value, origin)
        if fits:
            return _find_wrong_inside(value, args, path)
    elif isinstance(hint, type) and hint is not Any and not getattr(hint, "_is_protocol", False):
        # PEP 484: where a float is asked for, an int does as well.
        fits = isinstance(value, (float, int) if hint is float else hint)
    else:
        fits = hint is not None or value is None
    return "" if fits else f"{path}: {_text(hint, value)} is right, not {_kind_of(value)}"


def _find_wrong_inside(value: object, args: tuple[Any, ...], path: str) -> str:
    if isinstance(value, Mapping) and len(args) == 2:
        parts = [(one, args[0], f"a key of {path}") for one in value]
        parts += [(one, args[1], f"{path}[{key!r}]") for key, one in value.items()]
    elif isinstance(value, tuple) and args[-1:] != (...,):
        if len(value) != len(args):
            return f"{path}: {len(args)} items are right, not {len(value)}"
        parts = [(one, arg, f"{path}[{i}]") for i, (one, arg) in enumerate(zip(value, args, strict=True))]
    elif isinstance(value, (Sequence, AbstractSet)) and args:
        parts = [(one, args[0], f"{path}[{i}]") for i, one in enumerate(value)]
    else:
        return ""
    return next((wrong for part in parts if (wrong := _find_wrong(*part))), "")


def _text(hint: Any, value: object) -> str:
    return _name(hint, value) if isinstance(hint, type) else str(hint).replace("typing.", "")


def _name(kind: type, value: object) -> str:
    """Name a class; with its module, where another one of that name was given."""
    alike = type(value).__qualname__ == kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}" if alike else kind.__qualname__


def _kind_of(value: object) -> str:
    kind = type(value)
    return "None" if value is None else f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")
