"""Where in a value tree something is: a chain of steps, made into text only if there is an error."""

from __future__ import annotations

import reprlib
from typing import Any

from ..errors import CodecError

#: `(where the parent is, step)`: a text is a key or a field, anything else an index or another key.
At = tuple[Any, ...]
ROOT: At = ()


def refuse(at: At, problem: str) -> CodecError:
    """Make the error that names the place."""
    return CodecError(path_of(at), problem)


def path_of(at: At) -> str:
    """Write a place as `$.kwargs.model[3]`."""
    steps: list[str] = []
    while at:
        at, step = at
        steps.append(f".{step}" if type(step) is str else f"[{reprlib.repr(step)}]")
    return "$" + "".join(reversed(steps))
