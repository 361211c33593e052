"""Value trees to frames and back, without pickle and without a copy of any contiguous array.

Frame 0 is a msgpack header; each array's bytes are one further frame. In the header a map is a dict
with text keys, and an array is `[tag, …]`, one tag for each kind of value in `codec_tags`. Types:
None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, datetime, numpy arrays
and scalars, torch tensors of every dense dtype, and dataclasses made known by `register`.

What does not travel: `requires_grad`, devices (tensors arrive on the CPU), the class of a dict's subclass.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from ..errors import CodecError
from ..model import FLModel
from .codec_arrays import Frames, decode_ndarray, decode_tensor, encode_ndarray, encode_tensor
from .codec_tags import Tag

Buffer = Any
C = TypeVar("C", bound=type)

MAX_DEPTH = 100
#: bytes values from this size on are a frame of their own.
INLINE_BYTES = 4096

_INT64 = range(-(2**63), 2**64)
_classes: dict[str, type] = {}
_names: dict[type, str] = {}


def register(cls: C, name: str | None = None) -> C:
    """Make a dataclass known, so that its objects can be sent; both ends must register it.

    Usable as a decorator. `name` is what travels; by default `module.qualname`.
    """
    if not dataclasses.is_dataclass(cls):
        raise CodecError("$", f"register() takes a dataclass, {cls.__qualname__} is none")
    known_as = name or f"{cls.__module__}.{cls.__qualname__}"
    _classes[known_as], _names[cls] = cls, known_as
    return cls


register(FLModel, "FLModel")


def encode(value: Any) -> list[Buffer]:
    """Turn a value into frames; arrays are referred to, not copied, so they must not change until sent.

    Raises:
        CodecError: a part of the value has a type that cannot travel; the path names it.
    """
    frames = Frames()
    head = _tree(value, "$", frames, 0)
    return [msgspec.msgpack.encode(head), *frames.buffers]


def decode(frames: Sequence[Buffer]) -> Any:
    """Turn frames back into the value; arrays are views on the frames where these are writable.

    Raises:
        CodecError: the frames are not what `encode` makes, or a class in them is not registered.
    """
    if not frames:
        raise CodecError("$", "there is no header frame")
    try:
        head = msgspec.msgpack.decode(frames[0])
    except msgspec.MsgspecError as error:
        raise CodecError("$", f"the header frame is not msgpack: {error}") from error
    return _value(head, "$", Frames(frames[1:]), 0)


def _tree(value: Any, path: str, frames: Frames, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise CodecError(path, f"the value is nested deeper than {MAX_DEPTH} (does it contain itself?)")
    kind = type(value)
    if value is None or kind is bool or kind is float or kind is str:
        return value
    if kind is int:
        return value if value in _INT64 else [Tag.BIGINT, str(value)]
    if isinstance(value, dict):
        return _dict(value, path, frames, depth)
    if kind is list or kind is tuple or kind is set or kind is frozenset or _is_size(kind):
        items = [_tree(item, f"{path}[{i}]", frames, depth + 1) for i, item in enumerate(value)]
        return [_SEQUENCES.get(kind, Tag.TUPLE), items]
    if kind is bytes or kind is bytearray or kind is memoryview:
        return _bytes(value, frames)
    array = _array(value, path, frames)
    return array if array is not None else _other(value, path, frames, depth)


_SEQUENCES: dict[type, Tag] = {list: Tag.LIST, tuple: Tag.TUPLE, set: Tag.SET, frozenset: Tag.FROZENSET}


def _is_size(kind: type) -> bool:
    return kind.__module__ == "torch" and kind.__name__ == "Size"


def _dict(value: dict[Any, Any], path: str, frames: Frames, depth: int) -> Any:
    if all(type(key) is str for key in value):
        return {key: _tree(item, f"{path}.{key}", frames, depth + 1) for key, item in value.items()}
    pairs = [
        [
            _tree(key, f"{path}.key({key!r})", frames, depth + 1),
            _tree(item, f"{path}[{key!r}]", frames, depth + 1),
        ]
        for key, item in value.items()
    ]
    return [Tag.PAIRS, pairs]


def _bytes(value: Any, frames: Frames) -> Any:
    tag = Tag.BYTEARRAY if type(value) is bytearray else Tag.BYTES
    if len(value) < INLINE_BYTES:
        return [tag, bytes(value)]
    return [tag, frames.add(memoryview(value).cast("B"))]


def _array(value: Any, path: str, frames: Frames) -> Any:
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return encode_ndarray(value, path, frames)
        if isinstance(value, numpy.generic):
            encoded = encode_ndarray(numpy.asarray(value), path, frames)
            return [Tag.NUMPY_SCALAR, *encoded[1:]]
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return encode_tensor(value, path, frames)
    return None


def _other(value: Any, path: str, frames: Frames, depth: int) -> Any:
    kind = type(value)
    if kind is complex:
        return [Tag.COMPLEX, value.real, value.imag]
    if kind is datetime.datetime:
        return [Tag.DATETIME, value.isoformat()]
    if kind in _names:
        fields = {
            field.name: _tree(getattr(value, field.name), f"{path}.{field.name}", frames, depth + 1)
            for field in dataclasses.fields(value)
        }
        return [Tag.DATACLASS, _names[kind], fields]
    name = f"{kind.__module__}.{kind.__qualname__}"
    if dataclasses.is_dataclass(kind):
        raise CodecError(path, f"the dataclass {name} is not registered: decorate it with @fox_hpc.register")
    raise CodecError(
        path,
        f"a value of type {name} cannot travel; plain values, numpy arrays, torch tensors, FLModel and "
        "dataclasses decorated with @fox_hpc.register can",
    )


def _value(head: Any, path: str, frames: Frames, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise CodecError(path, f"the header is nested deeper than {MAX_DEPTH}")
    if isinstance(head, dict):
        return {key: _value(item, f"{path}.{key}", frames, depth + 1) for key, item in head.items()}
    if not isinstance(head, list):
        return head
    try:
        tag, *rest = head
        return _DECODERS[tag](rest, path, frames, depth)
    except CodecError:
        raise
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise CodecError(path, f"the header does not follow the format ({error!r})") from error


def _items(rest: Any, path: str, frames: Frames, depth: int) -> list[Any]:
    return [_value(item, f"{path}[{i}]", frames, depth + 1) for i, item in enumerate(rest[0])]


def _decode_pairs(rest: Any, path: str, frames: Frames, depth: int) -> dict[Any, Any]:
    return {
        _value(key, path, frames, depth + 1): _value(item, path, frames, depth + 1) for key, item in rest[0]
    }


def _decode_bytes(rest: Any, path: str, frames: Frames, depth: int) -> bytes:
    return rest[0] if isinstance(rest[0], bytes) else bytes(frames.get(rest[0], path))


def _decode_dataclass(rest: Any, path: str, frames: Frames, depth: int) -> Any:
    name, fields = rest
    cls = _classes.get(name)
    if cls is None:
        raise CodecError(
            path, f"the dataclass {name} is not registered here: decorate it with @fox_hpc.register"
        )
    return cls(**{key: _value(item, f"{path}.{key}", frames, depth + 1) for key, item in fields.items()})


_DECODERS: dict[Tag, Callable[..., Any]] = {
    Tag.LIST: _items,
    Tag.TUPLE: lambda rest, *at: tuple(_items(rest, *at)),
    Tag.SET: lambda rest, *at: set(_items(rest, *at)),
    Tag.FROZENSET: lambda rest, *at: frozenset(_items(rest, *at)),
    Tag.PAIRS: _decode_pairs,
    Tag.BIGINT: lambda rest, *at: int(rest[0]),
    Tag.COMPLEX: lambda rest, *at: complex(*rest),
    Tag.DATETIME: lambda rest, *at: datetime.datetime.fromisoformat(rest[0]),
    Tag.BYTES: _decode_bytes,
    Tag.BYTEARRAY: lambda rest, *at: bytearray(_decode_bytes(rest, *at)),
    Tag.DATACLASS: _decode_dataclass,
    Tag.NDARRAY: lambda rest, path, frames, depth: decode_ndarray(rest, path, frames),
    Tag.NUMPY_SCALAR: lambda rest, path, frames, depth: decode_ndarray(rest, path, frames)[()],
    Tag.TENSOR: lambda rest, path, frames, depth: decode_tensor(rest, path, frames),
}
