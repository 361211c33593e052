"""Data ports: where data connections come in, and how they are dialled; the greeting, and nothing after it.

A peer that has not greeted costs one descriptor and 56 bytes, for a while. There are no more of them than
`MOST_STRANGERS`: the one that has been silent for longest goes when another comes.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import urllib.parse
from collections.abc import Callable
from typing import Any

from ..errors import WireError
from .data_frames import HELLO_BYTES
from .data_times import NORMAL, DataTimes
from .stream import Loop, Stream, tune

log = logging.getLogger(__name__)

MOST_STRANGERS = 64
#: When there are no descriptors left, so long nobody is let in.
REST_S = 1.0


class DataPort:
    """A listening socket whose callers greet.

    Args:
        greeted: called on the I/O thread with a greeting and the connection that it came on, whose owner it
            becomes; raises WireError to have it closed.
        ports: tried in order; 0 is any free one.

    Raises:
        WireError: nothing can listen there.
    """

    def __init__(
        self,
        io: Loop,
        greeted: Callable[[bytes, socket.socket], None],
        *,
        host: str = "*",
        ports: Any = (0,),
        times: DataTimes = NORMAL,
    ) -> None:
        self._io, self._greeted, self._times = io, greeted, times
        #: Those that have not greeted, the oldest first, and what calls off the end of their time.
        self._strangers: dict[Stream, Callable[[], None]] = {}
        self.refused = 0
        self._socket = _listen(host, ports)
        self.port = int(self._socket.getsockname()[1])
        io.call_soon(self._open)

    def __repr__(self) -> str:
        return f"<DataPort {self.port} · {len(self._strangers)} strangers>"

    def close(self) -> None:
        """Take no more; from any thread. Connections that were handed over stay."""
        self._io.call_soon(self.shut)

    def shut(self, linger_ms: int = 0) -> None:
        """See Closable."""
        if self._socket.fileno() >= 0:
            self._io.unwatch(self._socket.fileno())
            self._socket.close()
        for stream in list(self._strangers):
            self._forget(stream)
            stream.close()

    def _open(self) -> None:
        if self._socket.fileno() >= 0:
            self._io.watch(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            self._rest(error)
            return
        if len(self._strangers) >= MOST_STRANGERS:
            self._late(next(iter(self._strangers)))
        place = bytearray(HELLO_BYTES)
        stream = Stream(self._io, sock, lambda: self._forget(stream))
        self._strangers[stream] = self._io.call_later(self._times.greet_s, lambda: self._late(stream))
        stream.expect(memoryview(place), lambda: self._greet(stream, bytes(place)))

    def _rest(self, error: OSError) -> None:
        """Who waits to be let in would otherwise wake this thread again at once."""
        log.warning("%r lets nobody in for %g s: %s", self, REST_S, error.strerror or error)
        fd = self._socket.fileno()
        self._io.want(fd, read=False)
        self._io.call_later(REST_S, lambda: self._io.want(fd) if self._socket.fileno() == fd else None)

    def _forget(self, stream: Stream) -> None:
        call_off = self._strangers.pop(stream, None)
        if call_off is not None:
            call_off()

    def _greet(self, stream: Stream, data: bytes) -> None:
        self._forget(stream)
        sock = stream.give_up()
        try:
            self._greeted(data, sock)
        except WireError as error:
            self._refuse(str(error))
            with contextlib.suppress(OSError):
                sock.close()

    def _late(self, stream: Stream) -> None:
        if stream in self._strangers:
            self._refuse("one has not greeted")
            self._forget(stream)
            stream.close()

    def _refuse(self, why: str) -> None:
        if not self.refused:
            log.warning("%r: a connection is refused: %s; later ones are counted only", self, why)
        self.refused += 1


class Dialling:
    """A connection that is being made, on a thread of its own: names are looked up, which may take long.

    Args:
        then: called on the I/O thread with the connection, or with None if there is none.
        most_s: so long an address is tried.
    """

    def __init__(
        self,
        io: Loop,
        address: tuple[str, int],
        then: Callable[[socket.socket | None], None],
        most_s: float,
    ) -> None:
        self._io, self._address, self._then, self._most_s = io, address, then, most_s
        self._called_off = False
        threading.Thread(target=self._dial, name="fox-dial", daemon=True).start()

    def call_off(self) -> None:
        """Nobody needs it any more; on the I/O thread."""
        self._called_off = True

    def _dial(self) -> None:
        sock: socket.socket | None = None
        with contextlib.suppress(OSError):
            sock = socket.create_connection(self._address, self._most_s)
            tune(sock)
        self._io.call_soon(lambda: self._hand_over(sock))

    def _hand_over(self, sock: socket.socket | None) -> None:
        if not self._called_off:
            self._then(sock)
        elif sock is not None:
            sock.close()


def host_of(url: str) -> str:
    """Give the host that a link's url names."""
    return urllib.parse.urlsplit(url).hostname or ""


def _listen(host: str, ports: Any) -> socket.socket:
    place = "" if host == "*" else host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    why = ""
    for port in ports:
        try:
            sock = socket.create_server((place, port), family=family, backlog=128)
        except OSError as error:
            why = f"{error.strerror or error}"
            continue
        sock.setblocking(False)
        return sock
    raise WireError(f"nothing can listen for data at {host}, ports {list(ports)}: {why}")
