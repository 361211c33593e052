"""Filters: functions that every value passes which comes to a place or leaves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from ..call import Call
from ..errors import CallRefused, RecipeError
from ..streamed import CHUNK, StreamRef, is_stream, pull_of
from .per_site import PerSite

Filter = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Filters:
    """What one place does to values at its border; each filter is `f(func, value) -> value`.

    `func` is the name of the function that is called, and `fox.caller` tells who calls it. A filter that
    raises stops the value: the call fails with CallRefused. It runs on rank 0 only, whose values the
    other ranks get.

    Args:
        incoming: for each argument of a call to here, before the function runs, and each answer to a
            call that was made here, before the caller has it; of a stream, each chunk.
        outgoing: for each answer of a function here, and each argument of a call that is made here,
            before they leave.

    Raises:
        RecipeError: one of them is no function.
    """

    incoming: Sequence[Filter] = ()
    outgoing: Sequence[Filter] = ()

    def __post_init__(self) -> None:
        for name, filters in (("incoming", self.incoming), ("outgoing", self.outgoing)):
            listed = isinstance(filters, Sequence) and not isinstance(filters, str)
            if not listed or not all(map(callable, filters)):
                raise RecipeError(f"{name}={filters!r}: a list of functions f(func, value) is right")
            object.__setattr__(self, name, tuple(filters))

    def __bool__(self) -> bool:
        return bool(self.incoming or self.outgoing)

    def within(self, outer: Filters) -> Filters:
        """Put others around these: what comes in meets them first, and what leaves last."""
        return Filters((*outer.incoming, *self.incoming), (*self.outgoing, *outer.outgoing))

    def on_call(self, call: Call, place: str, *, leaves: bool) -> Call:
        """Filter the arguments of a call; raises CallRefused."""
        filters = self.outgoing if leaves else self.incoming
        if not filters:
            return call

        def one(value: Any) -> Any:
            if isinstance(value, PerSite):
                return value.each(lambda part: _through(filters, call.func, part, place))
            return _through(filters, call.func, value, place, served=not leaves)

        kwargs = {name: one(value) for name, value in call.kwargs.items()}
        return structs.replace(call, args=tuple(map(one, call.args)), kwargs=kwargs)

    def on_answer(self, call: Call, value: Any, place: str, *, leaves: bool) -> Any:
        """Filter the answer to a call, or the chunk of a stream that it asked for; raises CallRefused."""
        if pull_of(call) is None:
            return self.on_chunk(call.func, value, place, leaves=leaves)
        kind, chunk = value
        return (kind, self.on_chunk(call.func, chunk, place, leaves=leaves)) if kind == CHUNK else value

    def on_chunk(self, func: str, value: Any, place: str, *, leaves: bool) -> Any:
        """Filter one value of a stream; raises CallRefused."""
        filters = self.outgoing if leaves else self.incoming
        return _through(filters, func, value, place, served=leaves)


def _through(filters: Sequence[Filter], func: str, value: Any, place: str, *, served: bool = False) -> Any:
    if isinstance(value, StreamRef) or is_stream(value):
        return value  # its chunks are filtered, one by one
    for each in filters:
        try:
            value = each(func, value)
        except Exception as error:
            name = getattr(each, "__qualname__", None) or type(each).__qualname__
            reason = f"{type(error).__name__}: {error}"
            refused = CallRefused(name, reason, where=place, site=place, func=func)
            refused.served = served
            raise refused from error
    return value
