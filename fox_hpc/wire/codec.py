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
from .codec_arrays import Frames, encode_ndarray, encode_numpy_scalar, encode_tensor
from .codec_classes import names, register
from .codec_decode import (
    MAX_DEPTH,
    MOST_FRAMES,
    MOST_HEADER_BYTES,
    decode,
    decode_head,
    frames_of_bytes,
    value,
    values,
)
from .codec_path import ROOT, At, refuse
from .codec_tags import Tag

__all__ = [
    "INLINE_BYTES",
    "MAX_DEPTH",
    "MOST_FRAMES",
    "MOST_HEADER_BYTES",
    "decode",
    "decode_head",
    "encode",
    "encode_head",
    "frames_of_bytes",
    "register",
    "tree",
    "trees",
    "value",
    "values",
]

Buffer = Any

#: bytes values from this size on are a frame of their own.
INLINE_BYTES = 4096

_INT64 = range(-(2**63), 2**64)
#: Types that stand in the header as they are; int is one too, as long as it fits.
_PLAIN = frozenset({type(None), bool, float, str})
_pack = msgspec.msgpack.Encoder().encode


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


def tree(value: Any, name: str, frames: Frames) -> Any:
    """Give what stands in a header for a value, whose path begins with this name; see `encode_head`."""
    return value if type(value) in _PLAIN else _tree(value, (ROOT, name), frames, 1)


def trees(values: Sequence[Any], name: str, frames: Frames) -> list[Any]:
    """Give what stands in a header for each of some values; see `tree`."""
    return _items(values, (ROOT, name), frames, 1)


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
