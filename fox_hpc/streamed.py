"""What stands for a stream in a call or an answer, and what asks for its chunks; both travel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

from .call import Call

#: The first part of an answer to a StreamPull: a chunk comes, there is none any more, or nobody makes any.
CHUNK, END, GONE = "chunk", "end", "gone"


@dataclass(frozen=True)
class StreamRef:
    """Stands in the place of an iterator; what it gives is asked for chunk by chunk, where it came from."""

    id: str


@dataclass(frozen=True)
class StreamPull:
    """The only argument of a call that asks for one chunk of a stream.

    Args:
        number: of the chunk, from 0; who asks has all before it. -1: no more are wanted.
    """

    id: str
    number: int


CLOSE = -1


#: What is no stream, as is told faster so.
_VALUES = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict})


def is_stream(value: Any) -> bool:
    """Tell whether a value travels as a stream: iterators do, and lists and other values do not."""
    return type(value) not in _VALUES and isinstance(value, Iterator | AsyncIterator)


def pull_of(call: Call) -> StreamPull | None:
    """Give what a call asks for, if it asks for a chunk."""
    first = call.args[0] if call.args else None
    return first if isinstance(first, StreamPull) else None


def takes_stream(call: Call) -> bool:
    """Tell whether an argument of a call is a stream."""
    for value in call.args:
        if isinstance(value, StreamRef):
            return True
    return bool(call.kwargs) and any(isinstance(value, StreamRef) for value in call.kwargs.values())
