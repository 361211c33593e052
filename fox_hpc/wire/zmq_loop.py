"""The I/O loop over ZeroMQ: what it waits for, who runs it, and how it is woken."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import zmq

from ..errors import FoxError
from .baton import STAY_S, Baton
from .link import Timers
from .refusals import Refusals
from .sources import Sources
from .zmq_guard import Guard

log = logging.getLogger(__name__)

LINGER_S = 5.0


class Closable(Protocol):
    """What a loop closes when it ends; on the I/O thread, and more than once."""

    def shut(self, linger_ms: int) -> None:
        """Close the sockets."""


class ZmqLoop:
    """The loop, its timers and its sockets; ZmqIo adds the making of links.

    It is run by a thread of its own, or by one that waits in `wait_for`: whichever holds the baton is
    "the I/O thread" at that time.
    """

    def __init__(self, heartbeat_ms: int, dead_after_ms: int, redial_s: float) -> None:
        self.heartbeat_ms, self.dead_after_ms, self.redial_s = heartbeat_ms, dead_after_ms, redial_s
        self.context = zmq.Context()
        self.closed = False
        self.links: list[Closable] = []
        self.lock = threading.Lock()
        self._sources = Sources()
        self.unwatch, self.want = self._sources.unwatch, self._sources.want
        #: A link says so when it has used its socket.
        self.touch = self._sources.touch
        self._soon: deque[Callable[[], None]] = deque()
        self._timers = Timers()
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_fd = self._wake_read.fileno()
        self._asleep = self._polls = False
        self._baton = Baton(self._wake)
        #: Chunks are on their way: they do not wait for the next guest.
        self._bulk = False
        self._close_by = math.inf
        self.watch(self._wake_fd, self._drain)
        self.refusals = Refusals()
        self._guard = Guard(self.context, self.refusals)
        self.allow, self.forget = self._guard.allow, self._guard.forget
        self.watch(self._guard.socket, self._guard.answer)
        self._thread = threading.Thread(target=self._loop, name="fox-io", daemon=True)
        self._thread.start()

    def call_soon(self, action: Callable[[], None]) -> None:
        """See Io."""
        self._soon.append(action)
        if self._baton.mine:
            return
        if self._baton.led:
            self._wake()
        else:
            self._baton.recall()

    def at_once(self, action: Callable[..., None], *arguments: Any) -> None:
        """Run now what touches only a socket or the timers, if nothing goes before it; else soon."""
        if self._soon:
            self.call_soon(partial(action, *arguments))
        elif self._baton.mine:
            self.guarded(action, *arguments)
        elif self._baton.seize():
            # Nobody is in the loop, which this thread enters for so long.
            try:
                self.guarded(action, *arguments)
            finally:
                self._baton.give()
        else:
            self.call_soon(partial(action, *arguments))

    def hurry(self) -> None:
        """See stream.Loop."""
        self._bulk = True

    def _wake(self) -> None:
        if self._asleep:
            self._asleep = False
            # The loop may end between the look and the write; then nobody needs to wake.
            with contextlib.suppress(OSError):
                self._wake_write.send(b"w")

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """See Io."""
        at, number = time.monotonic() + delay_s, self._timers.number()
        self.at_once(lambda: self._timers.add(number, at, action))
        return lambda: self.at_once(lambda: self._timers.remove(number))

    def wait_for(
        self, changed: threading.Condition, ready: Callable[[], bool], timeout: float | None = None, /
    ) -> bool:
        """See Io."""
        now = time.monotonic()
        ends = math.inf if timeout is None else now + timeout
        if self._lead(ready, now, ends):
            return True
        left = None if timeout is None else max(0.0, ends - time.monotonic())
        with self._baton.aside(), changed:
            return changed.wait_for(ready, left)

    def _lead(self, ready: Callable[[], bool], now: float, ends: float) -> bool:
        """Run the loop on this thread for a while, if it has to wait; tell whether it waits no more."""
        if ready():
            return True
        if self._baton.mine:
            return self._lead_again(ready, ends)
        if ends <= now or self.closed or not self._baton.enter():
            return False
        found = False
        try:
            # The own thread steps back as soon as it has done what it is at.
            if self._baton.take(-1 if ends == math.inf else ends - now):
                now = time.monotonic()
                ends = min(ends, now + STAY_S)
                try:
                    while not (found := ready()) and not self.closed and now < ends:
                        now = self._once(now, ends)
                finally:
                    self._baton.give()
        finally:
            self._baton.leave(recall=self._in_a_hurry())
        return found or ready()

    def _lead_again(self, ready: Callable[[], bool], ends: float) -> bool:
        """Like `_lead`, for a signal's handler in user code that has caught this thread in the loop."""
        if not self._polls:
            raise FoxError(
                "a wait that began amidst a message, maybe in a signal's handler, would never end: "
                "let the handler set a flag, and wait where that is looked at"
            )
        try:
            now = time.monotonic()
            while not ready() and not self.closed and now < ends:
                now = self._once(now, min(ends, now + STAY_S))
        finally:
            # The wait that was interrupted goes on.
            self._polls = True
        return ready()

    def close(self) -> None:
        """See Io; what was sent has LINGER_S to leave. On the I/O thread itself it returns before the end."""
        with self.lock:
            self._close_by = min(self._close_by, time.monotonic() + LINGER_S)
            self.closed = True
        self.call_soon(lambda: None)
        if threading.current_thread() is not self._thread and not self._baton.mine:
            self._thread.join()

    def watch(
        self, source: Any, reader: Callable[[], None], writer: Callable[[], None] | None = None
    ) -> None:
        """Call `reader` whenever `source` can be read; on the I/O thread, or before it runs.

        Args:
            source: a descriptor, or a socket of ZeroMQ.
            writer: called when `source` can be written, once `want` says that this is waited for.
        """
        self._sources.watch(source, reader, writer)

    def guarded(self, action: Callable[..., None], *arguments: Any) -> None:
        """Run what others gave; whatever it raises is logged, and the thread goes on."""
        try:
            action(*arguments)
        except Exception:
            log.exception("the I/O thread goes on after an error")

    def _loop(self) -> None:
        try:
            while self._goes_on():
                with self._baton.owned():
                    now = time.monotonic()
                    while self._goes_on() and not self._baton.guest:
                        now = self._once(now)
                if not self.closed:
                    self._baton.stand_by(self._in_a_hurry)
        finally:
            self.closed = True
            # A guest sees that it is closed, and leaves.
            with self._baton.owned():
                self._shut()

    def _goes_on(self) -> bool:
        return not self.closed or (bool(self._soon) and time.monotonic() < self._close_by)

    def _in_a_hurry(self) -> bool:
        return bool(self._soon) or self._bulk or self.closed

    def _shut(self) -> None:
        for link in list(self.links):
            link.shut(int(LINGER_S * 1000))
        self._guard.socket.close(0)
        self.context.term()
        self._sources.close()
        self._wake_read.close()
        self._wake_write.close()

    def _once(self, now: float, ends: float = math.inf) -> float:
        """Do what is due, wait until `ends` at most, and do what comes; gives the time after it."""
        # Timers first: whoever waits for what comes goes on with it at once.
        for action in self._timers.due(now):
            self.guarded(action)
        # _asleep is set before the last look at _soon, and at who waits to be the guest: whoever changes that
        # after the look writes a wake byte.
        self._asleep = self._polls = True
        ready = self._sources.wait(self._wait_s(now, ends))
        self._asleep = self._polls = self._bulk = False
        for source, events in ready:
            source.turn(events, self.guarded)
        if self._soon:
            for _ in range(len(self._soon)):
                self.guarded(self._soon.popleft())
        return time.monotonic()

    def _wait_s(self, now: float, ends: float) -> float | None:
        """Say how long to sleep: a guest until `ends`; the own thread, which has no end, until one comes."""
        if self._soon or self.closed or (ends == math.inf and self._baton.guest):
            return 0
        until = min(ends, self._timers.next_at())
        return None if until == math.inf else max(0.0, until - now)

    def _drain(self) -> None:
        self._wake_read.recv(4096)
