"""Passing: what becomes of the calls that sites make: run here, or passed on to another site.

One thread takes the calls and passes them on; another runs those that are for the server itself, one after
the other. So a function of the server may wait for a site that calls a third one meanwhile.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from msgspec import structs

from ..api.context import SERVER
from ..api.feed import is_fed
from ..call import Call, Fault, Pending, Reply
from ..streamed import pull_of
from ..wire.answers import Incoming
from ..wire.cell import Cell
from ..wire.names import site_of
from .waits import Waits, Watched

log = logging.getLogger(__name__)

#: Runs a call for the server; what came knows whether anybody still waits for it.
Answer = Callable[[Call, Incoming], Any]
#: Answers that are copied for their callers at the same time.
_AT_ONCE = 4


class Passing:
    """Serves the calls that come to the server's cell.

    Args:
        knows: tells whether a site takes part in this run.
        waits: who waits for whom.
    """

    def __init__(self, cell: Cell, knows: Callable[[str], bool], waits: Waits) -> None:
        self._cell, self._knows, self._waits = cell, knows, waits
        self._own: queue.SimpleQueue[tuple[Incoming, Call] | None] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(_AT_ONCE, "fox-passing")
        self._lock = threading.Lock()
        self._passed: dict[str, tuple[str, Pending]] = {}

    def serve(self, answer: Answer) -> None:
        """Take calls, on this thread, until the cell is stopped, and until what was taken is answered."""
        runs = threading.Thread(
            target=self._run_own, args=(answer,), name="fox-server-functions", daemon=True
        )
        runs.start()
        while (incoming := self._cell.take()) is not None:
            # Who calls is told by the envelope, which was checked, and not by what it says itself.
            call = structs.replace(incoming.call, caller=site_of(incoming.origin))
            pull = pull_of(call)
            if call.to:
                self._pass_on(incoming, call)
            elif pull is not None and is_fed(pull):
                # Made on a thread of its own: a function of the server that waits must not hold it up.
                self._run(incoming, call, answer)
            elif ring := self._begin(incoming, call):
                self._cell.reply(incoming, Reply(fault=Fault("cycle", known=ring)))
            else:
                self._own.put((incoming, call))
        self._own.put(None)
        runs.join()
        self._pool.shutdown(wait=False)

    def forget(self, site: str) -> None:
        """A site's job is another one now, or none: nobody waits for what the old one has asked for."""
        with self._lock:
            left = [pending for caller, pending in self._passed.values() if caller == site]
        self._cell.cancel(left)

    def _begin(self, incoming: Incoming, call: Call) -> tuple[str, ...]:
        return self._waits.begin(incoming.id, call.caller, SERVER) if call.waits else ()

    def _run_own(self, answer: Answer) -> None:
        while (taken := self._own.get()) is not None:
            self._run(*taken, answer)
            del taken

    def _run(self, incoming: Incoming, call: Call, answer: Answer) -> None:
        try:
            over = incoming.cancelled
            reply = Reply(fault=Fault("cancelled")) if over else Reply(answer(call, incoming))
        except Exception as error:
            reply = Reply(fault=Fault.from_exception(error))
        if isinstance(reply.value, Future):
            # A chunk of a stream, which is made when the slowest site has asked for the one before.
            reply.value.add_done_callback(lambda done: self._came(incoming, done))
            return
        # Before the answer: the site may call again as soon as it has it.
        self._waits.end(incoming.id)
        self._cell.reply(incoming, reply)

    def _pass_on(self, incoming: Incoming, call: Call) -> None:
        if not self._knows(call.to) or call.func.startswith("@"):
            fault = Fault("remote", "FoxError", f"there is no {call.func}() at {call.to!r} for sites to call")
            self._cell.reply(incoming, Reply(fault=fault))
            return
        try:
            backend = Watched(self._cell, self._waits, call.caller)
            pending = backend.start(structs.replace(call, to="", late=False), [call.to])[0]
        except Exception as error:
            self._cell.reply(incoming, Reply(fault=Fault.from_exception(error)))
            return
        with self._lock:
            self._passed[incoming.id] = call.caller, pending
        pending.future.add_done_callback(lambda done: self._came(incoming, done))
        incoming.on_cancel(lambda: self._cell.cancel([pending]))

    def _came(self, incoming: Incoming, done: Future[Any]) -> None:
        with self._lock:
            self._passed.pop(incoming.id, None)
        # Not on the I/O thread: a big answer is copied for its caller.
        try:
            self._pool.submit(self._answer, incoming, done)
        except RuntimeError:
            log.debug("an answer to %s comes after the end", incoming.origin)

    def _answer(self, incoming: Incoming, done: Future[Any]) -> None:
        error = done.exception()
        self._cell.reply(incoming, Reply(fault=Fault.of_call(error)) if error else Reply(done.result()))
