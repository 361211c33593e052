"""Calls and replies as frames."""

from __future__ import annotations

from typing import Any

import msgspec

from ..call import Call, Fault, Reply
from ..errors import CodecError
from . import codec

#: What a call says besides if it does not say it.
_LATER: tuple[Any, ...] = ("", True, None)


def write_call(call: Call) -> list[Any]:
    """Encode what the target needs of a call; raises CodecError with the argument's path."""
    # Who sends a call looks after its timeout, unless another one is to pass it on.
    timeout = float(call.timeout) if call.to and call.timeout is not None else None
    head = [call.func, call.caller, call.ranks, call.to, call.waits, timeout]
    return codec.encode({"head": head, "args": list(call.args), "kwargs": dict(call.kwargs)})


def read_call(frames: list[Any]) -> Call:
    """Decode a call's frames.

    Raises:
        CodecError: they are not a call, or hold a class that is not registered here.
    """
    value = _map_in(frames)
    try:
        # The last three came later; a call without them is not one to pass on.
        head: list[Any] = list(value["head"])
        func, caller, ranks, to, waits, timeout = [*head, *_LATER[len(head) - 3 :]]
        args, kwargs = value["args"], value["kwargs"]
    except (TypeError, KeyError, ValueError) as error:
        raise CodecError("$", f"this is not a call ({error!r})") from error
    texts = isinstance(func, str) and isinstance(caller, str) and isinstance(to, str)
    texts = texts and ranks in ("all", "zero")
    if not isinstance(waits, bool) or not (timeout is None or (isinstance(timeout, float) and timeout > 0)):
        raise CodecError("$", "this is not a call (how it is waited for is not told)")
    named = isinstance(kwargs, dict) and (not kwargs or all(isinstance(name, str) for name in kwargs))
    if not (texts and isinstance(args, list) and named):
        raise CodecError("$", "this is not a call (a part has the wrong type)")
    # `late` stays with the caller: it says how the answer is fetched.
    return Call(func, tuple(args), kwargs, caller, timeout, ranks, to=to, waits=waits)


def _map_in(frames: list[Any]) -> dict[Any, Any]:
    value = codec.decode(frames)
    if not isinstance(value, dict):
        # Arrays are asked for their parts with other errors.
        raise CodecError("$", f"this is neither call nor reply (it is a {type(value).__name__})")
    return value


def write_reply(reply: Reply) -> list[Any]:
    """Encode a reply, its arrays uncopied; a value that cannot travel becomes a fault."""
    if reply.fault is None:
        try:
            return codec.encode({"fault": None, "result": reply.value})
        except CodecError as error:
            reply = Reply(fault=Fault.from_exception(error))
    assert reply.fault is not None
    fault = {name: _plain(value) for name, value in msgspec.to_builtins(reply.fault).items()}
    return codec.encode({"fault": fault, "result": None})


def _plain(value: Any) -> Any:
    # File names in messages and tracebacks may hold bytes that are no text.
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def read_reply(frames: list[Any]) -> Reply:
    """Decode a reply's frames; raises CodecError as `read_call` does."""
    value = _map_in(frames)
    try:
        fault, result = value["fault"], value["result"]
        return Reply(result, msgspec.convert(fault, Fault) if fault is not None else None)
    except (TypeError, KeyError, msgspec.ValidationError) as error:
        raise CodecError("$", f"this is not a reply ({error})") from error
