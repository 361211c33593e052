"""Entries: what the tracking writers make, what crosses the wire, what the receivers write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec

from .errors import RecipeError, WireError

#: The most bytes that one entry may take; a model is an answer of its site, not an entry.
MOST_ENTRY_BYTES = 8 * 2**20
#: A batch of more than this is sent in parts.
BATCH_BYTES = 2**18


class Point(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="point"):
    """One value of one curve at one site.

    Args:
        tag: the curve's name (`train/loss`).
        value: any float, NaN and infinities included.
        step: the place on the x axis, None if the caller gave none.
        wall_time: seconds since the epoch at which the value was logged.
    """

    tag: str
    value: float
    step: int | None
    wall_time: float


class Text(msgspec.Struct, array_like=True, frozen=True, tag="text"):
    """A text at one step, Markdown where the reader knows it."""

    tag: str
    text: str
    step: int | None
    wall_time: float


class Histogram(msgspec.Struct, array_like=True, frozen=True, tag="histogram"):
    """How values were distributed at one step.

    Args:
        count, total, squares: how many values there were, their sum, and the sum of their squares.
        limits: the upper edge of each bucket, rising.
        counts: how many values lie in each bucket; as many as limits.
    """

    tag: str
    low: float
    high: float
    count: float
    total: float
    squares: float
    limits: list[float]
    counts: list[float]
    step: int | None
    wall_time: float

    def __post_init__(self) -> None:
        if len(self.limits) != len(self.counts):
            raise ValueError(f"{len(self.counts)} buckets have {len(self.limits)} limits")


class Image(msgspec.Struct, array_like=True, frozen=True, tag="image"):
    """A picture at one step, as a PNG file; `channels` is 1 grey, 2 grey and alpha, 3 RGB or 4 RGBA."""

    tag: str
    png: bytes
    width: int
    height: int
    channels: int
    step: int | None
    wall_time: float
    caption: str = ""


class File(msgspec.Struct, array_like=True, frozen=True, tag="file"):
    """A file of one site; `path` is relative, with slashes, and does not lead out."""

    path: str
    data: bytes
    wall_time: float

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if not parts or ".." in parts or parts[0] == "/" or "\0" in self.path or "\\" in self.path:
            raise ValueError(f"{self.path!r} is not a relative path below the site's folder")


class Fact(msgspec.Struct, array_like=True, frozen=True, tag="fact"):
    """One thing about a site's run that has no step; a later fact of that name takes its place.

    Args:
        role: "param", what the run was given; "label", what people call it; "result", what it came to.
        value: what JSON can hold.
    """

    role: Literal["param", "label", "result"]
    name: str
    value: Any
    wall_time: float


Entry = Point | Text | Histogram | Image | File | Fact


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """Some entries on their way, in order.

    Args:
        dropped: how many entries the sender has dropped so far, those of the ranks behind it included.
        count: how many entries there are.
        data: the entries, packed.
    """

    dropped: int
    count: int
    data: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Entry])
_batch_decoder = msgspec.msgpack.Decoder(Batch)


def pack(entries: Sequence[Entry]) -> Iterator[tuple[int, bytes]]:
    """Give the entries in order as (count, bytes), in parts of about BATCH_BYTES, or of one entry.

    Raises:
        RecipeError: an entry is too big to travel.
    """
    data = _encoder.encode(entries)
    if len(data) <= BATCH_BYTES:
        yield len(entries), data
    elif len(entries) > 1:
        half = len(entries) // 2
        yield from pack(entries[:half])
        yield from pack(entries[half:])
    else:
        yield 1, data


def check_size(entry: Entry) -> None:
    """Refuse an entry that is too big to travel."""
    size = len(_encoder.encode(entry))
    if size > MOST_ENTRY_BYTES:
        name = getattr(entry, "tag", None) or getattr(entry, "path", None) or getattr(entry, "name", "")
        raise RecipeError(
            f"{name!r} takes {size / 2**20:.1f} MiB, one logged thing at most {MOST_ENTRY_BYTES >> 20} MiB: "
            "what is bigger is an answer of its site, or stays in fox.workspace"
        )


def unpack(data: bytes) -> list[Entry]:
    """Undo `pack` for one part; raises WireError if these are no entries."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"these are no entries: {error}") from error


def write_batch(batch: Batch) -> bytes:
    """Turn a batch into a frame."""
    return _encoder.encode(batch)


def read_batch(frames: Sequence[Any]) -> Batch:
    """Read a batch from the frames of a message; raises WireError if there is none."""
    if len(frames) != 1:
        raise WireError(f"a batch is one frame, not {len(frames)}")
    try:
        return _batch_decoder.decode(frames[0])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"this is no batch: {error}") from error
