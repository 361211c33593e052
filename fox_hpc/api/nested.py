"""Nested: the calls that a function makes while it serves a call; they are given up with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from ..call import Call, Pending
from .backend import Backend
from .context import Context


class Nested:
    """A backend that remembers what is waited for, so that all of it can be given up at once."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._open: dict[str, Pending] = {}
        self._given_up = False

    @property
    def secure(self) -> bool:
        """See Backend."""
        return self._backend.secure

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        """See Backend."""
        started = self._backend.start(call, targets)
        if call.waits:
            with self._lock:
                self._open.update({one.call_id: one for one in started})
                given_up = self._given_up
            for one in started:
                one.future.add_done_callback(lambda _, id=one.call_id: self._forget(id))  # type: ignore[misc]
            if given_up:
                self._backend.cancel(started)
        return started

    def _forget(self, id: str) -> None:
        with self._lock:
            self._open.pop(id, None)

    def cancel(self, pending: Sequence[Pending]) -> None:
        """See Backend."""
        self._backend.cancel(pending)

    def give_up(self) -> None:
        """Cancel what is waited for, now and later."""
        with self._lock:
            self._given_up = True
            still_open = list(self._open.values())
        self._backend.cancel(still_open)


def serving(
    context: Context,
    given_up: Callable[[], bool],
    on_given_up: Callable[[Callable[[], None]], None],
    caller: str = "",
) -> Context:
    """Make the context of a function that serves a call.

    Args:
        given_up: tells whether nobody waits for the call any more.
        on_given_up: takes what is to be done when that comes, or at once if it is so.
        caller: who made the call; `App.invoke` sees to it otherwise.
    """
    nested, aborted = Nested(context.backend), context.is_aborted
    on_given_up(nested.give_up)
    return context.changed(backend=nested, is_aborted=lambda: given_up() or aborted(), caller=caller)
