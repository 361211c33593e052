"""What carries frames between cells: the promises of an Io and its Links, which ZmqIo and MemoryIo keep."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

Frames = Sequence[Any]


class Handler(Protocol):
    """What an Io calls, one thing at a time, on its I/O thread; it must not block and must not raise.

    That is a thread of the Io's own, or one that waits in its `wait_for`. So a handler may take no lock that
    a thread holds while it waits there.
    """

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """A message came: an envelope and its frames, whole. Frames stay valid while they are held."""

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """A peer can be reached, or no more; each change is told once.

        Down may come late, after frames were lost, but after all that did arrive. When a cell connects
        anew while its old connection seems alive, it is told down, then up.
        """


class Link(Protocol):
    """One end of a wire.

    A listening link has many peers, known by the names of their cells; a dialling link has one.
    Promised: frames arrive whole, in order for each peer, at most once, and only from peers whose key is
    allowed. Not promised: that they arrive. What was sent while, or before, a peer went down may be lost.
    """

    @property
    def url(self) -> str:
        """Where a listening link can be dialled, or what a dialling link dials."""

    def send(self, peer: str, frames: Frames) -> None:
        """Send to a peer, from any thread; never blocks. Frames must not change until they have left.

        Raises:
            LinkClosed: this end was closed.
        """

    def close(self) -> None:
        """Stop; what was sent before leaves first, within the Io's linger."""


class Io(Protocol):
    """The I/O of a process: one thread at a time owns the links and calls their handlers."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Run something on the I/O thread."""

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run something on the I/O thread after a while; returns what calls it off."""

    def wait_for(
        self, changed: threading.Condition, ready: Callable[[], bool], timeout: float | None = None, /
    ) -> bool:
        """Wait for what a handler will bring; see call.Wait. This thread may be the I/O thread meanwhile."""

    def close(self) -> None:
        """Close every link and end the thread; what was sent before leaves first, within a linger."""


class Timers:
    """Deadlines of an I/O thread: pure, the clock is handed in."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._actions: dict[int, Callable[[], None]] = {}
        self._count = itertools.count()

    def __len__(self) -> int:
        return len(self._actions)

    def number(self) -> int:
        """Give a number for `add` and `remove`; from any thread."""
        return next(self._count)

    def add(self, number: int, at: float, action: Callable[[], None]) -> None:
        """Remember to run `action` at clock time `at`."""
        self._actions[number] = action
        heapq.heappush(self._heap, (at, number))

    def remove(self, number: int) -> None:
        """Forget an action, and all that it holds, if it has not run."""
        if self._actions.pop(number, None) is not None and len(self._heap) > 2 * len(self._actions) + 64:
            self._heap = [entry for entry in self._heap if entry[1] in self._actions]
            heapq.heapify(self._heap)

    def due(self, now: float) -> list[Callable[[], None]]:
        """Take out the actions whose time has come."""
        ready = []
        while self._heap and (self._heap[0][0] <= now or self._heap[0][1] not in self._actions):
            action = self._actions.pop(heapq.heappop(self._heap)[1], None)
            if action is not None:
                ready.append(action)
        return ready

    def next_at(self) -> float:
        """Give the clock time of the next action, which may be over; infinite if there is none."""
        return self._heap[0][0] if self._heap else math.inf
