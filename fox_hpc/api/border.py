"""Border: what a call passes between the code that makes it and the backend that carries it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from msgspec import structs

from ..call import Call, Pending
from ..streamed import pull_of
from .backend import Backend
from .context import Context, use
from .per_site import for_site, has_per_site


class Border:
    """A backend that gives each site its own arguments, and filters answers before their caller has them."""

    def __init__(self, backend: Backend, context: Context) -> None:
        self._backend, self._context = backend, context
        self._lock = threading.Lock()
        self._to_filter: deque[Callable[[], None]] = deque()
        self._filtering = False

    @property
    def secure(self) -> bool:
        """See Backend."""
        return self._backend.secure

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        """See Backend; with arguments for each site, a later one's CodecError gives the earlier calls up."""
        started = self._each(call, targets) if has_per_site(call) else self._backend.start(call, targets)
        if self._context.terms.filters.incoming:
            return [self._filtered(call, one) for one in started]
        return started

    def _each(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        started: list[Pending] = []
        try:
            for site in targets:
                started += self._backend.start(for_site(call, site), [site])
        except BaseException:
            self._backend.cancel(started)
            raise
        return started

    def _filtered(self, call: Call, pending: Pending) -> Pending:
        asked = structs.replace(call, args=call.args if pull_of(call) else (), kwargs={})
        future: Future[Any] = Future()

        def arrived(done: Future[Any]) -> None:
            error = done.exception()
            if error is not None:
                future.set_exception(error)
            else:
                self._soon(partial(self._finish, asked, done.result(), future))

        pending.future.add_done_callback(arrived)
        return Pending(pending.site, pending.call_id, future, pending.wait)

    def _soon(self, work: Callable[[], None]) -> None:
        """Do it on a thread of the call's own: the one that an answer came on has others to take."""
        with self._lock:
            self._to_filter.append(work)
            if self._filtering:
                return
            self._filtering = True
        threading.Thread(target=self._work, name="fox-filters", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._to_filter:
                    self._filtering = False
                    return
                work = self._to_filter.popleft()
            work()
            del work  # its answer is the caller's alone now

    def _finish(self, call: Call, value: Any, future: Future[Any]) -> None:
        try:
            with use(self._context):
                filters = self._context.terms.filters
                value = filters.on_answer(call, value, self._context.site_name, leaves=False)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(value)

    def cancel(self, pending: Sequence[Pending]) -> None:
        """See Backend."""
        self._backend.cancel(pending)
