"""Waits: which place waits for which, so that a call which nobody could ever answer is not made.

A place runs the calls that it gets one after the other. While its function waits for an answer of another
place, calls to it wait too. So a ring of places, each of which waits for the next, stays for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

from ..api.backend import Backend
from ..call import Call, Fault, Pending, new_call_id


class Waits:
    """The open calls of places to places, as a graph that never has a ring. For use from any thread.

    The algorithm is no place: it waits, and nobody waits for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, tuple[str, str]] = {}

    def begin(self, id: str, caller: str, target: str) -> tuple[str, ...]:
        """Note that one place waits for another.

        Returns:
            The ring that would be closed, from the caller on; then nothing is noted. Else nothing.
        """
        with self._lock:
            back = self._way(target, caller)
            if back:
                return (caller, *back[:-1])
            self._open[id] = caller, target
            return ()

    def end(self, id: str) -> None:
        """Note that the answer is there, or that nobody waits for it any more."""
        with self._lock:
            self._open.pop(id, None)

    def _way(self, start: str, goal: str) -> tuple[str, ...]:
        """Find how one place waits for another, first step to last; empty if it does not."""
        ways: list[tuple[str, ...]] = [(start,)]
        seen = {start}
        for way in ways:
            if way[-1] == goal:
                return way
            after = [target for caller, target in self._open.values() if caller == way[-1]]
            ways += [(*way, target) for target in dict.fromkeys(after) if target not in seen]
            seen.update(after)
        return ()

    def __repr__(self) -> str:
        pairs = sorted({f"{caller} → {target}" for caller, target in self._open.values()})
        return f"<Waits {', '.join(pairs) or 'none'}>"


class Watched:
    """A backend for the calls that one place makes: one that would close a ring fails with WaitCycle.

    Args:
        place: the site, or the server for what its functions call while a site waits for them.
    """

    def __init__(self, backend: Backend, waits: Waits, place: str) -> None:
        self._backend, self._waits, self._place = backend, waits, place

    @property
    def secure(self) -> bool:
        """See Backend."""
        return self._backend.secure

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        """See Backend."""
        if not call.waits:
            return self._backend.start(call, targets)
        ids = {site: new_call_id() for site in targets}
        rings = {site: self._waits.begin(ids[site], self._place, site) for site in targets}
        free = [site for site in targets if not rings[site]]
        try:
            started = {one.site: one for one in self._backend.start(call, free)} if free else {}
        except BaseException:
            for site in free:
                self._waits.end(ids[site])
            raise
        for site, one in started.items():
            one.future.add_done_callback(lambda _, id=ids[site]: self._waits.end(id))  # type: ignore[misc]
        return [started[site] if site in started else _refused(call, site, rings[site]) for site in targets]

    def cancel(self, pending: Sequence[Pending]) -> None:
        """See Backend."""
        self._backend.cancel(pending)


def _refused(call: Call, site: str, ring: tuple[str, ...]) -> Pending:
    id, fault = new_call_id(), Fault("cycle", known=ring)
    pending = Pending(site, id, Future())
    pending.future.set_exception(fault.to_error(site=site, func=call.func, call_id=id))
    return pending
