"""Stream: a TCP connection on the I/O thread, read in exact pieces and written without a copy."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol

#: So much is read or written before others have their turn.
SLICE_BYTES = 2**20
#: Small pieces are read together, as far as they fit here.
AHEAD_BYTES = 2**12
_NOWHERE = memoryview(b"")
#: A silent peer is asked after so many seconds, and given up when it does not answer for so many.
_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


def _nothing() -> None:
    """Wait for nothing."""


class Loop(Protocol):
    """What streams need of an I/O thread; ZmqLoop is one."""

    def watch(
        self, source: Any, reader: Callable[[], None], writer: Callable[[], None] | None = None
    ) -> None:
        """Call `reader` when the source can be read, `writer` when it can be written and that is wanted."""

    def unwatch(self, source: Any) -> None:
        """Undo `watch`."""

    def want(self, source: Any, *, read: bool = True, write: bool = False) -> None:
        """Say what is to be waited for."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Run something on the I/O thread."""

    def at_once(self, action: Callable[..., None], *arguments: Any) -> None:
        """Run what touches only a socket now, if this thread may; else on the I/O thread."""

    def hurry(self) -> None:
        """There is more to do soon, whoever runs the loop now."""

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run something on the I/O thread after a while; returns what calls it off."""


class Stream:
    """One connection; all of it is used on the I/O thread.

    Args:
        sock: connected; the stream owns it.
        lost: called once, when the other end is gone; not after `close`.
    """

    def __init__(self, io: Loop, sock: socket.socket, lost: Callable[[], None]) -> None:
        self.closed = self._writing = False
        self._io, self._sock, self.lost = io, sock, lost
        #: Called when all that was written has left; may write more.
        self.refill = _nothing
        #: Bytes that have come.
        self.heard = 0
        self._out: deque[memoryview] = deque()
        self._place, self._then = _NOWHERE, _nothing
        #: So many bytes are expected that are given to `_use`, and not put into a place; 0 if none.
        self._size = 0
        self._use: Callable[[memoryview], None] = lambda piece: None
        self._ahead: memoryview | None = None
        self._wants_to_write = False
        sock.setblocking(False)
        tune(sock)
        self._fd = sock.fileno()
        io.watch(self._fd, self.read, self._writable)

    def __repr__(self) -> str:
        return f"<Stream {self._fd} {'closed' if self.closed else 'open'}>"

    def expect(self, place: memoryview, then: Callable[[], None]) -> None:
        """Read exactly what fits there, at least one byte, then go on."""
        if not self.closed:
            self._place, self._then, self._size = place, then, 0

    def expect_piece(self, size: int, use: Callable[[memoryview], None]) -> None:
        """Read so many bytes, at least one, and give them to `use`, for as long as that takes.

        After `read_ahead`; what came together with what came before is not copied once more.
        """
        if self.closed:
            return
        if size > AHEAD_BYTES:
            place = memoryview(bytearray(size))
            self.expect(place, lambda: use(place))
        else:
            self._size, self._use = size, use

    def read_ahead(self) -> None:
        """Read what is small before it is expected: from now on nobody else may read this connection."""
        self._ahead = memoryview(bytearray(AHEAD_BYTES))

    def write(self, *buffers: Any) -> None:
        """Send bytes after those before; they must not change until they have left."""
        if self.closed:
            return
        for buffer in buffers:
            if len(buffer):
                self._out.append(memoryview(buffer))
        if not (self._writing or self._wants_to_write):
            self._writable()

    def write_small(self, data: bytes) -> None:
        """Like `write`; faster where nothing is on its way and the system takes all of it at once."""
        if self._out or self._writing or self._wants_to_write or self.closed:
            self.write(data)
            return
        try:
            count = self._sock.send(data)
        except OSError:
            # Whatever it is: it is seen again, by who knows what to do then.
            count = 0
        if count < len(data):
            self.write(memoryview(data)[count:])

    @property
    def busy(self) -> bool:
        """True while something that was written has not left."""
        return bool(self._out)

    def close(self) -> None:
        """Let go of the connection at once."""
        if not self.closed:
            self.closed = True
            self._io.unwatch(self._fd)
            self._forget()
            with contextlib.suppress(OSError):
                self._sock.close()

    def give_up(self) -> socket.socket:
        """Stop to watch the connection and give it away."""
        self.closed = True
        self._io.unwatch(self._fd)
        self._forget()
        return self._sock

    def _forget(self) -> None:
        # A timer may hold the stream for a while yet: not what belongs to others.
        self._out.clear()
        self._place, self._then, self.refill = _NOWHERE, _nothing, _nothing
        self._size, self._use = 0, lambda piece: None

    def _end(self) -> None:
        if not self.closed:
            self.close()
            self.lost()

    def read(self) -> None:
        """Take what has come; also called by the loop."""
        left = SLICE_BYTES
        while left > 0 and not self.closed:
            if not (self._size or self._place):
                # Who should have said what comes next has failed at what came before.
                self._end()
                return
            ahead = self._ahead if self._size or len(self._place) < AHEAD_BYTES else None
            place = self._place if ahead is None else ahead
            try:
                count = self._sock.recv_into(place)
            except BlockingIOError:
                return
            except OSError:
                count = 0
            if not count:
                self._end()
                return
            left -= count
            self.heard += count
            if ahead is not None:
                self._spread(ahead[:count])
                if count < AHEAD_BYTES:
                    # That was all; what comes now wakes the loop again.
                    return
            else:
                self._io.hurry()
                self._took(count)

    def _took(self, count: int) -> None:
        self._place = self._place[count:]
        if not self._place:
            then = self._then
            # Whose memory it was may want it back, although nothing else is put into a place for long.
            self._place, self._then = _NOWHERE, _nothing
            then()

    def _spread(self, data: memoryview) -> None:
        """Put what was read ahead where it is expected."""
        while data and (self._size or self._place):
            size = self._size
            if size:
                self._size = 0
                if size <= len(data):
                    piece, data = data[:size], data[size:]
                    self._use(piece)
                else:
                    self._gather(size)
                continue
            count = min(len(data), len(self._place))
            self._place[:count] = data[:count]
            data = data[count:]
            self._took(count)

    def _gather(self, size: int) -> None:
        """The rest of a piece has not come yet: put it together."""
        use, place = self._use, memoryview(bytearray(size))
        self.expect(place, lambda: use(place))

    def _writable(self) -> None:
        self._writing = True
        try:
            more = self._write_slice()
        finally:
            self._writing = False
        if not self.closed and more != self._wants_to_write:
            self._wants_to_write = more
            self._io.want(self._fd, write=more)

    def _write_slice(self) -> bool:
        """Write what fits into one turn; True if there may be more."""
        left = 4 * SLICE_BYTES
        while left > 0 and not self.closed:
            if not self._out:
                self.refill()
                if not self._out:
                    return False
            try:
                count = self._sock.sendmsg(islice(self._out, 16))
            except BlockingIOError:
                return True
            except OSError:
                self._end()
                return False
            left -= count
            self._leave(count)
            if count >= AHEAD_BYTES:
                self._io.hurry()
        return True

    def _leave(self, count: int) -> None:
        while count:
            first = self._out[0]
            if count < first.nbytes:
                self._out[0] = first[count:]
                return
            count -= first.nbytes
            self._out.popleft()


def tune(sock: socket.socket) -> None:
    """Send at once, and notice a peer that went without a word."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
