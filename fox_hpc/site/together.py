"""Together: one call on all ranks of a site, as rank 0 sees it. Pure but for the events that come in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ..call import Fault, Pending, Reply, Wait, wait_aside

#: After a rank raised, the others have this long to come out by themselves.
GRACE_S = 1.5


class Together:
    """One call on all ranks, as rank 0 sees it: whose answer counts, and when to give up.

    Args:
        on_stuck: called on the I/O thread with the fault, when a rank has raised and others stay inside.
    """

    def __init__(
        self,
        pending: list[Pending],
        call_later: Callable[[float, Callable[[], None]], object],
        on_stuck: Callable[[Fault], None],
        wait: Wait = wait_aside,
    ) -> None:
        self._pending, self._call_later, self._on_stuck = pending, call_later, on_stuck
        self._wait, self._changed = wait, threading.Condition()
        self._faults: list[Fault] = []
        self._out = 0
        for one in pending:
            one.future.add_done_callback(self._came_out)

    def finish(self, own: Reply) -> tuple[Reply, bool]:
        """Rank 0 has come out with `own`; wait for the others. Returns the answer and whether all agree."""
        self._count(own.fault)
        self._wait(self._changed, self._all_out)
        if (fault := self._cause()) is None:
            return own, True
        return Reply(fault=fault), len(self._faults) == self._out

    def _came_out(self, future: Future[Any]) -> None:
        error = future.exception()
        self._count(Fault.of_call(error) if error is not None else None)

    def _count(self, fault: Fault | None) -> None:
        with self._changed:
            self._out += 1
            if fault is not None:
                self._faults.append(fault)
                if len(self._faults) == 1:
                    self._call_later(GRACE_S, self._look)
            self._changed.notify_all()

    def _cause(self) -> Fault | None:
        """Give what was raised first: what follows may be what the others' collectives make of it.

        Where several ranks raised the same, chance decides which of them is heard first: the lowest stands
        for all, so that the same failure is told alike each time.
        """
        if not self._faults:
            return None
        first = self._faults[0]
        words = first.kind, first.type_name, first.message
        same = [one for one in self._faults if (one.kind, one.type_name, one.message) == words]
        return min(same, key=lambda fault: fault.rank)

    def _all_out(self) -> bool:
        return self._out == len(self._pending) + 1

    def _look(self) -> None:
        if not self._all_out() and (fault := self._cause()) is not None:
            self._on_stuck(fault)
