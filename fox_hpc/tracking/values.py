"""Values as entries: one number, one step, one fact, checked where they are logged."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..errors import RecipeError
from ..metric import Fact, Point


def number(where: str, value: Any) -> float:
    """Give a float, or an array's one element, as a float; raises RecipeError if it is not one number."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        # Every array library has item() for one element, so none has to be known here; float() itself
        # makes torch warn of a tensor that requires a gradient.
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        shape = getattr(value, "shape", None)
        what = type(value).__name__ + (f" of shape {tuple(shape)}" if shape is not None else "")
        raise RecipeError(f"{where}: {what} is not one number") from error


def whole(where: str, step: Any) -> int | None:
    """Give a step as an int of 64 bits, or None; raises RecipeError if it is none."""
    if step is None:
        return None
    try:
        found = int(step)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise RecipeError(f"{where}: step {step!r:.60} is not a whole number") from error
    if not -(2**63) <= found < 2**63:
        raise RecipeError(f"{where}: step {found} does not fit into 64 bits")
    return found


def moment(wall_time: float | None) -> float:
    """Give the time that was said, or now, in seconds since the epoch."""
    return time.time() if wall_time is None else float(wall_time)


def point(where: str, tag: str, value: Any, step: Any, wall_time: float | None) -> Point:
    """Make a point; raises RecipeError if value or step is not what it should be."""
    return Point(str(tag), number(where, value), whole(where, step), moment(wall_time))


def fact(role: Any, name: Any, value: Any) -> Fact:
    """Make a fact of now; what JSON has no word for becomes its text."""
    return Fact(role, str(name), plain(value), time.time())


def plain(value: Any) -> Any:
    """Give a value as far as JSON can hold it; anything else as its text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return plain(value.item())
    return str(value)


def refuse_given(where: str, why: str, **given: Any) -> None:
    """Refuse arguments of the original that cannot work here: any that was given.

    Raises:
        RecipeError: says which, and why.
    """
    for name, value in given.items():
        if value not in (None, False, ""):
            raise RecipeError(f"{where}: {name}={value!r:.60} has no effect here: {why}")
