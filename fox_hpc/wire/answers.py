"""Answers: the called side's memory, which makes sure that a call runs once. Pure: it sends nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import msgspec

from ..call import Call
from .parcel import Parcel

#: So many calls that were settled are remembered, lest a late copy of one runs it again.
REMEMBERED = 4096
#: What stands for a call until its frames are read.
_NOT_READ = Call("")


class Incoming(msgspec.Struct, eq=False):
    """A call that came to this cell."""

    id: str
    origin: str
    call: Call
    frames: list[Any]
    cancelled: bool = False
    _tell: list[Callable[[], None]] = []

    def on_cancel(self, tell: Callable[[], None]) -> None:
        """Call `tell`, maybe twice, once the caller waits no more; at once if that is so now."""
        self._tell.append(tell)
        if self.cancelled:
            tell()

    def cancel(self) -> None:
        """The caller waits no more."""
        self.cancelled = True
        for tell in tuple(self._tell):
            tell()


class Answer(msgspec.Struct, frozen=True):
    """An answer that is kept until the caller has it."""

    id: str
    target: str
    parcel: Parcel


class Arrivals:
    """Calls whose arguments are on their way: each caller's come out in the order in which they came."""

    def __init__(self) -> None:
        self._rows: dict[str, deque[Incoming]] = {}
        self._here: set[str] = set()

    def passes(self, incoming: Incoming, *, whole: bool) -> bool:
        """A call came: tell whether it can be run now; if not, it stands in its caller's row.

        Args:
            whole: its arguments are here.
        """
        if whole and incoming.origin not in self._rows:
            return True
        self._rows.setdefault(incoming.origin, deque()).append(incoming)
        return False

    def here(self, incoming: Incoming) -> list[Incoming]:
        """A call's arguments are here: give those that can be run now."""
        self._here.add(incoming.id)
        row, ready = self._rows[incoming.origin], []
        while row and row[0].id in self._here:
            self._here.discard(row[0].id)
            ready.append(row.popleft())
        if not row:
            del self._rows[incoming.origin]
        return ready


class Answers:
    """Each call is to do, then answered, then settled; it never goes back. For use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Incoming] = {}
        self._kept: dict[str, Answer] = {}
        self._settled: OrderedDict[str, None] = OrderedDict()

    def take(self, id: str, origin: str, frames: list[Any]) -> Incoming | Answer | None:
        """A call came: give it to be run, or the answer that it has, or None if there is nothing to do."""
        with self._lock:
            if id in self._kept:
                kept = self._kept[id]
                return kept if kept.target == origin else None
            if id in self._running or id in self._settled:
                return None
            incoming = self._running[id] = Incoming(id, origin, _NOT_READ, frames)
            return incoming

    def answer(self, incoming: Incoming, answer: Answer) -> bool:
        """Keep the answer to a call; False if it had one, or if nobody waits for it any more."""
        with self._lock:
            if self._running.pop(incoming.id, None) is None:
                return False
            if incoming.cancelled:
                self._settle(incoming.id)
                return False
            self._kept[incoming.id] = answer
            return True

    def acknowledged(self, id: str, origin: str) -> None:
        """The caller has its answer; anybody else's word for that counts for nothing."""
        with self._lock:
            self._let_go(id, origin)

    def cancel(self, id: str, origin: str) -> None:
        """The caller waits no more: a call that runs is told, an answer that is kept is dropped."""
        with self._lock:
            running = self._running.get(id)
            if running is None:
                self._let_go(id, origin)
        if running is not None and running.origin == origin:
            running.cancel()

    def _let_go(self, id: str, origin: str) -> None:
        if id in self._kept and self._kept[id].target == origin:
            self._kept.pop(id).parcel.close()
            self._settle(id)

    def wanted(self, incoming: Incoming) -> bool:
        """Tell whether a call that has not begun is still to be run; one that was cancelled is settled."""
        with self._lock:
            if incoming.cancelled and self._running.pop(incoming.id, None) is not None:
                self._settle(incoming.id)
            return incoming.id in self._running

    def _settle(self, id: str) -> None:
        self._settled[id] = None
        if len(self._settled) > REMEMBERED:
            self._settled.popitem(last=False)

    def running(self) -> list[Incoming]:
        """Give the calls that have no answer."""
        with self._lock:
            return list(self._running.values())

    def kept(self) -> list[Answer]:
        """Give the answers that nobody acknowledged."""
        with self._lock:
            return list(self._kept.values())
