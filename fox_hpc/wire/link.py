"""What carries frames between cells: the promises of an Io and its Links, and their twin in memory."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..errors import LinkClosed

Frames = Sequence[Any]


class Handler(Protocol):
    """What an Io calls, always on its own thread; it must not block and must not raise."""

    def received(self, link: Link, peer: str, frames: list[Any]) -> None:
        """A message came: an envelope and its frames, whole. Frames stay valid while they are held."""

    def peer_changed(self, link: Link, peer: str, up: bool) -> None:
        """A peer can be reached, or no more. Down may come late, after frames were lost, and comes once."""


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
        """Send to a peer, from any thread; never blocks. Frames must not change until they have left."""

    def close(self) -> None:
        """Stop; what was sent before leaves first, within the Io's linger."""


class Io(Protocol):
    """The one I/O thread of a process: it owns the links and calls their handlers."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Run something on the I/O thread."""

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run something on the I/O thread after a while; returns what calls it off."""

    def close(self) -> None:
        """Close every link and end the thread."""


class Timers:
    """Deadlines of an I/O thread: pure, the clock is handed in."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._off: set[int] = set()

    def add(self, at: float, action: Callable[[], None]) -> int:
        """Remember to run `action` at clock time `at`; returns a number for `remove`."""
        number = next(self._count)
        heapq.heappush(self._heap, (at, number, action))
        return number

    def remove(self, number: int) -> None:
        """Forget an action, if it has not run."""
        self._off.add(number)

    def due(self, now: float) -> list[Callable[[], None]]:
        """Take out the actions whose time has come."""
        ready = []
        while self._heap and (self._heap[0][0] <= now or self._heap[0][1] in self._off):
            _, number, action = heapq.heappop(self._heap)
            if number in self._off:
                self._off.discard(number)
            else:
                ready.append(action)
        return ready

    def wait_s(self, now: float) -> float | None:
        """Seconds until the next action, None if there is none."""
        return max(0.0, self._heap[0][0] - now) if self._heap else None


class MemoryIo:
    """An Io without sockets: links of one MemoryIo reach each other by url (`memory://N`).

    `cut(url, peer)` breaks a connection and `mend` brings it back, as a network would.
    """

    def __init__(self) -> None:
        self._queue: deque[Callable[[], None]] = deque()
        self._timers = Timers()
        self._awake = threading.Condition()
        self._closed = False
        self._numbers = itertools.count(1)
        self._listening: dict[str, MemoryLink] = {}
        self._thread = threading.Thread(target=self._loop, name="fox-io", daemon=True)
        self._thread.start()

    def listen(self, handler: Handler) -> MemoryLink:
        """Make a link that others can dial."""
        link = MemoryLink(self, f"memory://{next(self._numbers)}", "", handler)
        self._listening[link.url] = link
        return link

    def dial(self, url: str, name: str, handler: Handler) -> MemoryLink:
        """Make a link to a listening one; `name` is the cell that the other end will see."""
        link = MemoryLink(self, url, name, handler)
        self.call_soon(lambda: self.mend(url, name, link))
        return link

    def mend(self, url: str, name: str, link: MemoryLink) -> None:
        """Connect a dialling link (again)."""
        there = self._listening.get(url)
        if there is not None:
            there.others[name], link.others[""] = link, there
            there.handler.peer_changed(there, name, True)
            link.handler.peer_changed(link, "", True)

    def cut(self, url: str, name: str) -> None:
        """Break the connection of a peer; both ends see it go down."""
        there = self._listening[url]
        link = there.others.pop(name, None)
        if link is not None:
            link.others.clear()
            there.handler.peer_changed(there, name, False)
            link.handler.peer_changed(link, "", False)

    def call_soon(self, action: Callable[[], None]) -> None:
        """See Io."""
        with self._awake:
            self._queue.append(action)
            self._awake.notify()

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """See Io."""
        with self._awake:
            number = self._timers.add(time.monotonic() + delay_s, action)
            self._awake.notify()
        return lambda: self._timers.remove(number)

    def close(self) -> None:
        """See Io."""
        with self._awake:
            self._closed = True
            self._awake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._awake:
                while not self._queue and not self._closed:
                    for action in self._timers.due(time.monotonic()):
                        self._queue.append(action)
                    if not self._queue:
                        self._awake.wait(self._timers.wait_s(time.monotonic()))
                if not self._queue:
                    return
                action = self._queue.popleft()
            action()


class MemoryLink:
    """The twin of ZmqLink in memory; made by MemoryIo."""

    def __init__(self, io: MemoryIo, url: str, name: str, handler: Handler) -> None:
        self.others: dict[str, MemoryLink] = {}
        self.handler = handler
        self._io, self._url, self._name, self._closed = io, url, name, False

    @property
    def url(self) -> str:
        """See Link."""
        return self._url

    def send(self, peer: str, frames: Frames) -> None:
        """See Link; frames are copied, as a wire would."""
        if self._closed:
            raise LinkClosed(f"the link to {self._url} is closed")
        copied: list[Any] = [bytearray(frame) for frame in frames]
        self._io.call_soon(lambda: self._pass_on(peer, copied))

    def _pass_on(self, peer: str, frames: list[Any]) -> None:
        other = self.others.get(peer)
        if other is not None:
            other.handler.received(other, self._name, frames)

    def close(self) -> None:
        """See Link."""
        self._closed = True
        self._io.call_soon(self._leave)

    def _leave(self) -> None:
        for peer, other in list(self.others.items()):
            url, name = (self._url, self._name) if self._name else (self._url, peer)
            self._io.cut(url, name)
            del other
