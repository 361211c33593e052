"""Trees of arrays: taken apart into a plan and the arrays of it, and put together again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..model import FLModel
from .arrays import as_plain, is_scalar, is_torch, narrowed

_NUMBERS = ("float", "complex")
#: A site's own words about itself: there is no mean of them, and the average has none.
_LEFT_OUT: dict[type, set[str]] = {FLModel: {"meta", "extra"}}
#: Whole numbers that are no measurement.
_FACTS: dict[type, set[str]] = {FLModel: {"current_round", "total_rounds"}}


@dataclass(frozen=True)
class Leaf:
    """A place in a tree where an array or a number stood, and what it looked like."""

    path: str
    kind: str
    dtype: Any
    shape: tuple[int, ...]

    def __str__(self) -> str:
        dtype = str(self.dtype).removeprefix("torch.")
        return "a number" if self.kind in _NUMBERS else f"{dtype} {self.kind} of shape {self.shape}"


@dataclass(frozen=True)
class Branch:
    """A container of a tree; `parts` in the order in which they stood, which does not count in comparing."""

    kind: type
    parts: Mapping[Any, Any]

    def __str__(self) -> str:
        return f"a {self.kind.__name__}"


@dataclass(frozen=True)
class Fact:
    """A value that is no number: the same in all trees."""

    value: Any

    def __str__(self) -> str:
        return repr(self.value)


Plan = Leaf | Branch | Fact


def take_apart(tree: Any) -> tuple[Plan, dict[str, Any]]:
    """Give the plan of a tree, and path → array of all that stands in it; arrays are not copied.

    Raises:
        ValueError: something in it has no mean; says where.
    """
    arrays: dict[str, Any] = {}
    return _plan(tree, "$", arrays), arrays


def _plan(value: Any, path: str, arrays: dict[str, Any]) -> Plan:
    if isinstance(value, Mapping):
        return Branch(dict, {key: _plan(each, f"{path}[{key!r}]", arrays) for key, each in value.items()})
    if type(value) in (list, tuple):
        parts = {number: _plan(each, f"{path}[{number}]", arrays) for number, each in enumerate(value)}
        return Branch(type(value), parts)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plan_fields(value, path, arrays)
    if value is None or isinstance(value, bool | str | bytes):
        return Fact(value)
    return _leaf(value, path, arrays)


def _plan_fields(value: Any, path: str, arrays: dict[str, Any]) -> Branch:
    kind = type(value)
    parts: dict[str, Plan] = {}
    for name in (each.name for each in dataclasses.fields(value) if each.init):
        if name in _FACTS.get(kind, ()):
            parts[name] = Fact(getattr(value, name))
        elif name not in _LEFT_OUT.get(kind, ()):
            parts[name] = _plan(getattr(value, name), f"{path}.{name}", arrays)
    return Branch(kind, parts)


def _leaf(value: Any, path: str, arrays: dict[str, Any]) -> Leaf:
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        kind = "tensor" if is_torch(value) else "scalar" if is_scalar(value) else "array"
    elif isinstance(value, int | float):
        kind, value = "float", float(value)
    elif isinstance(value, complex):
        kind = "complex"
    else:
        raise ValueError(f"{path}: there is no mean of a {type(value).__qualname__}")
    try:
        array = arrays[path] = as_plain(value)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    dtype = value.dtype if kind == "tensor" else array.dtype
    return Leaf(path, kind, dtype, tuple(array.shape))


def put_together(plan: Plan, arrays: dict[str, Any], *, spare: bool) -> Any:
    """Make the tree of a plan; takes the arrays out of `arrays`, and their memory if that is to spare."""
    if isinstance(plan, Fact):
        return plan.value
    if isinstance(plan, Leaf):
        return _stood(plan, arrays.pop(plan.path), spare=spare)
    parts = {key: put_together(part, arrays, spare=spare) for key, part in plan.parts.items()}
    if plan.kind is dict:
        return parts
    return plan.kind(parts.values()) if plan.kind in (list, tuple) else plan.kind(**parts)


def _stood(leaf: Leaf, array: Any, *, spare: bool) -> Any:
    if leaf.kind == "tensor":
        import torch

        if is_torch(array):
            return narrowed(array, leaf.dtype, spare=spare)
        dtype = torch.empty(0, dtype=leaf.dtype).numpy().dtype
        return torch.from_numpy(narrowed(array, dtype, spare=spare))
    mean = narrowed(array, leaf.dtype, spare=spare)
    if leaf.kind == "array":
        return mean
    return mean[()] if leaf.kind == "scalar" else mean.item()


def difference(one: Plan, other: Plan, path: str = "$") -> str | None:
    """Say where two plans differ, and how; None if they do not."""
    if one == other:
        return None
    if isinstance(one, Branch) and isinstance(other, Branch) and one.kind is other.kind:
        odd = [key for key in (*one.parts, *other.parts) if (key in one.parts) != (key in other.parts)]
        if odd:
            return f"{path}: only one of them has {', '.join(map(repr, odd))}"
        for key, part in one.parts.items():
            step = f"[{key!r}]" if one.kind in (dict, list, tuple) else f".{key}"
            if (found := difference(part, other.parts[key], path + step)) is not None:
                return found
    return f"{path}: {one} and {other}"
