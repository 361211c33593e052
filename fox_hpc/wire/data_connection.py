"""DataConnection: two cells that share a session ask each other for chunks over one stream, and say what is
small.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..errors import BlobError, WireError
from .blob import CHUNK_BYTES
from .data_frames import HEADER_BYTES, Header, Kind, Reader, Writer
from .pulls import Pulls
from .session import Session
from .stream import Stream

log = logging.getLogger(__name__)

#: So many chunks may be asked for and not sent; nobody asks for as many.
MOST_ASKED = 4096


class Shelf(Protocol):
    """Where the chunks are that the other end may ask for."""

    def chunk(self, id: bytes, number: int) -> tuple[memoryview, bytes]:
        """Give a chunk, sealed, and its tag; raises BlobError if it cannot be had."""

    def got(self, id: bytes) -> None:
        """The other end has the whole blob."""

    def came(self, frames: list[Any]) -> None:
        """The other end says this; must not raise."""


class DataConnection:
    """One connection, greeted; both ends may ask and are asked.

    Args:
        nonces: of the dialling and of the accepting end, joined.
        dialled: True at the end that dialled.
        opened: called when the other end has proved that it is there now; an accepting end waits for that.
        lost: called once, when the connection is gone.
    """

    def __init__(
        self,
        session: Session,
        nonces: bytes,
        shelf: Shelf,
        pulls: Pulls,
        *,
        dialled: bool,
        opened: Callable[[DataConnection], None],
        lost: Callable[[], None],
    ) -> None:
        self._writer = Writer(session.stream_keys(nonces, dialled))
        self._reader = Reader(session.stream_keys(nonces, not dialled), CHUNK_BYTES)
        self._shelf, self._pulls, self._opened, self._lost = shelf, pulls, opened, lost
        self._dialled = dialled
        self._stream: Stream | None = None
        self._said = b""
        self._asked_of_us: deque[tuple[bytes, int]] = deque()
        self._spoken = 0

    @property
    def heard(self) -> int:
        """Bytes that have come; by them a connection on which nothing comes is found."""
        return self._stream.heard if self._stream is not None else 0

    @property
    def came(self) -> int:
        """Of these, those of chunks."""
        return self.heard - self._spoken

    @property
    def closed(self) -> bool:
        """True once it has ended."""
        return self._stream is not None and self._stream.closed

    def start(self, stream: Stream) -> None:
        """Use this stream from its next byte on."""
        self._stream, self._spoken = stream, stream.heard
        stream.lost, stream.refill = self._lost, self.refill
        stream.read_ahead()
        self._next_header()
        if self._dialled:
            # Opened first: should the connection break with the first word, the loss of an open one is told.
            self._opened(self)
            self._say(Header(Kind.OPEN))
            self.ask()

    def ping(self) -> None:
        """Ask whether the other end is there; it says something."""
        self._say(Header(Kind.PING))

    def say(self, frames: Sequence[Any]) -> None:
        """Send a small message, after what was sent before."""
        if self._stream is not None and not self._stream.closed:
            self._stream.write_small(self._writer.message(frames))

    def listen(self) -> None:
        """Take what has come by now."""
        if self._stream is not None:
            self._stream.read()

    def ask(self) -> None:
        """Ask for what is wanted, as far as the window allows."""
        if self.closed:
            return
        for id, number in self._pulls.next_wanted():
            self._say(Header(Kind.WANT, number, 0, id))

    def close(self) -> None:
        """Let go of the connection at once; `lost` is not called."""
        if self._stream is not None:
            self._stream.close()

    def refill(self) -> None:
        """All that was said has left: go on with the chunks that were asked for."""
        while self._asked_of_us:
            id, number = self._asked_of_us.popleft()
            try:
                place, tag = self._shelf.chunk(id, number)
            except BlobError as error:
                log.debug("chunk %d of blob %s is not sent: %s", number, id.hex()[:8], error)
                self._say(Header(Kind.GONE, 0, 0, id))
                continue
            self._say(Header(Kind.CHUNK, number, place.nbytes, id, tag), place)
            return

    def _say(self, header: Header, *body: memoryview | bytes) -> None:
        if self._stream is not None and not self._stream.closed:
            self._stream.write(self._writer.header(header), *body)

    def _next_header(self) -> None:
        assert self._stream is not None
        self._stream.expect_piece(HEADER_BYTES, self._take_header)

    def _take_header(self, piece: memoryview) -> None:
        self._said = said = bytes(piece)
        self._spoken += HEADER_BYTES
        try:
            size = self._reader.message_size(said)
            if size:
                assert self._stream is not None
                self._stream.expect_piece(size, self._take_message)
            else:
                self._take(self._reader.header(said))
        except WireError as error:
            self._break(error)

    def _take_message(self, sealed: memoryview) -> None:
        self._spoken += len(sealed)
        self._next_header()
        try:
            frames = self._reader.message(self._said, sealed)
        except WireError as error:
            self._break(error)
        else:
            self._shelf.came(frames)

    def _break(self, error: WireError) -> None:
        log.warning("a data connection is ended: %s", error)
        self.close()
        self._lost()

    def _take(self, header: Header) -> None:
        if header.kind is Kind.CHUNK:
            self._take_chunk(header)
            return
        self._next_header()
        if header.kind is Kind.OPEN:
            if not self._dialled:
                self._opened(self)
                self.ask()
        elif header.kind is Kind.PING:
            self._say(Header(Kind.PONG))
        elif header.kind is Kind.WANT:
            if len(self._asked_of_us) >= MOST_ASKED:
                raise WireError(f"more than {MOST_ASKED} chunks are asked for at once")
            self._asked_of_us.append((header.blob, header.number))
            if self._stream is not None and not self._stream.busy:
                self.refill()
        elif header.kind is Kind.GOT:
            self._shelf.got(header.blob)
        elif header.kind is Kind.GONE:
            self._pulls.fail(header.blob, BlobError("the other end does not hold these bytes any more"))

    def _take_chunk(self, header: Header) -> None:
        assert self._stream is not None
        if not header.size:
            raise WireError("a chunk without bytes came")
        self._stream.expect(self._place_of_chunk(header), lambda: self._chunk_arrived(header))

    def _place_of_chunk(self, header: Header) -> memoryview:
        place = self._pulls.place(header.blob, header.number)
        if place is None:
            return memoryview(bytearray(header.size))
        if place.nbytes != header.size:
            raise WireError(f"a chunk of {header.size} bytes came where {place.nbytes} are right")
        return place

    def _chunk_arrived(self, header: Header) -> None:
        self._next_header()
        try:
            if self._pulls.arrived(header.blob, header.number, header.tag):
                self._say(Header(Kind.GOT, 0, 0, header.blob))
        except BlobError as error:
            self._break(error)
        finally:
            # Whatever the receiver of a whole blob made of it: the others are still wanted.
            self.ask()
