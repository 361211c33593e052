"""Writers: where entries go from the code that logs them, in every environment.

A look-alike makes entries and gives them to its AutoWriter, which hands them on to the writer that the
run's context has for this process: InProcessWriter where the receivers are, SubprocessWriter elsewhere.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from ..api.context import current
from ..errors import RecipeError
from ..metric import Entry, Point, check_size

logger = logging.getLogger(__name__)

Track = Callable[[Sequence[Entry]], None]

#: How often writers are looked at that hold unsent entries, so that a curve shows its last points.
_LOOK_S = 0.25

#: Writers that hold unsent entries. Held strongly: a writer that the user's code dropped still owes them.
#: In the order in which they began to owe, so that entries arrive in the order of their steps.
_owing: dict[AutoWriter, None] = {}
_owing_lock = threading.Lock()
_sweeper: threading.Thread | None = None
_dropped_noticed = threading.Event()


class BaseWriter(ABC):
    """Takes entries, never blocks the code that logs them, and keeps their order."""

    @abstractmethod
    def write(self, entries: Sequence[Entry]) -> None:
        """Take entries; what cannot be kept is dropped and counted."""

    def flush(self) -> None:
        """Hand on what waits."""
        return

    def close(self) -> None:
        """Flush; closing twice is fine."""
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AutoWriter(BaseWriter):
    """Collects entries and hands them on in small batches; safe to share between threads and sites.

    Entries leave when `max_queue` of them wait, or one is more than a number, when the oldest is
    `flush_secs` old, and at `flush`, `close` or the end of the site's code. They belong to the site whose
    code logged them, also when simulated sites share one writer. In a run without tracking they are
    dropped, with one logged notice; outside a run, logging raises a FoxError.
    """

    def __init__(self, *, max_queue: int = 1000, flush_secs: float = 1.0) -> None:
        if max_queue < 1:
            raise RecipeError(f"max_queue={max_queue!r}: a positive number of points is right")
        self._max_queue, self._flush_secs = max_queue, flush_secs
        self._lock, self._leaving = threading.Lock(), threading.Lock()
        self._entries: dict[Track, list[Entry]] = {}
        self._count = 0
        self._oldest = 0.0
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} {state} · {self._count} unsent>"

    def write(self, entries: Sequence[Entry]) -> None:
        """Take entries of the current site.

        Raises:
            FoxError: this is not inside a run.
            RecipeError: the writer is closed, or an entry is too big.
        """
        if self._closed:
            raise RecipeError(f"{type(self).__name__} is closed: make a new one to log more")
        track = current().track
        if track is None:
            _notice_once()
            return
        due = False
        for entry in entries:
            if not isinstance(entry, Point):
                check_size(entry)
                due = True
        with self._lock:
            now = time.monotonic()
            if not self._count:
                self._oldest = now
                _owe(self)
            self._entries.setdefault(track, []).extend(entries)
            self._count += len(entries)
            due = due or self._count >= self._max_queue or now - self._oldest >= self._flush_secs
        if due:
            self.flush()

    def flush(self) -> None:
        """Hand on what waits."""
        # Held until the batches have gone, so that a flush of another thread does not overtake.
        with self._leaving:
            with self._lock:
                entries, self._entries, self._count = self._entries, {}, 0
                with _owing_lock:
                    _owing.pop(self, None)
            for track, batch in entries.items():
                track(batch)

    def flush_if_old(self, now: float) -> None:
        """Hand on what waits if the oldest of it is `flush_secs` old."""
        if self._count and now - self._oldest >= self._flush_secs:
            self.flush()

    def close(self) -> None:
        """Flush, and refuse what comes later; closing twice is fine."""
        self._closed = True
        self.flush()


def flush_all() -> None:
    """Hand on what waits in any writer of this process; called where a site's code ends."""
    if _owing:
        for writer in _all_owing():
            writer.flush()


def _all_owing() -> list[AutoWriter]:
    with _owing_lock:
        return list(_owing)


def _owe(writer: AutoWriter) -> None:
    global _sweeper
    with _owing_lock:
        _owing[writer] = None
        if _sweeper is None or not _sweeper.is_alive():
            _sweeper = threading.Thread(target=_sweep, name="fox-tracking-flush", daemon=True)
            _sweeper.start()


def _sweep() -> None:
    """Hand on old entries of code that logs no more for a while."""
    while True:
        time.sleep(_LOOK_S)
        for writer in _all_owing():
            try:
                writer.flush_if_old(time.monotonic())
            except Exception:
                logger.exception("%r could not hand on its entries", writer)


def _notice_once() -> None:
    if not _dropped_noticed.is_set():
        _dropped_noticed.set()
        logger.warning(
            "logged values are dropped: tracking is off here (FoxRecipe(tracking_type='tensorboard') is on)"
        )
