"""The envelope: the small header in front of the frames, and all that a relay may read."""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import VersionMismatch, WireError

WIRE_VERSION = 1


class Envelope(msgspec.Struct, frozen=True, array_like=True):
    """What a message is and where it goes.

    Args:
        kind: one of channel.KINDS.
        id: the call that this belongs to, "" if to none.
        channel: the lane, one of channel.CHANNELS.
        origin: the cell that sent it.
        target: the cell that it is for.
        attempt: the attempt of the site's job that it comes from or is for; 0 if that does not matter.
    """

    version: int
    kind: str
    id: str
    channel: str
    origin: str
    target: str
    attempt: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)


def seal(kind: str, channel: str, *, id: str = "", origin: str, target: str, attempt: int = 0) -> bytes:
    """Make an envelope's frame."""
    return _encoder.encode(Envelope(WIRE_VERSION, kind, id, channel, origin, target, attempt))


def read(frame: Any) -> Envelope:
    """Read an envelope's frame.

    Raises:
        WireError: it is not an envelope.
        VersionMismatch: it is one of another version.
    """
    try:
        envelope = _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"a frame of {len(memoryview(frame))} bytes is not an envelope: {error}") from error
    if envelope.version != WIRE_VERSION:
        raise VersionMismatch(
            f"{envelope.origin} speaks version {envelope.version} of the wire format, this end "
            f"{WIRE_VERSION}: install the same fox-hpc on both"
        )
    return envelope
