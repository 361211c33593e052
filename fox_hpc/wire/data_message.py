"""Small messages on a data connection: what may go as one, and how its frames are put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import WireError
from .blob import TAG_BYTES, size_of

#: What is larger goes over the link: here it would keep the chunks of others waiting.
MOST_MESSAGE_BYTES = 2**16
_MOST_FRAMES = 64
#: The most that may stand behind the header of a message: what was packed, which takes a little, and the tag.
MOST_SEALED_BYTES = MOST_MESSAGE_BYTES + 8 * (_MOST_FRAMES + 1) + TAG_BYTES

#: Put frames together.
pack = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


def is_small(frames: Sequence[Any]) -> bool:
    """Tell whether these frames may go as one message here."""
    return len(frames) <= _MOST_FRAMES and size_of(frames) <= MOST_MESSAGE_BYTES


def unpack(packed: bytes) -> list[bytes]:
    """Take frames apart that were put together.

    Raises:
        WireError: these are no frames, or none.
    """
    try:
        frames = _decode(packed)
    except msgspec.MsgspecError as error:
        raise WireError("a message on the data connection cannot be read") from error
    if not frames:
        raise WireError("a message on the data connection has no frames")
    return frames
