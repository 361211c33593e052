"""What is said on a data connection: greetings, then headers of one size; chunks and messages follow theirs.

Every header carries a MAC over itself and its number in the stream, under a key that is made for this
connection and direction: what a stranger puts in, takes out, repeats or reorders ends the connection, and
nothing that he says is read. A chunk's bytes are authenticated by the seal of its blob.

A small message is sealed, under another key of this connection and direction, and its header with it: that
has no MAC. Its number in the stream is the nonce, so that none comes twice. Sources: keyed BLAKE2 RFC 7693;
AES-GCM NIST SP 800-38D, with the deterministic nonces of its section 8.2.1.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from ..errors import WireError
from .blob import TAG_BYTES
from .data_message import MOST_SEALED_BYTES, pack, unpack
from .session import ID_BYTES, MAC_BYTES, Session, aead, mac, same

MAGIC = b"FOXDATA\x01"
NONCE_BYTES = 16
HELLO_BYTES = len(MAGIC) + ID_BYTES + NONCE_BYTES + MAC_BYTES
WELCOME_BYTES = NONCE_BYTES + MAC_BYTES

_HEADER = struct.Struct(">BxxxII16s16s")
HEADER_BYTES = _HEADER.size + MAC_BYTES
#: Of a message: as long as any other. Its size is there twice: were a wrong one believed, it would be waited
#: for what never comes.
_MESSAGE = struct.Struct(f">B3xII{HEADER_BYTES - 12}x")


class Kind(IntEnum):
    """What a header says; a dialling end says OPEN first."""

    OPEN = 1
    WANT = 2  # send me this chunk
    CHUNK = 3  # here it is
    GONE = 4  # nobody holds this blob here
    GOT = 5  # I have the whole blob
    PING = 6  # are you there?
    PONG = 7  # yes
    MESSAGE = 8  # a small message, see data_message


#: Asked for every header, which an enum takes long for.
_KINDS = {int(kind): kind for kind in Kind if kind is not Kind.MESSAGE}
_IS_MESSAGE = int(Kind.MESSAGE)


class Header(NamedTuple):
    """One header: `size` bytes follow it."""

    kind: Kind
    number: int = 0
    size: int = 0
    blob: bytes = bytes(16)
    tag: bytes = bytes(16)


def hello(session: Session) -> tuple[bytes, bytes]:
    """Make the dialling end's greeting; also gives its nonce."""
    nonce = os.urandom(NONCE_BYTES)
    said = MAGIC + session.id + nonce
    return said + mac(session.hello_key, said), nonce


def hello_id(data: bytes) -> bytes:
    """Read whose session a greeting is of.

    Raises:
        WireError: it is no greeting.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise WireError("what dialled the data port speaks something else")
    return data[len(MAGIC) : len(MAGIC) + ID_BYTES]


def check_hello(data: bytes, session: Session) -> bytes:
    """Give the nonce of a greeting.

    Raises:
        WireError: who sent it does not share the session.
    """
    if not same(data[-MAC_BYTES:], mac(session.hello_key, data[:-MAC_BYTES])):
        raise WireError(f"what dialled the data port does not share {session!r}")
    return data[len(MAGIC) + ID_BYTES : -MAC_BYTES]


def welcome(session: Session, dialled: bytes) -> tuple[bytes, bytes]:
    """Make the accepting end's answer to the greeting with that nonce; also gives its own nonce."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + mac(session.hello_key, b"welcome", dialled, nonce), nonce


def check_welcome(data: bytes, session: Session, dialled: bytes) -> bytes:
    """Give the nonce of an answer to a greeting.

    Raises:
        WireError: who sent it does not share the session.
    """
    nonce = data[:NONCE_BYTES]
    if not same(data[NONCE_BYTES:], mac(session.hello_key, b"welcome", dialled, nonce)):
        raise WireError(f"what answered on the data port does not share {session!r}")
    return nonce


class Writer:
    """Makes what one end of one connection says.

    Args:
        keys: for MACs and for messages, 32 bytes that nothing else is sealed with.
    """

    def __init__(self, keys: tuple[bytes, bytes]) -> None:
        self._key, self._count = keys[0], 0
        self._seal = aead(keys[1]).encrypt

    def header(self, header: Header) -> bytes:
        """Make the next header."""
        said = _HEADER.pack(*header)
        count = self._count.to_bytes(8, "big")
        self._count += 1
        return said + mac(self._key, count, said)

    def message(self, frames: Sequence[Any]) -> bytes:
        """Make the next header, of a small message, and the message."""
        packed = pack(frames)
        size = len(packed) + TAG_BYTES
        said = _MESSAGE.pack(_IS_MESSAGE, size, size)
        nonce = self._count.to_bytes(12, "big")
        self._count += 1
        sealed: bytes = self._seal(nonce, packed, said)
        return said + sealed


class Reader:
    """Reads what the other end says; see Writer.

    Args:
        most_bytes: what may follow the header of a chunk at most.
    """

    def __init__(self, keys: tuple[bytes, bytes], most_bytes: int) -> None:
        self._key, self._count = keys[0], 0
        self._open = aead(keys[1]).decrypt
        self._most_bytes = {Kind.CHUNK: most_bytes}

    def header(self, data: bytes) -> Header:
        """Read the next header, which is not of a message.

        Raises:
            WireError: it was not made by the other end of this connection, or not as the next one.
        """
        said = data[: _HEADER.size]
        if not same(data[_HEADER.size :], mac(self._key, self._count.to_bytes(8, "big"), said)):
            raise WireError("a header on the data connection was changed on its way")
        self._count += 1
        number, *rest = _HEADER.unpack(said)
        kind = _KINDS.get(number)
        if kind is None:
            raise WireError(f"the other end of the data connection says {number}, which is nothing")
        header = Header(kind, *rest)
        if header.size > self._most_bytes.get(header.kind, 0):
            raise WireError(f"{header.size} bytes behind a header are more than may come")
        return header

    def message_size(self, data: bytes) -> int:
        """Read the next header if it is of a message: so many bytes follow it; 0 if it is another.

        Nothing shows yet that the other end has said it.

        Raises:
            WireError: that is not the size of a message.
        """
        if data[0] != _IS_MESSAGE:
            return 0
        size: int
        _, size, again = _MESSAGE.unpack(data)
        if size != again or not TAG_BYTES < size <= MOST_SEALED_BYTES:
            raise WireError(f"the header of a message was changed on its way: {size} or {again} bytes")
        return size

    def message(self, said: bytes, sealed: bytes | memoryview) -> list[bytes]:
        """Open the next message.

        Args:
            said: its header.

        Raises:
            WireError: it was not sealed by the other end of this connection as the next one, or holds no
                frames.
        """
        nonce = self._count.to_bytes(12, "big")
        self._count += 1
        try:
            packed = self._open(nonce, sealed, said)
        except _changed() as error:
            raise WireError("a message on the data connection was changed on its way") from error
        return unpack(packed)


def _changed() -> type[Exception]:
    from cryptography.exceptions import InvalidTag

    return InvalidTag
