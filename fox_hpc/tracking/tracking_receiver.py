"""TrackingReceiver: the server's end of tracking. It takes what comes, at once, and feeds the receivers.

Each receiver has a thread and a bounded queue of its own: one that is slow, or hangs on a network, holds up
neither the run nor the other receivers, and loses entries of its own only, which are counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ..errors import FoxError
from ..metric import Entry, unpack
from .receiver import History, Receiver
from .tracked_run import TrackedRun

log = logging.getLogger(__name__)

#: What may wait for one receiver, in bytes: some million numbers.
QUEUE_BYTES = 256 * 2**20
#: A receiver is given about so many entries of one site at a time.
ENTRIES_AT_ONCE = 10_000
#: At the end of a run a receiver may take so long for what waits …
DRAIN_S = 300.0
#: … and so long without getting on; a run that was cancelled waits so long in all.
IDLE_S, HURRY_S = 120.0, 5.0
#: How often the end looks at whether the run was cancelled meanwhile.
_LOOK_S = 0.5


def name_of(receiver: Receiver) -> str:
    """Say what a receiver is called: its `name`, else its class."""
    return str(getattr(receiver, "name", type(receiver).__name__))


class Feed:
    """One receiver with its queue and its thread, which starts with the first entries.

    Args:
        on_trouble: told in a sentence when the receiver fails for the first time.
    """

    def __init__(
        self,
        receiver: Receiver,
        run: TrackedRun,
        on_trouble: Callable[[str], None],
        *,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self.name, self._receiver, self._run = name_of(receiver), receiver, run
        self._on_trouble, self._limit = on_trouble, queue_bytes
        #: How many entries were not, or not surely, written.
        self.unwritten = 0
        self._queues: dict[str, deque[tuple[int, bytes]]] = {}
        self._bytes = self._turns = 0
        self._opened = self._ending = self._failed = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Feed {self.name} · {self._bytes} bytes waiting · {self.unwritten} entries unwritten>"

    def put(self, site: str, count: int, data: bytes) -> None:
        """Let the receiver have packed entries of a site; never blocks, from any thread."""
        with self._changed:
            if self._ending or self._bytes + len(data) > self._limit:
                self.unwritten += count
                return
            self._queues.setdefault(site, deque()).append((count, data))
            self._bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"fox-{self.name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def end(self) -> None:
        """There is no more to come."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def wait(self, hurry: Callable[[], bool]) -> None:
        """Wait until all is written and the receiver closed, within limits; what is left then is counted."""
        if self._thread is None:
            return
        began = moved = time.monotonic()
        turns = self._turns
        while self._thread.is_alive():
            self._thread.join(_LOOK_S)
            now = time.monotonic()
            if self._turns != turns:
                turns, moved = self._turns, now
            if now - began > (HURRY_S if hurry() else DRAIN_S) or now - moved > IDLE_S:
                self._leave(now - began)
                return

    def _leave(self, after_s: float) -> None:
        with self._changed:
            left = sum(count for queue in self._queues.values() for count, _ in queue)
            self._queues.clear()
            self.unwritten += left
        words = f"{self.name} was not done {after_s:.0f} s after the run's end"
        self._trouble(f"{words}: {left} logged values are not written there")

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            site, count, parts = turn
            try:
                if not self._opened:
                    self._receiver.open(self._run)
                    self._opened = True
                self._receiver.receive(site, [entry for part in parts for entry in unpack(part)])
            except Exception as error:
                self._fail(f"could not write {count} logged values of {site}", error, count)
            self._turns += 1
        if self._opened:
            try:
                self._receiver.close()
            except Exception as error:
                self._fail("could not be closed", error, 0)

    def _next(self) -> tuple[str, int, list[bytes]] | None:
        """Take what the site has that has waited longest; many small parts at once, and in order."""
        with self._changed:
            while not self._queues:
                if self._ending:
                    return None
                self._changed.wait()
            site = next(iter(self._queues))
            queue = self._queues.pop(site)
            parts: list[bytes] = []
            count = 0
            while queue and (not parts or count + queue[0][0] <= ENTRIES_AT_ONCE):
                more, data = queue.popleft()
                parts.append(data)
                count += more
                self._bytes -= len(data)
            if queue:
                # Last in turn now, so that one busy site does not keep the others waiting.
                self._queues[site] = queue
            return site, count, parts

    def _fail(self, what: str, error: Exception, count: int) -> None:
        self.unwritten += count
        log.debug("%s %s", self.name, what, exc_info=error)
        if not self._failed:
            self._failed = True
            # Our own errors say all in one sentence; others need their traceback.
            trace = None if isinstance(error, FoxError) else error
            log.error("%s %s: %s", self.name, what, error, exc_info=trace)
            first = str(error).strip().partition("\n")[0] or type(error).__name__
            self._trouble(f"{self.name} {what}: {first:.300}")

    def _trouble(self, sentence: str) -> None:
        self._on_trouble(f"tracking: {sentence}")


class TrackingReceiver:
    """All that is tracked in a run, at the server.

    Args:
        on_trouble: told in a sentence, once for each receiver, that it has failed.
    """

    def __init__(
        self, receivers: Sequence[Receiver], run: TrackedRun, on_trouble: Callable[[str], None]
    ) -> None:
        self.history = History()
        self._feeds = [Feed(receiver, run, on_trouble) for receiver in receivers]
        self._dropped: dict[tuple[str, int], int] = {}

    def __repr__(self) -> str:
        return f"<TrackingReceiver {', '.join(feed.name for feed in self._feeds) or 'no receivers'}>"

    def take(self, site: str, data: bytes) -> None:
        """Take packed entries of a site; from any thread, never blocks, keeps the order of its calls.

        Raises:
            WireError: these are no entries.
        """
        entries: list[Entry] = unpack(data)
        self.history.receive(site, entries)
        for feed in self._feeds:
            feed.put(site, len(entries), data)

    def note_dropped(self, site: str, attempt: int, total: int) -> bool:
        """An attempt of a site has dropped so many entries so far; tell whether that is news."""
        news = total > self._dropped.get((site, attempt), 0)
        if news:
            self._dropped[site, attempt] = total
        return news

    @property
    def dropped(self) -> dict[str, int]:
        """How many entries each site has dropped on their way; only those that dropped any."""
        found: dict[str, int] = {}
        for (site, _), total in self._dropped.items():
            found[site] = found.get(site, 0) + total
        return found

    @property
    def unwritten(self) -> dict[str, int]:
        """How many entries each receiver could not write; only those that failed to."""
        return {feed.name: feed.unwritten for feed in self._feeds if feed.unwritten}

    def close(self, hurry: Callable[[], bool]) -> None:
        """Let every receiver finish, within limits.

        Args:
            hurry: True once nobody waits for it gladly, e.g. after Ctrl-C.
        """
        for feed in self._feeds:
            feed.end()
        for feed in self._feeds:
            feed.wait(hurry)
