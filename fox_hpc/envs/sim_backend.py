"""SimBackend: calls between threads of one process, by the rules of the wire.

What is sent is encoded and decoded as between processes, so that sites share no memory and a value
that cannot travel fails here as it does there.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..api.app import App
from ..api.context import SERVER, Context
from ..api.nested import serving
from ..call import Call, Fault, Pending, Reply, new_call_id
from ..late import Here
from ..tracking.writer import flush_all
from ..wire.call_codec import read_call, read_reply, write_call, write_reply

log = logging.getLogger(__name__)

#: How long the end of a run waits for a function whose caller has given up.
_GRACE_S = 5.0


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
        *,
        begin: Callable[[], None] | None = None,
        end: Callable[[], None] | None = None,
        at_once: bool = False,
    ) -> None:
        self._at_once = at_once
        self.name = context.site_name
        self.inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._app, self._context, self._settle = app, context, settle
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
            value.add_done_callback(lambda future: self._settle(job, _answer(job, future.result)))
        else:
            self._settle(job, _answer(job, lambda: value))

    def _guarded(self, action: Callable[[], None] | None) -> Fault | None:
        try:
            if action is not None:
                action()
        except BaseException as error:
            return _fault(error)
        return None


def _answer(job: Job, value: Callable[[], Any]) -> Reply:
    try:
        answer = write_reply(Reply(value()))
        flush_all()
        # A copy, as over a wire: the site may go on with its arrays.
        reply = read_reply([bytearray(frame) for frame in answer])
        return Reply(Here(reply.value)) if job.call.late and reply.fault is None else reply
    except BaseException as error:
        return Reply(fault=_fault(error))


def _fault(error: BaseException) -> Fault:
    return Fault.from_exception(error, host=socket.gethostname())


class SimBackend:
    """Carries calls between the places of one process; implements api.backend.Backend."""

    secure = True  # nothing leaves the process

    def __init__(self) -> None:
        self.aborted = threading.Event()
        self._places: dict[str, Place] = {}
        self._lock = threading.Lock()
        self._open: dict[str, Job] = {}
        self._timer = _Timer(self._time_out)

    def add(
        self,
        app: App,
        context: Context,
        *,
        begin: Callable[[], None] | None = None,
        end: Callable[[], None] | None = None,
        at_once: bool = False,
    ) -> None:
        """Add a place before the run is opened."""
        place = Place(app, context, self._settle, begin=begin, end=end, at_once=at_once)
        self._places[context.site_name] = place

    def open(self) -> None:
        """Let all places begin."""
        for place in self._places.values():
            place.start()

    def close(self) -> None:
        """Let all places end, the server's last: sites may still call it."""
        deadline = time.monotonic() + _GRACE_S
        sites = [place for place in self._places.values() if place.name != SERVER]
        servers = [place for place in self._places.values() if place.name == SERVER]
        for places in (sites, servers):
            for place in places:
                place.leave()
            for place in places:
                place.wait(deadline, hurry=self.aborted.is_set())
        self._timer.stop()

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        """Hand a call to places."""
        frames = write_call(call)
        jobs = [Job(site, call, [bytearray(frame) for frame in frames]) for site in targets]
        with self._lock:
            self._open.update({job.id: job for job in jobs})
        for job in jobs:
            if call.timeout is not None:
                self._timer.add(call.timeout, job.id)
            self._places[job.site].inbox.put(job)
        if self.aborted.is_set():
            self.abort()
        return [Pending(job.site, job.id, job.future) for job in jobs]

    def cancel(self, pending: Sequence[Pending]) -> None:
        """Give up calls."""
        for one in pending:
            self._give_up(one.call_id, Fault("cancelled"))

    def abort(self) -> None:
        """Give up every call, now and later."""
        self.aborted.set()
        with self._lock:
            still_open = list(self._open)
        for id in still_open:
            self._give_up(id, Fault("cancelled", message="the run was cancelled"))

    def _time_out(self, id: str) -> None:
        job = self._open.get(id)
        if job is not None and job.call.timeout is not None:
            self._give_up(id, Fault("timeout", timeout_s=job.call.timeout))

    def _give_up(self, id: str, fault: Fault) -> None:
        job = self._open.get(id)
        if job is not None:
            job.abort()
            self._finish(job, Reply(fault=fault))

    def _settle(self, job: Job, reply: Reply) -> None:
        if not job.aborted.is_set():
            self._finish(job, reply)

    def _finish(self, job: Job, reply: Reply) -> None:
        with self._lock:
            if self._open.pop(job.id, None) is None:
                return
        if reply.fault is None:
            job.future.set_result(reply.value)
        else:
            job.future.set_exception(reply.fault.to_error(site=job.site, func=job.call.func, call_id=job.id))

    def __repr__(self) -> str:
        return f"<SimBackend {len(self._places)} places · {len(self._open)} open calls>"


class _Timer:
    """Calls `due(id)` some seconds later; one thread for all, started when first needed."""

    def __init__(self, due: Callable[[str], None]) -> None:
        self._due = due
        self._heap: list[tuple[float, int, str]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def add(self, seconds: float, id: str) -> None:
        with self._changed:
            heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._count), id))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="fox-timer", daemon=True)
                self._thread.start()
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _work(self) -> None:
        while (id := self._next()) is not None:
            self._due(id)

    def _next(self) -> str | None:
        with self._changed:
            while not self._stopped:
                wait_s = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(wait_s)
            return None
