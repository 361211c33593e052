"""Value trees to frames and back, without pickle and without a copy of any contiguous array.

Frame 0 is a msgpack header; each array's bytes are one further frame. In the header a map is a dict
with text keys, and an array is `[tag, …]`, one tag for each kind of value in `codec_tags`. Types:
None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, datetime, numpy arrays
and scalars, torch tensors of every dense dtype, and dataclasses made known by `register`.

What does not travel: `requires_grad`, devices (tensors arrive on the CPU), memory order (arrays arrive in
C order), a time zone's name (its offset does), the class of a dict's subclass. Refused, so that nothing
arrives as something else: enums, named tuples, other subclasses of plain types and of arrays.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ..errors import CodecError
from .codec_arrays import (
    Frames,
    decode_ndarray,
    decode_numpy_scalar,
    decode_tensor,
    encode_ndarray,
    encode_numpy_scalar,
    encode_tensor,
)
from .codec_classes import by_name, names, register
from .codec_path import ROOT, At, refuse
from .codec_tags import Tag

__all__ = ["INLINE_BYTES", "MAX_DEPTH", "decode", "encode", "register"]

Buffer = Any

MAX_DEPTH = 100
#: What is not in an array or in bytes takes so much at most, and so many arrays travel at once.
MOST_HEADER_BYTES = 64 * 2**20
MOST_FRAMES = 2**20
#: bytes values from this size on are a frame of their own.
INLINE_BYTES = 4096

_INT64 = range(-(2**63), 2**64)
#: Types that stand in the header as they are; int is one too, as long as it fits.
_PLAIN = frozenset({type(None), bool, float, str})
_DECODED_PLAIN = _PLAIN | {int}
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode


def encode(value: Any) -> list[Buffer]:
    """Turn a value into frames; arrays are referred to, not copied, so they must not change until sent.

    Raises:
        CodecError: a part of the value has a type that cannot travel; the path names it.
    """
    return encode_head(lambda frames: _tree(value, ROOT, frames, 0))


def encode_head(make: Callable[[Frames], Any]) -> list[Buffer]:
    """Like `encode`, with a header that is made otherwise: of plain values, and of what `tree` gives.

    Args:
        make: gives it; arrays go into the frames that it gets.
    """
    frames = Frames()
    try:
        header = _pack(make(frames))
        if len(header) > MOST_HEADER_BYTES:
            plain = f"numbers and text take {len(header)} bytes, at most {MOST_HEADER_BYTES} travel at once"
            raise refuse(ROOT, f"{plain}: put them into arrays, or encode them as bytes")
        if len(frames.buffers) >= MOST_FRAMES:
            raise refuse(ROOT, f"there are {len(frames.buffers)} arrays, fewer than {MOST_FRAMES} can travel")
        return [header, *frames.buffers]
    except CodecError:
        raise
    except UnicodeEncodeError as error:
        raise refuse(ROOT, f"the text {error.object!r:.60} is not Unicode: {error.reason}") from error
    except Exception as error:
        # Code of others runs in here: properties of dataclasses, iterators of dicts.
        raise refuse(ROOT, f"the value cannot be read: {error!r}") from error


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


def tree(value: Any, name: str, frames: Frames) -> Any:
    """Give what stands in a header for a value, whose path begins with this name; see `encode_head`."""
    return value if type(value) in _PLAIN else _tree(value, (ROOT, name), frames, 1)


def trees(values: Sequence[Any], name: str, frames: Frames) -> list[Any]:
    """Give what stands in a header for each of some values; see `tree`."""
    return _items(values, (ROOT, name), frames, 1)


def value(head: Any, name: str, frames: Frames) -> Any:
    """Give the value that stands in a header; raises CodecError."""
    return head if type(head) in _DECODED_PLAIN else _value(head, (ROOT, name), frames, 1)


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


def _tree(value: Any, at: At, frames: Frames, depth: int) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if value in _INT64 else [Tag.BIGINT, f"{value:x}"]
    if depth > MAX_DEPTH:
        raise refuse(at, f"the value is nested deeper than {MAX_DEPTH} (does it contain itself?)")
    tag = _SEQUENCES.get(kind)
    if tag is not None:
        return [tag, _items(value, at, frames, depth + 1)]
    if isinstance(value, dict):
        return _dict(value, at, frames, depth + 1)
    if kind is bytes or kind is bytearray or kind is memoryview:
        return _bytes(value, frames)
    array = _array(value, at, frames)
    return array if array is not None else _other(value, at, frames, depth + 1)


_SEQUENCES: dict[type, int] = {
    list: int(Tag.LIST),
    tuple: int(Tag.TUPLE),
    set: int(Tag.SET),
    frozenset: int(Tag.FROZENSET),
}


def _items(value: Any, at: At, frames: Frames, depth: int) -> list[Any]:
    return [
        item if type(item) in _PLAIN else _tree(item, (at, i), frames, depth) for i, item in enumerate(value)
    ]


def _dict(value: dict[Any, Any], at: At, frames: Frames, depth: int) -> Any:
    tree = {
        key: item if type(item) in _PLAIN else _tree(item, (at, key), frames, depth)
        for key, item in value.items()
    }
    for key in tree:
        if type(key) is not str:
            break
    else:
        return tree
    return [Tag.PAIRS, [[_tree(key, (at, key), frames, depth), item] for key, item in tree.items()]]


def _bytes(value: Any, frames: Frames) -> Any:
    tag = Tag.BYTEARRAY if type(value) is bytearray else Tag.BYTES
    view = memoryview(value)
    if view.nbytes < INLINE_BYTES:
        return [tag, bytes(value)]
    return [tag, frames.add(view.cast("B") if view.c_contiguous else bytes(value))]


def _array(value: Any, at: At, frames: Frames) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return encode_ndarray(value, at, frames)
        if isinstance(value, numpy.generic):
            return encode_numpy_scalar(value, at)
    torch = sys.modules.get("torch")
    if torch is not None:
        if isinstance(value, torch.Tensor):
            return encode_tensor(value, at, frames)
        if isinstance(value, torch.Size):
            return [Tag.TUPLE, list(value)]
    return None


def _other(value: Any, at: At, frames: Frames, depth: int) -> Any:
    kind = type(value)
    if kind is complex:
        return [Tag.COMPLEX, value.real, value.imag]
    if kind is datetime.datetime:
        return [Tag.DATETIME, value.isoformat()]
    if kind in names:
        fields = {
            field.name: _tree(getattr(value, field.name), (at, field.name), frames, depth)
            for field in dataclasses.fields(value)
            if field.init
        }
        return [Tag.DATACLASS, names[kind], fields]
    name = f"{kind.__module__}.{kind.__qualname__}"
    if dataclasses.is_dataclass(kind):
        raise refuse(at, f"the dataclass {name} is not registered: decorate it with @fox_hpc.register")
    raise refuse(
        at,
        f"a value of type {name} cannot travel; plain values, numpy arrays, torch tensors, FLModel and "
        "dataclasses decorated with @fox_hpc.register can",
    )


def _value(head: Any, at: At, frames: Frames, depth: int) -> Any:
    if type(head) in _DECODED_PLAIN:
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
        key: item if type(item) in _DECODED_PLAIN else _value(item, (at, key), frames, depth)
        for key, item in head.items()
    }


def _decode_items(rest: Any, at: At, frames: Frames, depth: int) -> list[Any]:
    (items,) = rest
    if type(items) is not list:
        raise refuse(at, "the header does not follow the format (items are not a list)")
    return [
        item if type(item) in _DECODED_PLAIN else _value(item, (at, i), frames, depth)
        for i, item in enumerate(items)
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
