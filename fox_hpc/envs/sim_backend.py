"""SimBackend: calls between threads of one process, by the rules of the wire.

What is sent is encoded and decoded as between processes, so that sites share no memory and a value
that cannot travel fails here as it does there.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from ..api.app import App
from ..api.context import SERVER, Context
from ..call import Call, Fault, Pending, Reply
from ..wire.call_codec import write_call
from .sim_copies import Copies
from .sim_place import Job, Place

#: How long the end of a run waits for a function whose caller has given up.
_GRACE_S = 5.0


class SimBackend:
    """Carries calls between the places of one process; implements api.backend.Backend."""

    secure = True  # nothing leaves the process

    def __init__(self) -> None:
        self.aborted = threading.Event()
        self._places: dict[str, Place] = {}
        self._lock = threading.Lock()
        self._open: dict[str, Job] = {}
        self._timer = _Timer()
        self._copies = Copies(self._timer.add)

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
        place = Place(app, context, self._settle, self._copies, begin=begin, end=end, at_once=at_once)
        self._places[context.site_name] = place

    def open(self) -> None:
        """Let all places begin."""
        self._timer.start()
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
        self._copies.close()

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        """Hand a call to places."""
        frames = write_call(call)
        jobs = [Job(site, call, self._copies(frames)) for site in targets]
        with self._lock:
            self._open.update({job.id: job for job in jobs})
        for job in jobs:
            if call.timeout is not None:
                self._timer.add(call.timeout, partial(self._time_out, job.id, call.timeout))
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

    def _time_out(self, id: str, timeout_s: float) -> None:
        self._give_up(id, Fault("timeout", timeout_s=timeout_s))

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
    """Runs actions some seconds later, on a thread of its own.

    Adding one starts no thread: memory that goes adds one, which may be within anything.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False

    def start(self) -> None:
        threading.Thread(target=self._work, name="fox-timer", daemon=True).start()

    def add(self, seconds: float, action: Callable[[], None]) -> None:
        with self._changed:
            heapq.heappush(self._heap, (time.monotonic() + seconds, next(self._count), action))
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _work(self) -> None:
        while (action := self._next()) is not None:
            action()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._stopped:
                wait_s = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait_s is not None and wait_s <= 0:
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(wait_s)
            return None
