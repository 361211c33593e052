"""Places: where calls run in a simulation, each on a thread of its own."""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..api.app import App
from ..api.context import Context
from ..api.nested import serving
from ..call import Call, Fault, Reply, new_call_id
from ..late import Here
from ..tracking.writer import flush_all
from ..wire.call_codec import read_call, read_reply, write_reply
from .sim_copies import Copies

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """One call at one place, from its start to its end."""

    site: str
    call: Call
    frames: list[Any]
    id: str = field(default_factory=new_call_id)
    future: Future[Any] = field(default_factory=Future)
    aborted: threading.Event = field(default_factory=threading.Event)
    _tell: Callable[[], None] | None = None

    def on_abort(self, tell: Callable[[], None]) -> None:
        """Call `tell`, maybe twice, once nobody waits for this; at once if that is so now."""
        self._tell = tell
        if self.aborted.is_set():
            tell()

    def abort(self) -> None:
        """Nobody waits for this any more."""
        self.aborted.set()
        if self._tell is not None:
            self._tell()


class Place:
    """One site, or the server: a thread that runs its calls one after the other, as a worker does.

    Args:
        settle: gets each call with its answer.
        copies: copies an answer: the site may go on with its arrays.
        begin: runs before the first call; what it raises is every call's failure.
        end: runs after the last call.
        at_once: each call runs on a thread of its own; for a script, whose stop() must get through
            while execute() waits.
    """

    def __init__(
        self,
        app: App,
        context: Context,
        settle: Callable[[Job, Reply], None],
        copies: Copies,
        *,
        begin: Callable[[], None] | None = None,
        end: Callable[[], None] | None = None,
        at_once: bool = False,
    ) -> None:
        self._at_once = at_once
        self.name = context.site_name
        self.inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._app, self._context, self._settle, self._copies = app, context, settle, copies
        self._begin, self._end = begin, end
        self._running: Job | None = None
        self._left = False
        self._thread = threading.Thread(target=self._serve, name=f"fox-{self.name}", daemon=True)

    def start(self) -> None:
        """Let the place begin."""
        self._thread.start()

    def leave(self) -> None:
        """Let the place end after the calls that it has."""
        self.inbox.put(None)

    def wait(self, deadline: float, *, hurry: bool) -> None:
        """Wait for the end; only until the deadline if nobody wants the place's work any more."""
        while self._thread.is_alive():
            self._thread.join(0.1)
            job = self._running
            if time.monotonic() > deadline and (hurry or (job is not None and job.aborted.is_set())):
                self._left = True
                log.warning("%s still runs %s(): its thread is left behind", self.name, job and job.call.func)
                return

    def _serve(self) -> None:
        fault = self._guarded(self._begin)
        while (job := self.inbox.get()) is not None:
            if self._at_once:
                threading.Thread(target=self._one, args=(job, fault), name="fox-call", daemon=True).start()
            else:
                self._one(job, fault)
            del job  # its future has the answer, which is the caller's now
        if not self._left and (fault := self._guarded(self._end)) is not None:
            log.error("the end of %s failed: %s", self.name, fault.traceback)

    def _one(self, job: Job, fault: Fault | None) -> None:
        if not job.future.done():
            self._running = job
            if fault:
                self._settle(job, Reply(fault=fault))
            else:
                self._run(job)
            self._running = None

    def _run(self, job: Job) -> None:
        context = serving(self._context, job.aborted.is_set, job.on_abort)
        # Decoded, and the answer encoded, on this thread: the caller's may be waiting for many sites.
        try:
            value = self._app.answer(read_call(job.frames), context)
        except BaseException as error:
            self._settle(job, Reply(fault=_fault(error)))
            return
        if isinstance(value, Future):
            value.add_done_callback(lambda future: self._settle(job, self._answer(job, future.result)))
        else:
            self._settle(job, self._answer(job, lambda: value))

    def _answer(self, job: Job, value: Callable[[], Any]) -> Reply:
        try:
            answer = write_reply(Reply(value()))
            flush_all()
            reply = read_reply(self._copies(answer))
            return Reply(Here(reply.value)) if job.call.late and reply.fault is None else reply
        except BaseException as error:
            return Reply(fault=_fault(error))

    def _guarded(self, action: Callable[[], None] | None) -> Fault | None:
        try:
            if action is not None:
                action()
        except BaseException as error:
            return _fault(error)
        return None


def _fault(error: BaseException) -> Fault:
    return Fault.from_exception(error, host=socket.gethostname())
