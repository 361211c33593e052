"""Props: named values for the code of a place: what JSON can say, so that all places have the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .errors import RecipeError


def checked_props(where: str, props: object) -> dict[str, Any]:
    """Give a copy of props.

    Raises:
        RecipeError: they are no mapping, or hold something else; names the place.
    """
    if not isinstance(props, Mapping):
        raise RecipeError(f"{where}={props!r}: a mapping is right, {{'lr': 0.1}}")
    return {_key(where, name): _plain(f"{where}[{name!r}]", value) for name, value in props.items()}


def _plain(where: str, value: object) -> Any:
    if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return value
    if isinstance(value, list):
        return [_plain(f"{where}[{number}]", item) for number, item in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(where, name): _plain(f"{where}[{name!r}]", item) for name, item in value.items()}
    raise RecipeError(
        f"{where}={value!r}: None, bool, int, finite float, str, and lists and dicts of them are right"
    )


def _key(where: str, name: object) -> str:
    if not isinstance(name, str):
        raise RecipeError(f"{where} has the key {name!r}: text is right")
    return name
