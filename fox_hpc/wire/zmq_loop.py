"""The I/O thread over ZeroMQ: what it waits for, how it is woken, and who may come in.

Sources: ZAP is RFC 27 (https://rfc.zeromq.org); a context has one handler, at a fixed inproc address.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import zmq
import zmq.utils.z85

from .link import Timers
from .refusals import Refusals

log = logging.getLogger(__name__)

LINGER_S = 5.0


class Closable(Protocol):
    """What a loop closes when it ends; on the I/O thread, and more than once."""

    def shut(self, linger_ms: int) -> None:
        """Close the sockets."""


class ZmqLoop:
    """The thread, its timers and its sockets; ZmqIo adds the making of links."""

    def __init__(self, heartbeat_ms: int, dead_after_ms: int, redial_s: float) -> None:
        self.heartbeat_ms, self.dead_after_ms, self.redial_s = heartbeat_ms, dead_after_ms, redial_s
        self.context = zmq.Context()
        self.closed = False
        self.links: list[Closable] = []
        self.lock = threading.Lock()
        self._poller = zmq.Poller()
        self._readers: dict[Any, Callable[[], None]] = {}
        self._writers: dict[Any, Callable[[], None]] = {}
        self._soon: deque[Callable[[], None]] = deque()
        self._timers = Timers()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._asleep = False
        self._close_by = math.inf
        self.watch(self._wake_read.fileno(), self._drain)
        self.refusals = Refusals()
        self._guard = Guard(self.context, self.refusals)
        self.allow, self.forget = self._guard.allow, self._guard.forget
        self.watch(self._guard.socket, self._guard.answer)
        self._thread = threading.Thread(target=self._loop, name="fox-io", daemon=True)
        self._thread.start()

    def call_soon(self, action: Callable[[], None]) -> None:
        """See Io."""
        self._soon.append(action)
        if self._asleep and threading.current_thread() is not self._thread:
            self._asleep = False
            # The thread may end between the look and the write; then nobody needs to wake.
            with contextlib.suppress(OSError):
                self._wake_write.send(b"w")

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """See Io."""
        at, number = time.monotonic() + delay_s, self._timers.number()
        self.call_soon(lambda: self._timers.add(number, at, action))
        return lambda: self.call_soon(lambda: self._timers.remove(number))

    def close(self) -> None:
        """See Io; what was sent has LINGER_S to leave. On the I/O thread itself it returns before the end."""
        with self.lock:
            self._close_by = min(self._close_by, time.monotonic() + LINGER_S)
            self.closed = True
        self.call_soon(lambda: None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def watch(
        self, source: Any, reader: Callable[[], None], writer: Callable[[], None] | None = None
    ) -> None:
        """Call `reader` whenever `source` can be read; on the I/O thread, or before it runs.

        Args:
            writer: called when `source` can be written, once `want` says that this is waited for.
        """
        self._readers[source] = reader
        if writer is not None:
            self._writers[source] = writer
        self._poller.register(source, zmq.POLLIN)

    def unwatch(self, source: Any) -> None:
        """Undo `watch`, if it was done."""
        self._writers.pop(source, None)
        # One that is waited for neither way is not with the poller.
        if self._readers.pop(source, None) is not None and source in self._poller:
            self._poller.unregister(source)

    def want(self, source: Any, *, read: bool = True, write: bool = False) -> None:
        """Say what a watched source is waited for."""
        if source in self._readers:
            self._poller.register(source, (zmq.POLLIN if read else 0) | (zmq.POLLOUT if write else 0))

    def guarded(self, action: Callable[[], None]) -> None:
        """Run what others gave; whatever it raises is logged, and the thread goes on."""
        try:
            action()
        except Exception:
            log.exception("the I/O thread goes on after an error")

    def _loop(self) -> None:
        try:
            while not self.closed or (self._soon and time.monotonic() < self._close_by):
                self._once()
        finally:
            self.closed = True
            for link in list(self.links):
                link.shut(int(LINGER_S * 1000))
            self._guard.socket.close(0)
            self.context.term()
            self._wake_read.close()
            self._wake_write.close()

    def _once(self) -> None:
        # _asleep is set before the last look at _soon: whoever appends after that look writes a wake byte.
        self._asleep = True
        wait_s = 0 if self._soon else self._timers.wait_s(time.monotonic())
        ready = self._poller.poll(None if wait_s is None else math.ceil(wait_s * 1000))
        self._asleep = False
        for source, events in ready:
            # An error is told to the reader, who meets it when he reads.
            if events & ~zmq.POLLOUT:
                self._turn(self._readers.get(source))
            if events & zmq.POLLOUT:
                self._turn(self._writers.get(source))
        for action in self._timers.due(time.monotonic()):
            self.guarded(action)
        for _ in range(len(self._soon)):
            self.guarded(self._soon.popleft())

    def _turn(self, action: Callable[[], None] | None) -> None:
        if action is not None:
            self.guarded(action)

    def _drain(self) -> None:
        self._wake_read.recv(4096)


class Guard:
    """The ZAP handler of a context: tells libzmq which keys may come in, and whose they are."""

    def __init__(self, context: Any, refusals: Refusals) -> None:
        self._refusals = refusals
        self.socket: Any = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind("inproc://zeromq.zap.01")
        self._owners: dict[bytes, dict[bytes, str]] = {}

    def allow(self, domain: bytes, owners: Mapping[str, str]) -> None:
        """Let the owners (name → public key) in at the listening link of that domain, and nobody else."""
        self._owners[domain] = {zmq.utils.z85.decode(public): owner for owner, public in owners.items()}

    def forget(self, domain: bytes) -> None:
        """The link of that domain is gone."""
        self._owners.pop(domain, None)

    def answer(self) -> None:
        """Answer one request."""
        try:
            request: list[bytes] = self.socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        # Whatever came is answered: a REP socket that owes an answer lets nobody in any more.
        self.socket.send_multipart(self._reply(request))

    def _reply(self, request: list[bytes]) -> list[bytes]:
        # A request: version, id, domain, address, identity, mechanism, credentials (RFC 27).
        if len(request) < 6 or request[0] != b"1.0":
            number = request[1] if len(request) > 1 else b""
            return [b"1.0", number, b"500", b"this is not a ZAP 1.0 request", b"", b""]
        _version, number, domain, address, _identity, mechanism, *credentials = request
        key = credentials[0] if mechanism == b"CURVE" and credentials else b""
        owner = self._owners.get(domain, {}).get(key)
        if owner is None:
            shown, who = zmq.utils.z85.encode(key)[:8].decode() or "none", address.decode("utf-8", "replace")
            self._refusals.note(
                "unlisted key", shown, f"{who} came with key {shown}…, which is not on the list"
            )
            return [b"1.0", number, b"400", b"this key is not allowed", b"", b""]
        return [b"1.0", number, b"200", b"OK", owner.encode(), b""]
