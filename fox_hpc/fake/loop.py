"""The controller's one loop: files that can be read, children that ended, timers. One thread."""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

LONGEST_WAIT_S = 3600.0


class Loop:
    """Calls back for readable files, ended children and timers, until `stop`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._children: dict[int, Callable[[int], None]] = {}
        self._running = True
        self._asked_soon: set[Any] = set()
        self.before_wait: Callable[[], None] | None = None

    def now(self) -> float:
        """Wall clock, seconds since the epoch: what the commands print."""
        return time.time()

    def on_readable(self, file: Any, callback: Callable[[], None]) -> None:
        self._selector.register(file, selectors.EVENT_READ, callback)

    def forget(self, file: Any) -> None:
        self._selector.unregister(file)

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), callback))

    def soon(self, callback: Callable[[], None]) -> None:
        """Call once before the next wait, however often it is asked for."""
        self.soon_after(0, callback)

    def soon_after(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call once after the delay, however often that is asked for meanwhile."""
        if callback not in self._asked_soon:
            self._asked_soon.add(callback)
            self.later(delay_s, lambda: self._run_soon(callback))

    def on_child(self, pid: int, callback: Callable[[int], None]) -> None:
        """Call with the wait status once the child has ended."""
        self._children[pid] = callback

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        self._watch_signals()
        while self._running:
            if self.before_wait:
                self.before_wait()
            for key, _ in self._selector.select(self._until_next_timer()):
                key.data()
            self._run_timers()

    def _run_soon(self, callback: Callable[[], None]) -> None:
        self._asked_soon.discard(callback)
        callback()

    def _until_next_timer(self) -> float | None:
        # The kernel counts milliseconds in 32 bits: a limit of a month would be too long for it.
        return min(LONGEST_WAIT_S, max(0.0, self._timers[0][0] - time.monotonic())) if self._timers else None

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    def _watch_signals(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._wakeup = writer
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.stop())

        def drain() -> None:
            reader.recv(4096)
            self._reap()

        self.on_readable(reader, drain)
        self._reap()

    def _reap(self) -> None:
        """Collect every ended child, strangers that a job left behind included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            callback = self._children.pop(pid, None)
            if callback:
                callback(status)
