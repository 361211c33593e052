"""ZmqIo and its links: ZeroMQ over TCP, CURVE on every one of them.

Liveness is ZMTP's own: libzmq's threads send and answer pings without the GIL, so a training loop that
holds it is not taken for dead.

A dialling link puts the name of its cell before each message. A listening link knows a connection by the
id that its ROUTER makes up, checks the name against the connection's key once, and learns of its end by
the file descriptor that the socket's monitor names. (A name as ZeroMQ's own routing id would let any cell
with an allowed key take over the messages for any other one.)

Sources: ZMTP heartbeats RFC 37, CURVE RFC 25 (https://rfc.zeromq.org), zmq_socket_monitor(3).
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import zmq

from ..errors import LinkClosed, WireError
from .keys import Keys
from .link import Handler
from .zmq_loop import ZmqLoop
from .zmq_peers import Peer, Peers
from .zmq_socket import MOST_FRAME_BYTES, ZmqLink, numbers

log = logging.getLogger(__name__)

L = TypeVar("L", bound=ZmqLink)

_SHOOK = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH
#: Not HANDSHAKE_FAILED_PROTOCOL: libzmq 4.3.5 tells of a message that does not open by it, too, and looks at
#: errno only after that. If it is EAGAIN by then, the connection stays and is read no more; and if the other
#: end closes it before it counts as dead, the next heartbeat aborts the process.
_DIALLING = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
)


class ZmqIo(ZmqLoop):
    """The I/O thread of a process over ZeroMQ; see link.Io.

    Args:
        heartbeat_s: how often a quiet connection is tried.
        dead_after_s: how long a peer may leave that unanswered before it counts as down.
        redial_s: how long a dialler whose key was refused waits before it tries again.
    """

    def __init__(
        self, *, heartbeat_s: float = 10.0, dead_after_s: float = 30.0, redial_s: float = 5.0
    ) -> None:
        super().__init__(int(heartbeat_s * 1000), int(dead_after_s * 1000), redial_s)

    def listen(
        self,
        handler: Handler,
        keys: Keys,
        allowed: Mapping[str, str],
        *,
        host: str = "*",
        port: int = 0,
        ports: tuple[int, int] | None = None,
        most_frame_bytes: int = MOST_FRAME_BYTES,
    ) -> ZmqListener:
        """Make a link that cells with an allowed key can dial.

        Args:
            allowed: owner → public key. A cell may only be named as its key's owner, or below it.
            port: 0 takes a free one; `url` tells which.
            ports: with port 0, the first and last of those that may be taken.
            most_frame_bytes: of what comes; -1 among the ranks of one job, which send everything as it is.

        Raises:
            WireError: nothing can listen there.
        """

        def listen_at(port: int) -> ZmqListener:
            return self._open(lambda: ZmqListener(self, handler, keys, allowed, host, port, most_frame_bytes))

        first, last = (port, port) if port or ports is None else ports
        for one in range(first, last):
            with contextlib.suppress(WireError):
                return listen_at(one)
        return listen_at(last)

    def dial(
        self,
        url: str,
        name: str,
        handler: Handler,
        keys: Keys,
        server_key: str,
        *,
        most_frame_bytes: int = MOST_FRAME_BYTES,
    ) -> ZmqDialer:
        """Make a link to a listening one, as the cell of that name; it connects again by itself.

        One whose key was refused says so once in the log, and tries again slowly: it may be listed later.

        Args:
            most_frame_bytes: see `listen`.

        Raises:
            WireError: the url is none.
        """
        return self._open(lambda: ZmqDialer(self, url, name, handler, keys, server_key, most_frame_bytes))

    def _open(self, make: Callable[[], L]) -> L:
        with self.lock:
            if self.closed:
                raise LinkClosed("the I/O thread has ended")
            link = make()
            try:
                link.start()
            except (zmq.ZMQError, ValueError) as error:
                # A socket that stays open would keep the context from ending.
                link.shut(0)
                raise WireError(f"{link!r} cannot be opened: {error}") from error
            self.links.append(link)
        self.call_soon(link.open)
        return link


class ZmqListener(ZmqLink):
    """A ROUTER that many cells dial."""

    def __init__(
        self,
        io: ZmqIo,
        handler: Handler,
        keys: Keys,
        allowed: Mapping[str, str],
        host: str,
        port: int,
        most_frame_bytes: int,
    ) -> None:
        super().__init__(io, handler, keys, zmq.ROUTER, most_frame_bytes)
        self._peers = Peers(self._tell, io.refusals)
        self._domain = f"{keys.owner}-{next(numbers)}".encode()
        self._host, self.port, self._allowed = host, port, dict(allowed)

    def start(self) -> None:
        """See ZmqLink."""
        events = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
        self._configure(events | _SHOOK)
        self.io.allow(self._domain, self._allowed)
        self._socket.curve_server = True
        self._socket.zap_domain = self._domain
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.ipv6 = ":" in self._host
        host = f"[{self._host}]" if ":" in self._host else self._host
        self._socket.bind(f"tcp://{host}:{self.port or '*'}")
        self.port = int(bytes(self._socket.last_endpoint).rsplit(b":", 1)[1])

    def __repr__(self) -> str:
        return f"<ZmqListener {self.url} · {len(self._peers)} peers>"

    @property
    def url(self) -> str:
        """See Link; a wildcard host is told as loopback."""
        return self.urls([{"*": "127.0.0.1", "::": "::1"}.get(self._host, self._host)])[0]

    def urls(self, hosts: list[str]) -> tuple[str, ...]:
        """Give the addresses under which the named hosts would reach this link."""
        return tuple(f"tcp://{f'[{host}]' if ':' in host else host}:{self.port}" for host in hosts)

    def allow(self, allowed: Mapping[str, str]) -> None:
        """Let these keys in from now on, and cut the connections of others; from any thread."""
        self.io.call_soon(lambda: self._allow(dict(allowed)))

    def _allow(self, allowed: dict[str, str]) -> None:
        if self._socket.closed:
            return
        gone = {owner for owner, key in self._allowed.items() if allowed.get(owner) != key}
        self._allowed = allowed
        self.io.allow(self._domain, allowed)
        self._take_events()
        for fd in self._peers.evict(gone):
            # A ROUTER has no way to part from one peer: its connection is broken, as a bad line would do it.
            # Should the descriptor have been taken again since, some other peer dials once more.
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as connection:
                connection.shutdown(socket.SHUT_RDWR)

    def shut(self, linger_ms: int) -> None:
        """See ZmqLink."""
        super().shut(linger_ms)
        self.io.forget(self._domain)

    def _head(self, peer: str) -> bytes | None:
        return self._peers.id_of(peer)

    def _read_one(self, frames: list[Any]) -> None:
        id = frames[0].bytes
        peer = self._peers.get(id) or self._meet(id, frames[-1], frames[1:2])
        # A name alone is a greeting.
        if peer.welcome and len(frames) > 2:
            self._hand_over(peer.name, frames[2:])

    def _meet(self, id: bytes, last: Any, name: list[Any]) -> Peer:
        # Descriptors are used again: the end of the one before, which libzmq has told by now, comes first.
        self._take_events()
        try:
            owner = str(last.get("User-Id"))
        except zmq.ZMQError:
            owner = ""
        return self._peers.meet(id, bytes(name[0].bytes) if name else b"", owner, int(last.get(zmq.SRCFD)))

    def _event(self, event: int, value: int) -> None:
        if event == zmq.EVENT_ACCEPTED:
            self._peers.accepted(value)
        elif event & _SHOOK:
            self._peers.shook()
        elif self._peers.closed(value):
            words = f"{self.url} was dialled by something that speaks no CURVE, or has another server's key"
            self.io.refusals.note("no handshake", self.url, words)

    def _settle(self) -> None:
        self._peers.settle()


class ZmqDialer(ZmqLink):
    """A DEALER that dials one listening link, and dials again when the connection breaks."""

    def __init__(
        self,
        io: ZmqIo,
        url: str,
        name: str,
        handler: Handler,
        keys: Keys,
        server_key: str,
        most_frame_bytes: int,
    ) -> None:
        super().__init__(io, handler, keys, zmq.DEALER, most_frame_bytes)
        self._url, self._name, self._server_key = url, name.encode(), server_key
        self._up = self._broken = self._was_refused = False
        self._leave_it_to_libzmq: Callable[[], None] = lambda: None

    def start(self) -> None:
        """See ZmqLink."""
        self._configure(_DIALLING)
        self._socket.curve_serverkey = self._server_key.encode()
        self._socket.ipv6 = "[" in self._url
        self._socket.reconnect_ivl = 100
        self._socket.reconnect_ivl_max = 5000
        self._socket.connect(self._url)

    def __repr__(self) -> str:
        return f"<ZmqDialer {self._url} · {'up' if self._up else 'down'}>"

    @property
    def url(self) -> str:
        """See Link."""
        return self._url

    def _head(self, peer: str) -> bytes | None:
        return self._name

    def _read_one(self, frames: list[Any]) -> None:
        self._hand_over("", frames)

    def _event(self, event: int, value: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            if not self._was_refused:
                log.warning("%s refused the key of %s", self._url, self.keys.owner)
            self._was_refused = True
        elif event == zmq.EVENT_DISCONNECTED:
            self._broken = self._up
            self._leave_it_to_libzmq()
            self._leave_it_to_libzmq = self.io.call_later(self.io.redial_s, self._redial)
        elif event == zmq.EVENT_CONNECT_RETRIED:
            self._leave_it_to_libzmq()
        elif not self.closed:
            self._settle()
            self._up, self._was_refused = True, False
            # The greeting: the other end learns that this cell is there, even if it has nothing to say.
            self._send("", [])
            self._tell("", True)

    def _redial(self) -> None:
        if not self._socket.closed and (self._broken or not self._up):
            # After an error of protocol libzmq gives an address up, and dials it only if it is given anew.
            with contextlib.suppress(zmq.ZMQError):
                self._socket.disconnect(self._url)
            self._socket.connect(self._url)
            self.io.touch(self._socket)

    def _settle(self) -> None:
        if self._broken:
            self._broken = self._up = False
            self._tell("", False)
