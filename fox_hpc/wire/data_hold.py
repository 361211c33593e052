"""Holds: what a relay has read from one connection and not yet given to the other.

Where the system can, bytes stay in the kernel: splice(2) moves pages from a socket into a pipe, and from
there into the next socket, so that passing them on copies nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from abc import ABC, abstractmethod

#: Pages of a socket take one place each in a pipe, whatever part of them is used: this is 64 places.
PIPE_BYTES = 2**18


class Hold(ABC):
    """What comes from one socket and goes to another; it takes nothing while it has something.

    Sockets do not block: both ways raise BlockingIOError when there is nothing to do now, and OSError when
    a connection is gone.
    """

    @abstractmethod
    def fill(self, source: socket.socket, most: int) -> int:
        """Take up to so many bytes; 0 if there will be no more."""

    @abstractmethod
    def drain(self, target: socket.socket) -> None:
        """Give all."""

    @abstractmethod
    def put(self, data: bytes) -> None:
        """Take a few bytes that were read before."""

    @property
    @abstractmethod
    def left(self) -> int:
        """How many bytes have not been given."""

    @property
    @abstractmethod
    def room(self) -> int:
        """The memory that it has, in bytes."""

    @abstractmethod
    def trim(self) -> None:
        """Give back memory that is not in use."""

    @abstractmethod
    def close(self) -> None:
        """Give everything back."""


class Copied(Hold):
    """In memory of this process."""

    def __init__(self) -> None:
        self._place = bytearray()
        self._full = memoryview(b"")

    def fill(self, source: socket.socket, most: int) -> int:
        """See Hold."""
        if len(self._place) != most:
            self._place = bytearray()
            self._place = bytearray(most)
        count = source.recv_into(self._place)
        self._full = memoryview(self._place)[:count]
        return count

    def drain(self, target: socket.socket) -> None:
        """See Hold."""
        while self._full:
            self._full = self._full[target.send(self._full) :]

    def put(self, data: bytes) -> None:
        """See Hold."""
        self._full = memoryview(data)

    @property
    def left(self) -> int:
        """See Hold."""
        return len(self._full)

    @property
    def room(self) -> int:
        """See Hold."""
        return len(self._place)

    def trim(self) -> None:
        """See Hold."""
        if not self._full:
            self._place = bytearray()

    def close(self) -> None:
        """See Hold."""
        self._place, self._full = bytearray(), memoryview(b"")


class Spliced(Hold):
    """In a pipe of the kernel.

    Raises:
        OSError: there are no descriptors left.
    """

    def __init__(self) -> None:
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._left = 0
        # A user may have so many bigger pipes only; smaller ones take more turns.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def fill(self, source: socket.socket, most: int) -> int:
        """See Hold."""
        self._left = os.splice(source.fileno(), self._in, most, flags=os.SPLICE_F_NONBLOCK)
        return self._left

    def drain(self, target: socket.socket) -> None:
        """See Hold."""
        while self._left:
            self._left -= os.splice(self._out, target.fileno(), self._left, flags=os.SPLICE_F_NONBLOCK)

    def put(self, data: bytes) -> None:
        """See Hold."""
        self._left += os.write(self._in, data)

    @property
    def left(self) -> int:
        """See Hold."""
        return self._left

    @property
    def room(self) -> int:
        """See Hold."""
        return self._left

    def trim(self) -> None:
        """See Hold; nothing is held that is not in use."""

    def close(self) -> None:
        """See Hold."""
        if self._in >= 0:
            os.close(self._in)
            os.close(self._out)
            self._in = self._out = -1
            self._left = 0


def holds(spliced: bool) -> list[Hold]:
    """Make the two holds of a connection, spliced where that is wanted and can be."""
    if spliced and hasattr(os, "splice"):
        made: list[Hold] = []
        try:
            made += [Spliced()]
            return [*made, Spliced()]
        except OSError:
            # Descriptors are scarce: these take none.
            for one in made:
                one.close()
    return [Copied(), Copied()]
