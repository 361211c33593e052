"""What tests and examples share: the conformance kits, and the digits.

A kit is a function that holds any implementation of an interface against what the interface promises, and
raises AssertionError with what is wrong. Each is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .backend import check_backend
    from .dialect import check_dialect
    from .link import check_link

__all__ = ["check_backend", "check_dialect", "check_link"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{name.removeprefix('check_')}"), name)
