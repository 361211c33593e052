"""What listening and dialling links over ZeroMQ share: one socket, its monitor, and how both are read."""

from __future__ import annotations

import itertools
import logging
from abc import ABC, abstractmethod
from typing import Any

import zmq

from ..errors import LinkClosed
from .keys import Keys
from .link import Frames, Handler
from .zmq_loop import LINGER_S, ZmqLoop
from .zmq_monitor import read_event

log = logging.getLogger(__name__)

_NOW, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
#: A frame that comes may be no larger; nothing is read of one that is. Big payloads go as blobs: what is left
#: is at most one logged thing (metric.MOST_ENTRY_BYTES) and what is said around it.
MOST_FRAME_BYTES = 16 * 2**20
#: Make names unique in this process.
numbers = itertools.count(1)


class ZmqLink(ABC):
    """What listening and dialling links share; see link.Link."""

    def __init__(self, io: ZmqLoop, handler: Handler, keys: Keys, kind: int, most_frame_bytes: int) -> None:
        self.io, self.handler, self.keys = io, handler, keys
        self.closed = self._writing = False
        self._socket: Any = io.context.socket(kind)
        self._monitor: Any = io.context.socket(zmq.PAIR)
        self._most_frame_bytes = most_frame_bytes

    @abstractmethod
    def start(self) -> None:
        """Begin to listen or to dial; raises ZMQError or ValueError."""

    def _configure(self, events: int) -> None:
        """Set what both kinds of link have; raises ZMQError or ValueError."""
        self._socket.linger = 0
        self._socket.sndhwm = self._socket.rcvhwm = 0
        self._socket.maxmsgsize = self._most_frame_bytes
        self._socket.curve_secretkey = self.keys.secret.encode()
        self._socket.curve_publickey = self.keys.public.encode()
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, self.io.heartbeat_ms)
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, self.io.dead_after_ms)
        self._socket.setsockopt(zmq.HEARTBEAT_TTL, self.io.dead_after_ms)
        # Heartbeats begin after the handshake, which may hang as well.
        self._socket.handshake_ivl = self.io.dead_after_ms
        # Not get_monitor_socket: its queue is bounded, and a full one would stop libzmq's own thread.
        address = f"inproc://fox-monitor-{next(numbers)}"
        self._socket.monitor(address, events)
        self._monitor.rcvhwm = 0
        self._monitor.connect(address)

    @property
    @abstractmethod
    def url(self) -> str:
        """See Link."""

    def open(self) -> None:
        """Begin to read; on the I/O thread."""
        if not self._socket.closed:
            self.io.watch(self._monitor, self._read_monitor)
            self.io.watch(self._socket, self._read_all)

    def send(self, peer: str, frames: Frames) -> None:
        """See Link."""
        if self.closed:
            raise LinkClosed(f"{self!r} is closed")
        self.io.at_once(lambda: self._send(peer, frames))

    def close(self) -> None:
        """See Link."""
        self.closed = True
        self.io.call_soon(lambda: self.shut(int(LINGER_S * 1000)))

    def shut(self, linger_ms: int) -> None:
        """Close the sockets; on the I/O thread, or before the link was opened."""
        self.closed = True
        if not self._socket.closed:
            for source in (self._socket, self._monitor):
                self.io.unwatch(source)
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._socket.close(linger_ms)
        if self in self.io.links:
            self.io.links.remove(self)

    def _send(self, peer: str, frames: Frames) -> None:
        if self._writing:
            # A signal's handler in user code calls, and has caught this thread between two frames.
            self.io.call_soon(lambda: self._send(peer, frames))
            return
        head = None if self._socket.closed else self._head(peer)
        try:
            if head is None:
                raise zmq.Again
            self._write([head, *frames])
        except (zmq.Again, zmq.ZMQError) as error:
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            log.debug("%r: nobody is there, a message to %s is dropped", self, peer or "it")

    def _write(self, frames: list[Any]) -> None:
        # send_multipart looks at each frame once more, which takes as long as the sending.
        send = self._socket.send
        self._writing = True
        try:
            for frame in frames[:-1]:
                send(frame, _MORE, False)
            send(frames[-1], _NOW, False)
        finally:
            self._writing = False
            self.io.touch(self._socket)

    def _read_all(self) -> None:
        # A bounded batch, so that one busy link does not keep the others waiting.
        receive = self._socket.recv
        for _ in range(64):
            if self.closed:
                return
            try:
                frames = [receive(_NOW, False)]
            except zmq.Again:
                self._settle()
                return
            while frames[-1].more:
                # The others are there: messages come whole.
                frames.append(receive(_NOW, False))
            self._read_one(frames)

    def _read_monitor(self) -> None:
        self._take_events()
        self.io.touch(self._socket)
        # What a peer sent before it went is told before its going: that waits until nothing is to be read.
        if not self.closed and not self._socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            self._settle()

    def _take_events(self) -> None:
        while self._monitor.getsockopt(zmq.EVENTS) & zmq.POLLIN:
            self._event(*read_event(self._monitor))

    def _tell(self, peer: str, up: bool) -> None:
        if not self.closed:
            self.io.guarded(lambda: self.handler.peer_changed(self, peer, up))

    def _hand_over(self, peer: str, frames: list[Any]) -> None:
        self.io.guarded(lambda: self.handler.received(self, peer, frames))

    @abstractmethod
    def _head(self, peer: str) -> bytes | None:
        """Give the first frame of a message to a peer, None if there is no such peer."""

    @abstractmethod
    def _read_one(self, frames: list[Any]) -> None: ...

    @abstractmethod
    def _event(self, event: int, value: int) -> None: ...

    @abstractmethod
    def _settle(self) -> None:
        """Tell which peers are down: everything that came from them has been read."""
