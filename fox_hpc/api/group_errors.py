"""What a group call raises for one site."""

from __future__ import annotations

from ..call import Call
from ..errors import CallError


def as_call_error(error: BaseException, site: str, call: Call) -> CallError:
    """Give what a caller meets when a call has failed at a site."""
    if isinstance(error, CallError):
        return error
    wrapped = CallError(f"{call.func}() at {site} failed: {error}", site=site, func=call.func)
    wrapped.__cause__ = error
    return wrapped


def broken_callback(callback: object, error: Exception, site: str, call: Call) -> CallError:
    """Give what a caller meets when his callback has failed on an answer."""
    name = getattr(callback, "__qualname__", None) or type(callback).__qualname__
    what = f"the callback {name} failed on the answer of {site} to {call.func}()"
    broken = CallError(f"{what}: {type(error).__name__}: {error}", site=site, func=call.func)
    broken.__cause__ = error
    return broken
