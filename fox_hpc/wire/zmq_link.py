"""ZmqIo and its links: ZeroMQ over TCP, CURVE on every one of them.

Liveness is ZMTP's own: libzmq's threads send and answer pings without the GIL, so a training loop that
holds it is not taken for dead. A listening link tells which peer went down by the file descriptor that
its messages came from, which the socket's monitor names when it closes.

Sources: ZMTP heartbeats RFC 37, CURVE RFC 25, ZAP RFC 27 (https://rfc.zeromq.org), zmq_socket_monitor(3).
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import zmq
import zmq.utils.monitor
import zmq.utils.z85

from ..errors import LinkClosed, NotAllowed, WireError
from .keys import Keys
from .link import Frames, Handler, Timers

log = logging.getLogger(__name__)

HEARTBEAT_MS = 10_000
DEAD_AFTER_MS = 30_000
LINGER_S = 5.0
_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL


class ZmqIo:
    """The I/O thread of a process over ZeroMQ; see link.Io."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self._poller = zmq.Poller()
        self._readers: dict[Any, Callable[[], None]] = {}
        self._soon: deque[Callable[[], None]] = deque()
        self._timers = Timers()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._asleep = False
        self._closed = False
        self._links: list[ZmqLink] = []
        self._allowed: dict[bytes, dict[bytes, str]] = {}
        self.watch(self._wake_read.fileno(), self._drain)
        self._zap = self.context.socket(zmq.REP)
        self._zap.linger = 0
        self._zap.bind("inproc://zeromq.zap.01")
        self.watch(self._zap, self._authenticate)
        self._thread = threading.Thread(target=self._loop, name="fox-io", daemon=True)
        self._thread.start()

    def listen(
        self, handler: Handler, keys: Keys, allowed: Mapping[str, str], *, host: str = "*", port: int = 0
    ) -> ZmqListener:
        """Make a link that cells with an allowed key can dial.

        Args:
            allowed: owner → public key. A cell may only be named as its key's owner, or below it.
            port: 0 takes a free one; `url` tells which.
        """
        link = ZmqListener(self, handler, keys, host, port)
        domain = link.domain
        self._allowed[domain] = {public.encode(): owner for owner, public in allowed.items()}
        self._add(link)
        return link

    def dial(self, url: str, name: str, handler: Handler, keys: Keys, server_key: str) -> ZmqDialer:
        """Make a link to a listening one, as the cell of that name; it connects again by itself."""
        link = ZmqDialer(self, url, name, handler, keys, server_key)
        self._add(link)
        return link

    def _add(self, link: ZmqLink) -> None:
        self._links.append(link)
        self.call_soon(link.open)

    def call_soon(self, action: Callable[[], None]) -> None:
        """See Io."""
        self._soon.append(action)
        if self._asleep and threading.current_thread() is not self._thread:
            self._asleep = False
            self._wake_write.send(b"w")

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """See Io."""
        at, number = time.monotonic() + delay_s, []
        self.call_soon(lambda: number.append(self._timers.add(at, action)))
        return lambda: self.call_soon(lambda: self._timers.remove(number[0]))

    def close(self) -> None:
        """See Io."""
        if not self._closed:
            self._closed = True
            self.call_soon(lambda: None)
            self._thread.join()

    def watch(self, source: Any, reader: Callable[[], None]) -> None:
        """Call `reader` whenever `source` can be read; on the I/O thread, or before it runs."""
        self._readers[source] = reader
        self._poller.register(source, zmq.POLLIN)

    def unwatch(self, source: Any) -> None:
        """Undo `watch`."""
        del self._readers[source]
        self._poller.unregister(source)

    def _loop(self) -> None:
        try:
            while not (self._closed and not self._soon):
                self._once()
        finally:
            for link in self._links:
                link.shut(int(LINGER_S * 1000))
            self._zap.close()
            self.context.term()
            self._wake_read.close()
            self._wake_write.close()

    def _once(self) -> None:
        # _asleep is set before the last look at _soon: whoever appends after that look writes a wake byte.
        self._asleep = True
        wait_s = 0 if self._soon else self._timers.wait_s(time.monotonic())
        ready = self._poller.poll(None if wait_s is None else math.ceil(wait_s * 1000))
        self._asleep = False
        for source, _ in ready:
            reader = self._readers.get(source)
            if reader is not None:
                self._guarded(reader)
        for action in self._timers.due(time.monotonic()):
            self._guarded(action)
        for _ in range(len(self._soon)):
            self._guarded(self._soon.popleft())

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception:
            log.exception("the I/O thread goes on after an error")

    def _drain(self) -> None:
        self._wake_read.recv(4096)

    def _authenticate(self) -> None:
        # ZAP request: version, id, domain, address, identity, mechanism, credentials (RFC 27).
        request: list[Any] = self._zap.recv_multipart()
        version, number, domain, _address, _identity, mechanism, *credentials = request
        key = zmq.utils.z85.encode(credentials[0]) if mechanism == b"CURVE" and credentials else b""
        owner = self._allowed.get(domain, {}).get(key)
        status = (b"200", b"OK", owner.encode()) if owner else (b"400", b"this key is not allowed", b"")
        self._zap.send_multipart([version, number, *status, b""])


class ZmqLink:
    """What listening and dialling links share; see link.Link."""

    kind: int

    def __init__(self, io: ZmqIo, handler: Handler, keys: Keys) -> None:
        self.io, self.handler, self.keys = io, handler, keys
        self.closed = False
        self._socket: Any = io.context.socket(self.kind)
        self._socket.linger = 0
        self._socket.sndhwm = self._socket.rcvhwm = 0
        self._socket.curve_secretkey = keys.secret.encode()
        self._socket.curve_publickey = keys.public.encode()
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, DEAD_AFTER_MS)
        self._socket.setsockopt(zmq.HEARTBEAT_TTL, DEAD_AFTER_MS)
        self._monitor: Any = None

    def open(self) -> None:
        """Begin to read; on the I/O thread."""
        self.io.watch(self._socket, self._read_all)
        self.io.watch(self._monitor, self._read_monitor)

    def send(self, peer: str, frames: Frames) -> None:
        """See Link."""
        if self.closed:
            raise LinkClosed(f"{self!r} is closed")
        self.io.call_soon(lambda: self._send(peer, frames))

    def close(self) -> None:
        """See Link."""
        self.closed = True
        self.io.call_soon(lambda: self.shut(int(LINGER_S * 1000)))

    def shut(self, linger_ms: int) -> None:
        """Close the sockets; on the I/O thread."""
        self.closed = True
        if not self._socket.closed:
            for source in (self._socket, self._monitor):
                if source in self.io._readers:
                    self.io.unwatch(source)
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._socket.close(linger_ms)

    def _send(self, peer: str, frames: Frames) -> None:
        raise NotImplementedError

    def _read_all(self) -> None:
        # A bounded batch, so that one busy link does not keep the others waiting.
        for _ in range(64):
            if not self._socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
                return
            self._read_one(self._socket.recv_multipart(copy=False))

    def _read_one(self, frames: list[Any]) -> None:
        raise NotImplementedError

    def _read_monitor(self) -> None:
        while self._monitor.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            event = zmq.utils.monitor.recv_monitor_message(self._monitor)
            self._event(int(event["event"]), int(event["value"]))

    def _event(self, event: int, value: int) -> None:
        raise NotImplementedError


class ZmqListener(ZmqLink):
    """A ROUTER that many cells dial."""

    kind = zmq.ROUTER

    def __init__(self, io: ZmqIo, handler: Handler, keys: Keys, host: str, port: int) -> None:
        super().__init__(io, handler, keys)
        self.domain = f"{keys.owner}-{id(self)}".encode()
        self._by_fd: dict[int, str] = {}
        self._fds: dict[str, int] = {}
        self._socket.curve_server = True
        self._socket.zap_domain = self.domain
        # A cell that connects again takes over its name from the connection that broke.
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.ipv6 = ":" in host
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED)
        try:
            self._socket.bind(f"tcp://{f'[{host}]' if ':' in host else host}:{port or '*'}")
        except zmq.ZMQError as error:
            raise WireError(f"cannot listen on {host}:{port}: {error}") from error
        self.port = int(bytes(self._socket.last_endpoint).rsplit(b":", 1)[1])
        self._host = host

    def __repr__(self) -> str:
        return f"<ZmqListener {self.url} · {len(self._fds)} peers>"

    @property
    def url(self) -> str:
        """See Link; a wildcard host is told as loopback."""
        return f"tcp://{'127.0.0.1' if self._host == '*' else self._host}:{self.port}"

    def urls(self, hosts: list[str]) -> tuple[str, ...]:
        """Give the addresses under which the named hosts would reach this link."""
        return tuple(f"tcp://{f'[{host}]' if ':' in host else host}:{self.port}" for host in hosts)

    def _send(self, peer: str, frames: Frames) -> None:
        try:
            self._socket.send_multipart([peer.encode(), *frames], copy=False)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            log.debug("%r: %s is not there, a message is dropped", self, peer)

    def _read_one(self, frames: list[Any]) -> None:
        peer = frames[0].bytes.decode("utf-8", "replace")
        try:
            owner = str(frames[-1].get("User-Id"))
        except zmq.ZMQError:
            owner = ""
        if not owner or (peer != owner and not peer.startswith(owner + ".")):
            log.warning("%s", NotAllowed(f"a cell with the key of {owner or 'nobody'} calls itself {peer}"))
            return
        fd: int = frames[-1].get(zmq.SRCFD)
        if self._by_fd.get(fd) != peer:
            # Descriptors are used again: the end of the one before must be seen first.
            self._read_monitor()
            old = self._fds.get(peer)
            if old is not None:
                self._by_fd.pop(old, None)
            self._by_fd[fd], self._fds[peer] = peer, fd
            self.handler.peer_changed(self, peer, True)
        self.handler.received(self, peer, frames[1:])

    def _event(self, event: int, value: int) -> None:
        peer = self._by_fd.pop(value, None)
        if peer is not None and self._fds.get(peer) == value:
            del self._fds[peer]
            self.handler.peer_changed(self, peer, False)


class ZmqDialer(ZmqLink):
    """A DEALER that dials one listening link, and dials again when the connection breaks."""

    kind = zmq.DEALER

    def __init__(self, io: ZmqIo, url: str, name: str, handler: Handler, keys: Keys, server_key: str) -> None:
        super().__init__(io, handler, keys)
        self._url, self._up = url, False
        self._socket.curve_serverkey = server_key.encode()
        self._socket.routing_id = name.encode()
        self._socket.ipv6 = "[" in url
        self._socket.reconnect_ivl = 100
        self._socket.reconnect_ivl_max = 5000
        self._monitor = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _REFUSED
        )
        try:
            self._socket.connect(url)
        except zmq.ZMQError as error:
            raise WireError(f"{url} is not an address that can be dialled: {error}") from error

    def __repr__(self) -> str:
        return f"<ZmqDialer {self._url} · {'up' if self._up else 'down'}>"

    @property
    def url(self) -> str:
        """See Link."""
        return self._url

    def _send(self, peer: str, frames: Frames) -> None:
        self._socket.send_multipart(frames, copy=False)

    def _read_one(self, frames: list[Any]) -> None:
        self.handler.received(self, "", frames)

    def _event(self, event: int, value: int) -> None:
        if event & _REFUSED:
            log.warning("%s refused this key (%s)", self._url, self.keys.owner)
        up = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        if up != self._up:
            self._up = up
            self.handler.peer_changed(self, "", up)
