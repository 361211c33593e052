"""Seals: under which keys frames were sealed, so that the same bytes get the same key and tags again.

Nothing of the bytes is kept. A frame is found by its size and a few samples of it, and what was found is only
believed once every chunk, sealed again, has given the same tag.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

#: Who gives memory that may hold what was sealed under a key already: of a size, or None.
Kept = Callable[[int, bytes], "memoryview | None"]

SAMPLES = 64
SAMPLE_BYTES = 64
#: What all seals together may take: those of 17 GiB in frames of 10 MiB.
MOST_BYTES = 2**20
_ENTRY_BYTES = 512

#: The size of a frame, and a hash of its samples.
Mark = tuple[int, bytes]


class Seal(NamedTuple):
    """The key that one frame's bytes were sealed under, and no others; and its chunks' tags, in order."""

    key: bytes
    tags: tuple[bytes, ...]


def mark_of(frame: memoryview) -> Mark:
    """Give what a big frame is found by: training changes almost every number, so a few samples tell."""
    last = frame.nbytes - SAMPLE_BYTES
    starts = (last * number // (SAMPLES - 1) for number in range(SAMPLES))
    samples = b"".join(frame[start : start + SAMPLE_BYTES] for start in starts)
    return frame.nbytes, hashlib.blake2b(samples, digest_size=16).digest()


class Seals:
    """The seals that a cell remembers, those that were used last; from any thread."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[Mark, list[Seal]] = OrderedDict()
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Seals of {len(self._known)} frames>"

    def take(self, mark: Mark) -> Seal | None:
        """Give a seal away, so that two equal frames of one message do not look alike from outside."""
        with self._lock:
            found = self._known.get(mark)
            if not found:
                return None
            seal = found.pop()
            if not found:
                del self._known[mark]
            self._bytes -= _cost(seal)
            return seal

    def put(self, mark: Mark, seal: Seal) -> None:
        """Remember a seal, and forget others for it if there are too many."""
        with self._lock:
            self._known.setdefault(mark, []).append(seal)
            self._known.move_to_end(mark)
            self._bytes += _cost(seal)
            while self._bytes > self._most_bytes:
                _, gone = self._known.popitem(last=False)
                self._bytes -= sum(map(_cost, gone))


def _cost(seal: Seal) -> int:
    return _ENTRY_BYTES + sum(map(len, seal.tags))
