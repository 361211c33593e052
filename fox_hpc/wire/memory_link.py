"""MemoryIo and its links: the twin of ZmqIo without sockets, whose wires can be cut."""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..call import wait_aside
from ..errors import LinkClosed
from .link import Frames, Handler, Timers

log = logging.getLogger(__name__)


class MemoryIo:
    """An Io without sockets: links of one MemoryIo reach each other by url (`memory://N`).

    `cut(url, name)` breaks a connection and `mend` brings it back, as a network would; both return when
    the handlers have been told.
    """

    def __init__(self) -> None:
        self._queue: deque[Callable[[], None]] = deque()
        self._timers = Timers()
        self._awake = threading.Condition()
        self._closed = False
        self._numbers = itertools.count(1)
        self._listening: dict[str, MemoryLink] = {}
        self._links: list[MemoryLink] = []
        self._thread = threading.Thread(target=self._loop, name="fox-io", daemon=True)
        self._thread.start()

    def listen(self, handler: Handler) -> MemoryLink:
        """Make a link that others can dial."""
        link = self._make(f"memory://{next(self._numbers)}", "", handler)
        self._listening[link.url] = link
        return link

    def dial(self, url: str, name: str, handler: Handler) -> MemoryLink:
        """Make a link to a listening one; `name` is the cell that the other end will see."""
        link = self._make(url, name, handler)
        self.call_soon(lambda: self._connect(url, name, link))
        return link

    def _make(self, url: str, name: str, handler: Handler) -> MemoryLink:
        with self._awake:
            if self._closed:
                raise LinkClosed("the I/O thread has ended")
            link = MemoryLink(self, url, name, handler)
            self._links.append(link)
        return link

    def mend(self, url: str, name: str, link: MemoryLink) -> None:
        """Connect a dialling link again."""
        self._wait_for(lambda: self._connect(url, name, link))

    def cut(self, url: str, name: str) -> None:
        """Break the connection of a peer; both ends see it go down."""
        self._wait_for(lambda: self._break(url, name))

    def call_soon(self, action: Callable[[], None]) -> None:
        """See Io."""
        with self._awake:
            self._queue.append(action)
            self._awake.notify()

    def call_later(self, delay_s: float, action: Callable[[], None]) -> Callable[[], None]:
        """See Io."""
        number = self._timers.number()
        with self._awake:
            self._timers.add(number, time.monotonic() + delay_s, action)
            self._awake.notify()

        def call_off() -> None:
            with self._awake:
                self._timers.remove(number)

        return call_off

    def wait_for(
        self, changed: threading.Condition, ready: Callable[[], bool], timeout: float | None = None, /
    ) -> bool:
        """See Io."""
        return wait_aside(changed, ready, timeout)

    def close(self) -> None:
        """See Io."""
        with self._awake:
            self._closed = True
            for link in self._links:
                link.closed = True
            self._awake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def guarded(self, action: Callable[[], None]) -> None:
        """Run what others gave; whatever it raises is logged, and the thread goes on."""
        try:
            action()
        except Exception:
            log.exception("the I/O thread goes on after an error")

    def _loop(self) -> None:
        while (action := self._next()) is not None:
            self.guarded(action)

    def _next(self) -> Callable[[], None] | None:
        with self._awake:
            while True:
                self._queue.extend(self._timers.due(time.monotonic()))
                if self._queue:
                    return self._queue.popleft()
                if self._closed:
                    return None
                until = self._timers.next_at()
                self._awake.wait(None if until == math.inf else max(0.0, until - time.monotonic()))

    def _wait_for(self, action: Callable[[], None]) -> None:
        if threading.current_thread() is self._thread:
            action()
            return
        done = threading.Event()
        self.call_soon(action)
        self.call_soon(done.set)
        done.wait()

    def _connect(self, url: str, name: str, link: MemoryLink) -> None:
        there = self._listening.get(url)
        if there is not None and not link.gone and there.others.get(name) is not link:
            self._break(url, name)
            there.others[name], link.others[""] = link, there
            there.tell(name, True)
            link.tell("", True)

    def _break(self, url: str, name: str) -> None:
        there = self._listening.get(url)
        link = there.others.pop(name, None) if there is not None else None
        if there is not None and link is not None:
            link.others.clear()
            there.tell(name, False)
            link.tell("", False)

    def leave(self, link: MemoryLink) -> None:
        """Forget a closed link; on the I/O thread."""
        link.gone = True
        for peer in list(link.others):
            self._break(link.url, peer or link.name)
        if self._listening.get(link.url) is link:
            del self._listening[link.url]
        if link in self._links:
            self._links.remove(link)


class MemoryLink:
    """The twin of ZmqLink in memory; made by MemoryIo."""

    def __init__(self, io: MemoryIo, url: str, name: str, handler: Handler) -> None:
        self.others: dict[str, MemoryLink] = {}
        self.name, self.handler = name, handler
        #: `closed` refuses what comes now, `gone` has let out what was sent before.
        self.closed = self.gone = False
        self._io, self._url = io, url

    def __repr__(self) -> str:
        return f"<MemoryLink {self._url} · {len(self.others)} peers>"

    @property
    def url(self) -> str:
        """See Link."""
        return self._url

    def send(self, peer: str, frames: Frames) -> None:
        """See Link; frames are copied, as a wire would."""
        if self.closed:
            raise LinkClosed(f"{self!r} is closed")
        copied: list[Any] = [bytearray(frame) for frame in frames]
        self._io.call_soon(lambda: self._pass_on(peer, copied))

    def close(self) -> None:
        """See Link."""
        self.closed = True
        self._io.call_soon(lambda: self._io.leave(self))

    def tell(self, peer: str, up: bool) -> None:
        """Tell the handler of a change, unless this end was closed; on the I/O thread."""
        if not self.closed:
            self._io.guarded(lambda: self.handler.peer_changed(self, peer, up))

    def _pass_on(self, peer: str, frames: list[Any]) -> None:
        # A dialling link has one peer, whatever it is called.
        other = self.others.get("" if self.name else peer)
        if other is not None and not other.closed:
            other.handler.received(other, self.name, frames)
