"""Calls and replies as frames."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from ..call import Call, Fault, Ranks, Reply
from ..errors import CodecError
from . import codec
from .codec_arrays import Frames
from .codec_tags import Tag

_LIST = int(Tag.LIST)
#: As a type: 0, which is LIST's number for ever.
_List = Literal[0]


class _Head(msgspec.Struct, array_like=True, frozen=True):
    """What a call says besides its arguments; the last three came later."""

    func: str
    caller: str
    ranks: Ranks
    to: str = ""
    waits: bool = True
    timeout: Annotated[float, msgspec.Meta(gt=0)] | None = None


class _Call(msgspec.Struct, frozen=True):
    """The header of a call, as `codec.encode` makes it of a dict of these: read, and checked, in one step."""

    head: tuple[_List, _Head]
    args: tuple[_List, list[Any]]
    kwargs: dict[str, Any]


class _Reply(msgspec.Struct, frozen=True):
    """The header of a reply."""

    fault: Any
    result: Any


_read_call = msgspec.msgpack.Decoder(_Call).decode
_read_reply = msgspec.msgpack.Decoder(_Reply).decode


def write_call(call: Call) -> list[Any]:
    """Encode what the target needs of a call; raises CodecError with the argument's path."""

    def make(frames: Frames) -> Any:
        # Who sends a call looks after its timeout, unless another one is to pass it on.
        timeout = float(call.timeout) if call.to and call.timeout is not None else None
        head = [call.func, call.caller, call.ranks, call.to, call.waits, timeout]
        args = codec.trees(call.args, "args", frames) if call.args else []
        kwargs = codec.tree(dict(call.kwargs), "kwargs", frames) if call.kwargs else {}
        return {"head": [_LIST, head], "args": [_LIST, args], "kwargs": kwargs}

    return codec.encode_head(make)


def read_call(frames: list[Any]) -> Call:
    """Decode a call's frames.

    Raises:
        CodecError: they are not a call, or hold a class that is not registered here.
    """
    read, rest = codec.decode_head(frames, _read_call)
    func, caller, ranks, to, waits, timeout = msgspec.structs.astuple(read.head[1])
    args = codec.values(read.args[1], "args", rest)
    kwargs = codec.value(read.kwargs, "kwargs", rest) if read.kwargs else {}
    # `late` stays with the caller: it says how the answer is fetched.
    return Call(func, tuple(args), kwargs, caller, timeout, ranks, to=to, waits=waits)


def write_reply(reply: Reply) -> list[Any]:
    """Encode a reply, its arrays uncopied; a value that cannot travel becomes a fault."""
    if reply.fault is None:
        try:
            return codec.encode_head(
                lambda frames: {"fault": None, "result": codec.tree(reply.value, "result", frames)}
            )
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
    read, rest = codec.decode_head(frames, _read_reply)
    result = codec.value(read.result, "result", rest)
    if read.fault is None:
        return Reply(result)
    try:
        return Reply(result, msgspec.convert(codec.value(read.fault, "fault", rest), Fault))
    except msgspec.ValidationError as error:
        raise CodecError("$.fault", f"this is not how a call failed ({error})") from error
