"""What is said on a data connection: greetings, then headers of one size; chunks and messages follow theirs.

Every header carries a MAC over itself and its number in the stream, under a key that is made for this
connection and direction: what a stranger puts in, takes out, repeats or reorders ends the connection, and
nothing that he says is read. A chunk's bytes are authenticated by the seal of its blob.
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum
from typing import NamedTuple

from ..errors import WireError
from .data_message import MOST_SEALED_BYTES
from .session import ID_BYTES, MAC_BYTES, Session, mac, same

MAGIC = b"FOXDATA\x01"
NONCE_BYTES = 16
HELLO_BYTES = len(MAGIC) + ID_BYTES + NONCE_BYTES + MAC_BYTES
WELCOME_BYTES = NONCE_BYTES + MAC_BYTES

_HEADER = struct.Struct(">BxxxII16s16s")
HEADER_BYTES = _HEADER.size + MAC_BYTES


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
_KINDS = {int(kind): kind for kind in Kind}


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
    """Makes the headers of one direction."""

    def __init__(self, key: bytes) -> None:
        self._key, self._count = key, 0

    def header(self, header: Header) -> bytes:
        """Make the next header."""
        said = _HEADER.pack(*header)
        count = self._count.to_bytes(8, "big")
        self._count += 1
        return said + mac(self._key, count, said)


class Reader:
    """Reads the headers of one direction.

    Args:
        most_bytes: what may follow the header of a chunk at most.
    """

    def __init__(self, key: bytes, most_bytes: int) -> None:
        self._key, self._count = key, 0
        self._most_bytes = {Kind.CHUNK: most_bytes, Kind.MESSAGE: MOST_SEALED_BYTES}

    def header(self, data: bytes) -> Header:
        """Read the next header.

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
