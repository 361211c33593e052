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
        blob: so many bytes travel by reference: the frame behind the envelope is a blob.Ref. 0 if the frames
            are all there is.
    """

    version: int
    kind: str
    id: str
    channel: str
    origin: str
    target: str
    attempt: int = 0
    blob: int = 0


class _Versioned(msgspec.Struct, frozen=True, array_like=True):
    version: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Envelope)
_any_decoder = msgspec.msgpack.Decoder(_Versioned)


def seal(
    kind: str, channel: str, *, id: str = "", origin: str, target: str, attempt: int = 0, blob: int = 0
) -> bytes:
    """Make an envelope's frame."""
    return _encoder.encode(Envelope(WIRE_VERSION, kind, id, channel, origin, target, attempt, blob))


def read(frame: Any) -> Envelope:
    """Read an envelope's frame.

    Raises:
        WireError: it is not an envelope.
        VersionMismatch: it is one of another version.
    """
    try:
        envelope = _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        other = _version_of(frame)
        if other != WIRE_VERSION:
            raise _mismatch("the other end", other) from error
        raise WireError(f"a frame of {len(memoryview(frame))} bytes is not an envelope: {error}") from error
    if envelope.version != WIRE_VERSION:
        raise _mismatch(envelope.origin, envelope.version)
    return envelope


def _mismatch(who: str, version: int) -> VersionMismatch:
    return VersionMismatch(
        f"{who} speaks version {version} of the wire format, this end {WIRE_VERSION}: "
        "install the same fox-hpc on both"
    )


def _version_of(frame: Any) -> int:
    """Find the version of an envelope that is laid out otherwise: in all of them it comes first."""
    try:
        return _any_decoder.decode(frame).version
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return WIRE_VERSION
