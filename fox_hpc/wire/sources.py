"""Sources: what a loop waits for. Descriptors, and sockets of ZeroMQ by theirs.

The descriptor of a ZeroMQ socket tells that something has changed, and only until somebody looks, which
whoever sends or receives does by the way. So a socket that was touched is asked before the next wait.
Source: ZMQ_FD and ZMQ_EVENTS in zmq_getsockopt(3).
"""

from __future__ import annotations

import contextlib
import select
from collections.abc import Callable
from typing import Any

import zmq

_READ, _WRITE = select.POLLIN, select.POLLOUT
#: What tells of descriptors, and what it counts a second as. Both kinds are used alike; that of Linux costs
#: nothing for the descriptors that are silent. `selectors` takes more time than all else in a wait.
_POLL, _SECOND = (select.epoll, 1) if hasattr(select, "epoll") else (select.poll, 1000)
#: As a plain number: an enum takes several times as long to compare.
_IN = int(zmq.POLLIN)


class Source:
    """One that is waited for, and who is told."""

    __slots__ = ("events", "fd", "reader", "socket", "writer")

    def __init__(
        self, source: Any, reader: Callable[[], None], writer: Callable[[], None] | None = None
    ) -> None:
        self.socket = None if isinstance(source, int) else source
        self.fd: int = source if isinstance(source, int) else source.getsockopt(zmq.FD)
        self.reader, self.writer = reader, writer
        #: What is waited for; 0 once it is watched no more.
        self.events: int = _READ

    @property
    def has_more(self) -> bool:
        """Tell whether there is something to read in this socket of ZeroMQ."""
        return self.socket is not None and bool(self.socket.getsockopt(zmq.EVENTS) & _IN)

    def turn(self, events: int, run: Callable[[Callable[[], None]], None]) -> None:
        """Run what is to be done; nothing once it is watched no more, which an action may bring about."""
        # That the other end is gone is told to whoever waits, for whatever.
        if self.events & _READ and events & ~_WRITE:
            run(self.reader)
        if self.events & _WRITE and events & ~_READ and self.writer is not None:
            run(self.writer)


class Sources:
    """For the I/O thread alone."""

    def __init__(self) -> None:
        self._poll: Any = _POLL()
        self._all: dict[Any, Source] = {}
        self._by_fd: dict[int, Source] = {}
        self._touched: set[Source] = set()

    def __repr__(self) -> str:
        return f"<Sources {len(self._all)}>"

    def watch(
        self, source: Any, reader: Callable[[], None], writer: Callable[[], None] | None = None
    ) -> None:
        """See stream.Loop; also for sockets of ZeroMQ."""
        self.unwatch(source)
        one = self._all[source] = Source(source, reader, writer)
        self._begin(one)
        self.touch(source)

    def unwatch(self, source: Any) -> None:
        """See stream.Loop."""
        one = self._all.pop(source, None)
        if one is not None:
            self._touched.discard(one)
            self._register(one, 0)

    def want(self, source: Any, *, read: bool = True, write: bool = False) -> None:
        """See stream.Loop."""
        if source in self._all:
            self._register(self._all[source], (_READ if read else 0) | (_WRITE if write else 0))

    def _register(self, one: Source, events: int) -> None:
        before, one.events = one.events, events
        if not before:
            if events:
                self._begin(one)
        elif events:
            self._poll.modify(one.fd, events)
        else:
            self._by_fd.pop(one.fd, None)
            # A descriptor that was closed is waited for no more anyway.
            with contextlib.suppress(OSError):
                self._poll.unregister(one.fd)

    def _begin(self, one: Source) -> None:
        self._poll.register(one.fd, one.events)
        self._by_fd[one.fd] = one

    def touch(self, source: Any) -> None:
        """Something was sent over a socket, or received from it."""
        one = self._all.get(source)
        if one is not None and one.socket is not None:
            self._touched.add(one)

    def wait(self, wait_s: float | None) -> list[tuple[Source, int]]:
        """Wait until something can be done; gives what, and for which events.

        Args:
            wait_s: so long at most; None for ever, 0 not at all.
        """
        found: list[tuple[Source, int]] = []
        if self._touched:
            asked = list(self._touched)
            found = [(one, _READ) for one in asked if one.has_more]
            self._touched = {one for one, _ in found}
            if found:
                wait_s = 0
        for fd, events in self._poll.poll(-1 if wait_s is None else wait_s * _SECOND):
            one = self._by_fd.get(fd)
            if one is None:
                # Closed before it was left alone, while another process has it open: the system tells still.
                continue
            if one.socket is None:
                found.append((one, events))
            elif one not in self._touched and one.has_more:
                self._touched.add(one)
                found.append((one, _READ))
        return found

    def close(self) -> None:
        """Wait for nothing any more."""
        if hasattr(self._poll, "close"):
            self._poll.close()
