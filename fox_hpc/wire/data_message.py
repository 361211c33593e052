"""Small messages on a data connection, sealed for its other end: who passes them on reads nothing of them.

Every connection and direction has a key of its own, and the number of the message in it is the nonce, so
that none comes twice. Sources: AES-GCM NIST SP 800-38D, with the deterministic nonces of its section 8.2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import WireError
from .blob import size_of
from .session import aead

#: What is larger goes over the link: here it would keep the chunks of others waiting.
MOST_MESSAGE_BYTES = 2**16
#: What packing and sealing may add.
_ADDED_BYTES = 1024
#: The most that may stand behind the header of a message.
MOST_SEALED_BYTES = MOST_MESSAGE_BYTES + _ADDED_BYTES

_MOST_FRAMES = 64
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


def is_small(frames: Sequence[Any]) -> bool:
    """Tell whether these frames may go as one message here."""
    return len(frames) <= _MOST_FRAMES and size_of(frames) <= MOST_MESSAGE_BYTES


class Sealer:
    """Seals what one end of one connection says.

    Args:
        key: 32 bytes that nothing else is sealed with.
    """

    def __init__(self, key: bytes) -> None:
        self._aead, self._count = aead(key), 0

    def seal(self, frames: Sequence[Any]) -> bytes:
        """Make the next message."""
        nonce = self._count.to_bytes(12, "big")
        self._count += 1
        return bytes(self._aead.encrypt(nonce, _encode(frames), None))


class Opener:
    """Opens what the other end says; see Sealer."""

    def __init__(self, key: bytes) -> None:
        self._aead, self._count = aead(key), 0

    def open(self, sealed: bytes | bytearray) -> list[bytes]:
        """Read the next message.

        Raises:
            WireError: it was not sealed by the other end as the next one, or holds no frames.
        """
        from cryptography.exceptions import InvalidTag

        nonce = self._count.to_bytes(12, "big")
        self._count += 1
        try:
            frames = _decode(self._aead.decrypt(nonce, sealed, None))
        except (InvalidTag, ValueError) as error:
            raise WireError("a message on the data connection was changed on its way") from error
        if not frames:
            raise WireError("a message on the data connection has no frames")
        return frames
