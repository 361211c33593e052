"""A run's result for people and for JSON: what cannot stand there is described."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


def plain(value: Any) -> Any:
    """Give a value as far as JSON can hold it; arrays become a short description."""
    return msgspec.to_builtins(_plain(value, 0))


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict) and depth < 8:
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes) and depth < 8:
        return [_plain(item, depth + 1) for item in value]
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        if value.shape == ():
            return value.item()
        return f"<{type(value).__name__} {value.dtype} {tuple(value.shape)}>"
    return repr(value)
