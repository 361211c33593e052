"""The reading half of the codec: frames to values; see codec for the format.

Nothing but CodecError is raised, and nothing bigger than the frames is allocated, whatever they hold.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..errors import CodecError
from .codec_arrays import Frames, decode_ndarray, decode_numpy_scalar, decode_tensor
from .codec_classes import by_name
from .codec_path import ROOT, At, refuse
from .codec_tags import Tag

Buffer = Any

MAX_DEPTH = 100
#: What is not in an array or in bytes takes so much at most, and so many arrays travel at once.
MOST_HEADER_BYTES = 64 * 2**20
MOST_FRAMES = 2**20

#: Types that stand in the header as they are.
_PLAIN = frozenset({type(None), bool, int, float, str})
_unpack = msgspec.msgpack.Decoder().decode


def decode(frames: Sequence[Buffer]) -> Any:
    """Turn frames back into the value; arrays are views on the frames where these are writable.

    Raises:
        CodecError: the frames are not what `encode` makes, or a class in them is not registered. Nothing
            else is raised, and nothing bigger than the frames is allocated, whatever they hold.
    """
    head, rest = decode_head(frames, _unpack)
    return _value(head, ROOT, rest, 0)


def decode_head(frames: Sequence[Buffer], unpack: Callable[[Buffer], Any]) -> tuple[Any, Frames]:
    """Read a header that `encode_head` made; `value` reads what in it came of `tree`.

    Args:
        unpack: the `decode` of a decoder of msgspec.

    Raises:
        CodecError: it is not what that decoder takes.
    """
    if not frames:
        raise refuse(ROOT, "there is no header frame")
    if len(frames) > MOST_FRAMES:
        raise refuse(ROOT, f"{len(frames)} frames came, more than the {MOST_FRAMES} that are taken")
    return _header(frames[0], unpack), Frames(frames[1:])


def value(head: Any, name: str, frames: Frames) -> Any:
    """Give the value that stands in a header; raises CodecError."""
    return head if type(head) in _PLAIN else _value(head, (ROOT, name), frames, 1)


def values(heads: Sequence[Any], name: str, frames: Frames) -> list[Any]:
    """Give the values that stand in a header; raises CodecError."""
    return _decode_items((heads,), (ROOT, name), frames, 1)


def _header(frame: Buffer, unpack: Callable[[Buffer], Any] = _unpack) -> Any:
    # A byte of it may become an object of 64 bytes.
    if memoryview(frame).nbytes > MOST_HEADER_BYTES:
        size = memoryview(frame).nbytes
        raise refuse(
            ROOT, f"the header frame has {size} bytes, more than the {MOST_HEADER_BYTES} that are taken"
        )
    try:
        return unpack(frame)
    except msgspec.ValidationError as error:
        raise refuse(ROOT, f"the header does not follow the format ({error})") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refuse(ROOT, f"the header frame is not msgpack: {error}") from error


def frames_of_bytes(header: Buffer) -> list[int]:
    """Give the numbers, among all frames, of those that become values of type bytes: these are copied.

    Raises:
        CodecError: the header cannot be read.
    """
    found: list[int] = []
    left: list[Any] = [_header(header)]
    while left:
        head = left.pop()
        if type(head) is dict:
            left += head.values()
        elif type(head) is list:
            if len(head) == 2 and head[0] in (Tag.BYTES, Tag.BYTEARRAY) and type(head[1]) is int:
                found.append(1 + head[1])
            left += head
    return found


def _value(head: Any, at: At, frames: Frames, depth: int) -> Any:
    if type(head) in _PLAIN:
        return head
    if depth > MAX_DEPTH:
        raise refuse(at, f"the header is nested deeper than {MAX_DEPTH}")
    if type(head) is dict:
        return _decode_dict(head, at, frames, depth + 1)
    if type(head) is not list:
        raise refuse(at, f"the header does not follow the format (it holds a {type(head).__name__})")
    try:
        return _DECODERS[head[0]](head[1:], at, frames, depth + 1)
    except CodecError:
        raise
    except Exception as error:
        # Whatever a peer may have made up, and whatever a dataclass's own checks may raise.
        raise refuse(at, f"the header does not follow the format ({error!r:.200})") from error


def _decode_dict(head: dict[Any, Any], at: At, frames: Frames, depth: int) -> dict[str, Any]:
    for key in head:
        if type(key) is not str:
            raise refuse(at, "the header does not follow the format (a key of a map is not text)")
    return {
        key: item if type(item) in _PLAIN else _value(item, (at, key), frames, depth)
        for key, item in head.items()
    }


def _decode_items(rest: Any, at: At, frames: Frames, depth: int) -> list[Any]:
    (items,) = rest
    if type(items) is not list:
        raise refuse(at, "the header does not follow the format (items are not a list)")
    return [
        item if type(item) in _PLAIN else _value(item, (at, i), frames, depth) for i, item in enumerate(items)
    ]


def _decode_pairs(rest: Any, at: At, frames: Frames, depth: int) -> dict[Any, Any]:
    (pairs,) = rest
    return {_value(key, at, frames, depth): _value(item, (at, key), frames, depth) for key, item in pairs}


def _decode_complex(rest: Any, *where: Any) -> complex:
    real, imag = rest
    return complex(real, imag)


def _decode_bytes(kind: type[Any], rest: Any, at: At, frames: Frames) -> Any:
    (data,) = rest
    if type(data) is bytes:
        return data if kind is bytes else kind(data)
    # The object is the key: two references to one frame are never alike.
    return frames.made_once(data, object(), kind, at)


def _decode_dataclass(rest: Any, at: At, frames: Frames, depth: int) -> Any:
    name, fields = rest
    cls = by_name.get(name)
    if cls is None:
        raise refuse(at, f"the dataclass {name} is not registered here: decorate it with @fox_hpc.register")
    return cls(**_decode_dict(fields, at, frames, depth))


_BY_TAG: dict[Tag, Callable[..., Any]] = {
    Tag.LIST: _decode_items,
    Tag.TUPLE: lambda rest, *where: tuple(_decode_items(rest, *where)),
    Tag.SET: lambda rest, *where: set(_decode_items(rest, *where)),
    Tag.FROZENSET: lambda rest, *where: frozenset(_decode_items(rest, *where)),
    Tag.PAIRS: _decode_pairs,
    Tag.BIGINT: lambda rest, *where: int(rest[0], 16),
    Tag.COMPLEX: _decode_complex,
    Tag.DATETIME: lambda rest, *where: datetime.datetime.fromisoformat(rest[0]),
    Tag.BYTES: lambda rest, at, frames, depth: _decode_bytes(bytes, rest, at, frames),
    Tag.BYTEARRAY: lambda rest, at, frames, depth: _decode_bytes(bytearray, rest, at, frames),
    Tag.DATACLASS: _decode_dataclass,
    Tag.NDARRAY: lambda rest, at, frames, depth: decode_ndarray(rest, at, frames),
    Tag.NUMPY_SCALAR: lambda rest, at, frames, depth: decode_numpy_scalar(rest, at),
    Tag.TENSOR: lambda rest, at, frames, depth: decode_tensor(rest, at, frames),
}
#: With plain numbers as keys, which are found in a third of the time.
_DECODERS: dict[int, Callable[..., Any]] = {int(tag): decoder for tag, decoder in _BY_TAG.items()}
