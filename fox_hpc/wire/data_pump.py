"""DataPump: passes the bytes of data connections on, unread, within a budget of memory.

A relay has one. What dials it must name a session that the relay has seen a worker offer; then a connection
to the server is made for it, the greeting is passed on, and from there bytes go both ways as they come. What
the next hop cannot take yet is not read from the one before: TCP holds the sender back.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import Any

from ..errors import NotAllowed
from .data_frames import hello_id
from .data_hold import Hold, holds
from .data_port import DataPort, Dialling
from .data_times import NORMAL, DataTimes
from .stream import Loop, tune

log = logging.getLogger(__name__)

BUDGET_BYTES = 64 * 2**20
#: More at once gains nothing …
MOST_BYTES = 2**20
#: … and with less a chunk costs too many turns.
LEAST_BYTES = 2**15
#: A session has one connection, and for a while those that it had before, or that only claim to be of it: a
#: greeting that was recorded can be said again, and only the server can tell. Of more, the quietest goes.
MOST_OF_ONE = 4
#: What is smaller is read and sent, which for so little is faster than to splice.
SMALL_BYTES = 2**12
#: So many connections are spliced; more are copied, which takes no pipes: those that a user may have are few.
MOST_SPLICED = 32


class DataPump:
    """All of it is used on the I/O thread, but the constructor.

    Args:
        budget_bytes: what all connections together may hold.
        host, ports: see DataPort.
        most_spliced: so many connections pass through the kernel alone.

    Raises:
        WireError: nothing can listen there.
    """

    def __init__(
        self,
        io: Loop,
        *,
        budget_bytes: int = BUDGET_BYTES,
        host: str = "*",
        ports: Any = (0,),
        times: DataTimes = NORMAL,
        most_spliced: int = MOST_SPLICED,
    ) -> None:
        self._io, self._budget_bytes, self._times = io, budget_bytes, times
        self._most_spliced = most_spliced
        self._upstream: tuple[str, int] | None = None
        self._sessions: dict[bytes, str] = {}
        self._pipes: set[Pipe] = set()
        #: For what is small, of whatever pipe has its turn.
        self.place = memoryview(bytearray(SMALL_BYTES))
        self._port = DataPort(io, self._greeted, host=host, ports=ports, times=times)
        self.port = self._port.port

    def __repr__(self) -> str:
        return f"<DataPump {self.port} → {self._upstream} · {len(self._pipes)} connections>"

    def lead_to(self, upstream: tuple[str, int]) -> None:
        """Pass on to this address from now on."""
        self._upstream = upstream

    def admit(self, owner: str, id: str) -> None:
        """Let the worker of a site in under the session of that id, in hex, and under no earlier one."""
        try:
            session = bytes.fromhex(id)
        except ValueError:
            log.warning("%s offers a session without an id", owner)
            return
        known = self._sessions.get(session)
        if known is None:
            self.refuse(owner)
            self._sessions[session] = owner
        elif known != owner:
            log.warning("%s offers the session of %s: it is not let in under that", owner, known)

    def refuse(self, owner: str) -> None:
        """The worker of a site is gone: let nobody in under its session any more."""
        for session in [one for one, whose in self._sessions.items() if whose == owner]:
            del self._sessions[session]
            for pipe in self._of(session):
                pipe.close()

    def _of(self, session: bytes) -> list[Pipe]:
        return [pipe for pipe in self._pipes if pipe.session == session]

    def shut(self, linger_ms: int = 0) -> None:
        """See zmq_loop.Closable."""
        self._port.shut()
        for pipe in list(self._pipes):
            pipe.close()

    @property
    def piece_bytes(self) -> int:
        """How much one direction of a connection may hold, once the others hold no more than that."""
        share = self._budget_bytes // (2 * max(1, len(self._pipes)))
        return max(LEAST_BYTES, min(MOST_BYTES, share))

    def most_bytes(self, hold: Hold) -> int:
        """How much may be read into a hold at once: its piece, as far as the budget has it to spare."""
        if hold.room == self.piece_bytes:
            return hold.room
        spare = self._budget_bytes - sum(pipe.held for pipe in self._pipes) + hold.room
        return min(self.piece_bytes, max(LEAST_BYTES, spare))

    def _greeted(self, data: bytes, sock: socket.socket) -> None:
        session = hello_id(data)
        if session not in self._sessions:
            raise NotAllowed("its greeting names a session that no worker here has offered")
        if self._upstream is None:
            raise NotAllowed("the server has not told its data port yet")
        others = self._of(session)
        if len(others) >= MOST_OF_ONE:
            min(others, key=lambda pipe: pipe.moved_at).close()
        for pipe in self._pipes:
            pipe.trim()
        pipe = Pipe(self, self._io, session, sock, spliced=len(self._pipes) < self._most_spliced)
        self._pipes.add(pipe)
        Dialling(self._io, self._upstream, lambda up: pipe.start(up, data), self._times.dial_s)

    def gone(self, pipe: Pipe) -> None:
        """A connection has ended."""
        self._pipes.discard(pipe)


class Pipe:
    """Two connections that are joined; when one ends, both do."""

    def __init__(
        self, pump: DataPump, io: Loop, session: bytes, down: socket.socket, *, spliced: bool = False
    ) -> None:
        self.session = session
        self._pump, self._io = pump, io
        #: When something was read last.
        self.moved_at = time.monotonic()
        self._closed = False
        self._sockets = [down]
        self._fds: list[int] = []
        #: What is waited for at each of them: to read, to write.
        self._wanted = [(True, False), (True, False)]
        #: What is on its way to each of them.
        self._holds = holds(spliced)
        #: Whether what comes from each is more than a little.
        self._much = [False, False]

    def start(self, up: socket.socket | None, greeting: bytes) -> None:
        """Begin to pass bytes on; without a connection upwards there is nothing to begin with."""
        if up is None or self._closed:
            if up is not None:
                up.close()
            self.close()
            return
        self._sockets.append(up)
        self._holds[1].put(greeting)
        for number, sock in enumerate(self._sockets):
            sock.setblocking(False)
            tune(sock)
            fd = sock.fileno()
            self._fds.append(fd)
            self._io.watch(fd, lambda n=number: self._read(n), lambda n=number: self._write(n))  # type: ignore[misc]
        self._write(1)

    @property
    def held(self) -> int:
        """The memory that it has, in bytes."""
        return sum(hold.room for hold in self._holds)

    def trim(self) -> None:
        """Give back what is not in use: there are more now who need some."""
        for hold in self._holds:
            hold.trim()

    def close(self) -> None:
        """End both connections."""
        if not self._closed:
            self._closed = True
            for fd in self._fds:
                self._io.unwatch(fd)
            for sock in self._sockets:
                with contextlib.suppress(OSError):
                    sock.close()
            for hold in self._holds:
                hold.close()
            self._pump.gone(self)

    def _read(self, number: int) -> None:
        """Take what came from one end, and give it to the other at once, until others are to have a turn."""
        other, left = 1 - number, MOST_BYTES
        if not (self._much[number] or self._holds[other].left) and self._passed_small(number, other):
            return
        while left > 0 and not (self._closed or self._holds[other].left):
            count = self._fill(other, self._sockets[number])
            if count is None:
                break
            left -= count
            self._drain(other)
            self._much[number] = count >= LEAST_BYTES
            if not self._much[number]:
                # That was all; what comes now wakes the loop again.
                break
        self._wait()

    def _passed_small(self, number: int, other: int) -> bool:
        """Pass on what came from one end if it is small; False if there may be more, or it is not through."""
        place, sent = self._pump.place, 0
        try:
            count = self._sockets[number].recv_into(place)
        except BlockingIOError:
            return True
        except OSError:
            count = 0
        self.moved_at = time.monotonic()
        try:
            sent = self._sockets[other].send(place[:count]) if count else 0
        except BlockingIOError:
            pass
        except OSError:
            count = 0
        if not count:
            self.close()
        elif sent < count:
            self._holds[other].put(bytes(place[sent:count]))
        self._much[number] = count == SMALL_BYTES
        return sent == count and not self._much[number]

    def _fill(self, number: int, source: socket.socket) -> int | None:
        """Give how many bytes came, None if none are there now; where none will come the pipe ends."""
        hold = self._holds[number]
        try:
            count = hold.fill(source, self._pump.most_bytes(hold))
        except BlockingIOError:
            return None
        except OSError:
            count = 0
        if not count:
            self.close()
        self.moved_at = time.monotonic()
        return count

    def _drain(self, number: int) -> None:
        try:
            if not self._closed:
                self._holds[number].drain(self._sockets[number])
        except BlockingIOError:
            pass
        except OSError:
            self.close()

    def _write(self, number: int) -> None:
        self._drain(number)
        self._wait()

    def _wait(self) -> None:
        """Wait to read only where what was read last has left, and to write only where something is to be."""
        if self._closed:
            return
        for number, fd in enumerate(self._fds):
            wanted = not self._holds[1 - number].left, self._holds[number].left > 0
            if wanted != self._wanted[number]:
                self._wanted[number] = wanted
                self._io.want(fd, read=wanted[0], write=wanted[1])
