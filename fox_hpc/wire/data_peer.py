"""DataPeer: one cell that shares a session with this one, whatever becomes of their connection."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..errors import BlobError, WireError
from .data_connection import DataConnection
from .data_frames import WELCOME_BYTES, check_hello, check_welcome, hello, welcome
from .data_port import Dialling
from .data_times import NORMAL, DataTimes, DataWatch, Verdict
from .opened_blob import OpenedBlob
from .pulls import PeerGone, Pulls
from .session import Session
from .stream import Loop, Stream

log = logging.getLogger(__name__)


class Shelf(Protocol):
    """Where the chunks are that a peer may ask for."""

    def chunk_for(self, cell: str, id: bytes, number: int) -> tuple[memoryview, bytes]:
        """Give a chunk and its tag; raises BlobError if that cell cannot have it."""

    def got_by(self, cell: str, id: bytes) -> None:
        """That cell has the whole blob."""

    def came_from(self, cell: str, frames: list[Any]) -> None:
        """That cell says this; must not raise."""

    def broke(self, cell: str) -> None:
        """The connection is gone, and maybe what was said on it, either way."""


class DataPeer:
    """All of it is used on the I/O thread."""

    def __init__(
        self, io: Loop, cell: str, session: Session, shelf: Shelf, times: DataTimes = NORMAL
    ) -> None:
        self.cell, self.session = cell, session
        self._io, self._shelf, self._times = io, shelf, times
        self._pulls = Pulls()
        self._closed = self._ticking = self._saying = False
        #: A connection was asked for.
        self.needed = False
        self._connection: DataConnection | None = None
        self._greeting: Stream | None = None
        self._address: tuple[str, int] | None = None
        self._dialling: Dialling | None = None
        self._redial_s = times.redial_s[0]
        self._watch = DataWatch(times)

    def __repr__(self) -> str:
        return f"<DataPeer {self.cell} {'up' if self._connection else 'down'} · {self._pulls!r}>"

    # What it gives and takes.

    def chunk(self, id: bytes, number: int) -> tuple[memoryview, bytes]:
        """See data_connection.Shelf."""
        return self._shelf.chunk_for(self.cell, id, number)

    def got(self, id: bytes) -> None:
        """See data_connection.Shelf."""
        self._shelf.got_by(self.cell, id)

    def came(self, frames: list[Any]) -> None:
        """See data_connection.Shelf."""
        self._shelf.came_from(self.cell, frames)

    @property
    def is_up(self) -> bool:
        """Tell whether there is a connection now; from any thread."""
        return self._connection is not None

    def say(self, frames: Sequence[Any], otherwise: Callable[[], None]) -> None:
        """Send a small message over the connection; without one, do what else is to be done."""
        if self._saying:
            # A signal's handler in user code, as in ZmqLink.
            self._io.call_soon(lambda: self.say(frames, otherwise))
            return
        self._saying = True
        try:
            if self._connection is not None:
                self._connection.say(frames)
            else:
                otherwise()
        finally:
            self._saying = False

    def listen(self) -> None:
        """Take what has come over the connection by now."""
        if self._connection is not None:
            self._connection.listen()

    def fetch(
        self, blob: OpenedBlob, done: Callable[[list[Any]], None], failed: Callable[[BlobError], None]
    ) -> None:
        """Fetch a blob of the peer's; one that is being fetched already goes on as it is."""

        def whole() -> None:
            self._pulls.drop(blob.id)
            done(blob.frames())

        if self._pulls.add(blob, failed):
            self.need(blob, range(len(blob.plan.chunks)), whole)

    def take_up(self, blob: OpenedBlob, failed: Callable[[BlobError], None]) -> bool:
        """Take up a blob of which chunks will be needed; False if that was done before."""
        return self._pulls.add(blob, failed, keep=True)

    def need(self, blob: OpenedBlob, numbers: Sequence[int], done: Callable[[], None]) -> None:
        """Fetch chunks of a blob that was taken up."""
        if not self._pulls.busy:
            self._watch.begin(time.monotonic())
        self._tick_on()
        self._pulls.need(blob.id, numbers, done)
        self.wake()
        if self._connection is not None:
            self._connection.ask()

    def drop(self, id: bytes) -> None:
        """Nobody needs a blob any more."""
        self._pulls.drop(id)

    def close(self) -> None:
        """The peer is gone for good, and so is what is being fetched from it."""
        self._closed = True
        if self._dialling is not None:
            self._dialling.call_off()
        for one in (self._connection, self._greeting):
            if one is not None:
                one.close()
        self._connection = self._greeting = None
        self._pulls.fail_all(PeerGone(f"{self.cell}, who held these bytes, is gone"))

    # How the connection comes to be.

    def dial(self, address: tuple[str, int]) -> None:
        """Keep a connection to that address, from the first time on that it is needed."""
        moved, self._address = self._address != address, address
        if moved and self._connection is not None:
            self._connection.close()
            self._connection = None
            self._shelf.broke(self.cell)
        if self.needed:
            self._dial_if_down()

    def wake(self) -> None:
        """A connection is needed: dial, if it is this end that dials."""
        self.needed = True
        self._dial_if_down()

    def _dial(self) -> None:
        if not self._closed and self._address is not None:
            self._dialling = Dialling(self._io, self._address, self._dialled, self._times.dial_s)

    def _dialled(self, sock: socket.socket | None) -> None:
        self._dialling = None
        if sock is None:
            self._dial_again()
            return
        said, nonce = hello(self.session)
        place = bytearray(WELCOME_BYTES)
        stream = self._greeting = Stream(self._io, sock, self._dial_again)
        stream.expect(memoryview(place), lambda: self._welcomed(stream, nonce, bytes(place)))
        stream.write(said)
        self._io.call_later(self._times.greet_s, lambda: self._unanswered(stream))

    def _unanswered(self, stream: Stream) -> None:
        if self._greeting is stream:
            stream.close()
            self._dial_again()

    def _welcomed(self, stream: Stream, nonce: bytes, data: bytes) -> None:
        try:
            nonces = nonce + check_welcome(data, self.session, nonce)
        except WireError as error:
            log.warning("%s", error)
            stream.close()
            self._dial_again()
            return
        self._greeting = None
        self._connect(stream, nonces, dialled=True)

    def _dial_again(self) -> None:
        self._greeting = None
        self._io.call_later(self._redial_s, self._dial_if_down)
        self._redial_s = min(2 * self._redial_s, self._times.redial_s[1])

    def _dial_if_down(self) -> None:
        if self._connection is None and self._dialling is None and self._greeting is None:
            self._dial()

    def accept(self, data: bytes, sock: socket.socket) -> None:
        """Take a connection whose greeting names the session; raises WireError if that is a lie."""
        nonce = check_hello(data, self.session)
        said, own = welcome(self.session, nonce)
        stream = Stream(self._io, sock, lambda: None)
        connection = self._connect(stream, nonce + own, dialled=False, first=said)
        # Until it has proved that it is there now, it is not believed, and not for ever.
        self._io.call_later(
            self._times.greet_s, lambda: None if connection is self._connection else connection.close()
        )

    def _connect(self, stream: Stream, nonces: bytes, *, dialled: bool, first: bytes = b"") -> DataConnection:
        connection = DataConnection(
            self.session,
            nonces,
            self,
            self._pulls,
            dialled=dialled,
            opened=self._opened,
            lost=lambda: self._lost(connection),
        )
        if first:
            stream.write(first)
        connection.start(stream)
        return connection

    def _opened(self, connection: DataConnection) -> None:
        if self._closed:
            connection.close()
            return
        before, self._connection = self._connection, connection
        if before is not None and before is not connection:
            before.close()
            self._shelf.broke(self.cell)
        self._watch.opened(time.monotonic())
        self._pulls.begin_again()
        self._tick_on()

    def _lost(self, connection: DataConnection) -> None:
        if connection is self._connection:
            self._connection = None
            if self._watch.lasted_s(time.monotonic()) > self._times.redial_s[1]:
                # Else one that breaks whenever it was made would be made without a rest.
                self._redial_s = self._times.redial_s[0]
            if self._address is not None and not self._closed:
                self._dial_again()
            self._shelf.broke(self.cell)

    @property
    def _dials(self) -> bool:
        return self._address is not None

    def _tick_on(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._io.call_later(self._times.tick_s, self._tick)

    def _tick(self) -> None:
        """Look at the connection; goes on while something is fetched, or this end keeps one."""
        connection, busy = self._connection, self._pulls.busy
        self._ticking = not self._closed and (busy or (self._dials and connection is not None))
        if not self._ticking:
            return
        now = time.monotonic()
        heard, came = (connection.heard, connection.came) if connection is not None else (0, 0)
        waiting = connection is not None and self._pulls.waiting
        dialled = connection is not None and self._dials
        verdict = self._watch.look(now, heard, came, busy=busy, waiting=waiting, dialled=dialled)
        if verdict is Verdict.GIVE_UP:
            words = f"nothing has come from {self.cell} for {self._watch.silent_s(now):.0f} s"
            self._pulls.fail_all(BlobError(words + self._why()))
        elif connection is not None and verdict is Verdict.ANEW:
            log.warning("nothing comes from %s: its data connection is made anew", self.cell)
            connection.close()
            self._lost(connection)
        elif connection is not None and verdict is Verdict.PING:
            connection.ping()
        self._io.call_later(self._times.tick_s, self._tick)

    def _why(self) -> str:
        if self._connection is not None:
            return ""
        if self._address is None:
            return ": it has no data connection to here; is a firewall between?"
        host, port = self._address
        return f": its data port {host}:{port} cannot be reached; is a firewall between?"
