"""SubprocessWriter: the writer of a rank: a bounded queue before the lane `fox_metrics`.

So much may be on its way that the other end has not acknowledged; the rest waits here, and what there is
no room for is dropped and counted. Nothing here blocks the code that logs. After a break of the line what
was not acknowledged is sent again; the other end takes each number once, and in order.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import LinkClosed
from ..metric import Batch, Entry, pack
from .writer import BaseWriter

#: What may wait in one process, in bytes: about a million numbers.
BUFFER_BYTES = 64 * 2**20
#: What may be on its way without an acknowledgement; a single batch may be more.
WINDOW_BYTES = 2**20
#: What a batch takes beside its data.
_OVERHEAD = 256
#: How long the end of a rank waits for what it has logged to arrive.
CLOSE_S = 10.0
#: Without an acknowledgement for so long at the end, what is on its way is sent once more.
_STALL_S = 1.0


@dataclass(frozen=True)
class _Held:
    seq: int
    count: int
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data) + _OVERHEAD


class SubprocessWriter(BaseWriter):
    """Sends entries to the next process on their way to the server.

    Args:
        send: sends a batch under its number, from 1 on, without blocking; 0 only tells what was dropped.
        buffer_bytes: more than this does not wait here.
        window_bytes: more than this is not on its way at a time.
    """

    def __init__(
        self,
        send: Callable[[int, Batch], None],
        *,
        buffer_bytes: int = BUFFER_BYTES,
        window_bytes: int = WINDOW_BYTES,
    ) -> None:
        self._send, self._buffer, self._window = send, buffer_bytes, window_bytes
        self._waiting: deque[_Held] = deque()
        self._sent: deque[_Held] = deque()
        self._bytes = self._under_way = self._seq = self._own_dropped = 0
        self._dropped_behind: dict[str, int] = {}
        self._changed = threading.Condition(threading.RLock())

    def __repr__(self) -> str:
        state = f"{len(self._sent)} batches on their way, {len(self._waiting)} waiting"
        return f"<SubprocessWriter {state}, {self.dropped} entries dropped>"

    @property
    def dropped(self) -> int:
        """How many entries were dropped, those of the processes behind this one included."""
        return self._own_dropped + sum(self._dropped_behind.values())

    def write(self, entries: Sequence[Entry]) -> None:
        """Send entries, now or when there is room."""
        for count, data in pack(entries):
            self.put(count, data)

    def put(self, count: int, data: bytes) -> None:
        """Send packed entries, now or when there is room."""
        with self._changed:
            held = _Held(self._seq + 1, count, data)
            if self._bytes + held.size > self._buffer:
                self._own_dropped += count
                return
            self._seq += 1
            self._bytes += held.size
            self._waiting.append(held)
            self._push()

    def dropped_behind(self, who: str, total: int) -> None:
        """A process behind this one has dropped so many in all."""
        with self._changed:
            self._dropped_behind[who] = max(total, self._dropped_behind.get(who, 0))

    def acknowledged(self, seq: int) -> None:
        """All batches up to that number have arrived."""
        with self._changed:
            while self._sent and self._sent[0].seq <= seq:
                held = self._sent.popleft()
                self._bytes -= held.size
                self._under_way -= held.size
            self._push()
            self._changed.notify_all()

    def send_again(self) -> None:
        """The line was broken and is whole again: send what may have been lost."""
        with self._changed:
            self._waiting.extendleft(reversed(self._sent))
            self._sent.clear()
            self._under_way = 0
            self._push()

    def flush(self, timeout_s: float = CLOSE_S) -> None:
        """Wait until all has arrived, or the time is up."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while self._bytes and (left := deadline - time.monotonic()) > 0:
                if not self._changed.wait(min(left, _STALL_S)):
                    self.send_again()

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Wait until all has arrived; what has not in time counts as dropped, and that is told."""
        self.flush(timeout_s)
        with self._changed:
            self._own_dropped += sum(held.count for held in (*self._sent, *self._waiting))
            self._sent.clear()
            self._waiting.clear()
            self._bytes = self._under_way = 0
            if self.dropped:
                self._post(0, Batch(self.dropped, 0, b""))

    def _push(self) -> None:
        while self._waiting and (not self._sent or self._under_way + self._waiting[0].size <= self._window):
            held = self._waiting.popleft()
            self._sent.append(held)
            self._under_way += held.size
            self._post(held.seq, Batch(self.dropped, held.count, held.data))

    def _post(self, seq: int, batch: Batch) -> None:
        # A process that ends closes its link while other threads still log.
        with contextlib.suppress(LinkClosed):
            self._send(seq, batch)
