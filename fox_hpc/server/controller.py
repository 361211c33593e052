"""FoxController: runs the `@fox.algo` function and keeps the run's record.

It knows nothing of how sites are reached: the environment gives it a backend and three hooks.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from ..api.app import ServerApp
from ..api.backend import Backend
from ..api.context import Context
from ..api.terms import Terms
from ..call import Call, Pending
from ..errors import CallCancelled, CallError, RunCancelled, RunError
from ..record import RUN_ENDED, RunRecord, SiteRecord
from ..tracking.inprocess_writer import InProcessWriter
from ..tracking.receiver import Receiver
from ..tracking.tracked_run import TrackedRun
from ..tracking.tracking_receiver import TrackingReceiver
from ..tracking.writer import flush_all
from .plain import plain

log = logging.getLogger(__name__)


def _nothing() -> None:
    return None


class FoxController:
    """One run, seen from the server.

    Args:
        app: the server's object with its `@fox.algo`.
        backend: reaches the sites.
        record: what is known of the run; this class alone changes it, under a lock.
        sites: the names of the sites, in order.
        min_clients: how many sites must answer a group call, unless it says otherwise.
        terms: what the recipe lays down for the server.
        receivers: where tracked entries go, besides the history.
        open: starts the sites; called first on the algorithm's thread.
        close: ends them; called last, whatever happened. `aborted` tells whether the run was cancelled.
        abort: makes every open call fail at once; called by `cancel`.
        on_change: called with the record, under the lock, whenever something in it has changed.
    """

    def __init__(
        self,
        app: ServerApp,
        backend: Backend,
        record: RunRecord,
        *,
        sites: tuple[str, ...],
        min_clients: int,
        terms: Terms | None = None,
        receivers: Sequence[Receiver] = (),
        open: Callable[[], None] = _nothing,
        close: Callable[[], None] = _nothing,
        abort: Callable[[], None] = _nothing,
        on_change: Callable[[RunRecord], None] | None = None,
    ) -> None:
        self.app, self.backend, self.sites, self.min_clients = app, backend, sites, min_clients
        self.failures: dict[str, CallError] = {}
        tracked = TrackedRun(record.run, record.job_name, Path(record.folder))
        self.tracking = TrackingReceiver(receivers, tracked, self.notice)
        self._open, self._close, self._abort, self._on_change = open, close, abort, on_change
        self._lock, self._terms = threading.RLock(), terms or Terms()
        self._aborted, self._failed = threading.Event(), threading.Event()
        self._ended = threading.Event()
        self._asked = False
        #: True once the algorithm has returned.
        self.succeeded = False
        self._error: BaseException | None = None
        self._result: Any = None
        self._record = record
        self._stamp()
        self._thread = threading.Thread(target=self._run, name="fox-algo")

    def __repr__(self) -> str:
        return f"<FoxController {self._record.run} {self._record.state}>"

    @property
    def aborted(self) -> bool:
        """True once the run was cancelled."""
        return self._aborted.is_set()

    @property
    def failed(self) -> bool:
        """True once the run failed for a reason outside its algorithm."""
        return self._failed.is_set()

    def start(self) -> None:
        """Run the algorithm on a thread of its own."""
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run has ended; tell whether it has."""
        return self._ended.wait(timeout)

    def result(self) -> Any:
        """Return what the algorithm returned, or raise what it raised; the run must have ended."""
        self._asked = True
        if not self._ended.is_set():
            raise RunError(f"run {self._record.run} has not ended")
        if self._error is not None:
            raise self._error
        return self._result

    def cancel(self) -> None:
        """End the run: open calls fail, jobs are cancelled, `result` raises RunCancelled."""
        if self._ended.is_set() or self._aborted.is_set():
            return
        self._aborted.set()
        self._abort()

    def fail(self, error: BaseException) -> None:
        """End the run because of something outside the algorithm, e.g. a relay that died."""
        with self._lock:
            self._error = self._error or error
        self._failed.set()
        self._abort()

    def snapshot(self) -> RunRecord:
        """Return a copy of the record."""
        with self._lock:
            return self._record.copy()

    def change(self, **fields: Any) -> None:
        """Set fields of the record."""
        with self._lock:
            for name, value in fields.items():
                setattr(self._record, name, value)
            self._changed()

    def change_site(self, site: str, **fields: Any) -> None:
        """Set fields of one site's record; `since` follows the state."""
        with self._lock:
            record = self._record.sites.setdefault(site, SiteRecord())
            if fields.get("state", record.state) != record.state:
                record.since = time.time()
            for name, value in fields.items():
                setattr(record, name, value)
            self._changed()

    def notice(self, sentence: str) -> None:
        """Tell the user something once."""
        with self._lock:
            if sentence not in self._record.notices:
                self._record.notices.append(sentence)
                self._changed()

    def track(self, site: str, data: bytes) -> None:
        """Take packed entries of a site; a receiver that fails stops no training."""
        self.tracking.take(site, data)

    def note_dropped(self, site: str, attempt: int, total: int) -> None:
        """An attempt of a site has dropped so many tracked entries so far."""
        if self.tracking.note_dropped(site, attempt, total):
            self.change(dropped=self.tracking.dropped)

    def context(self) -> Context:
        """Make the context that the server's functions run in."""
        return Context(
            site_name="server",
            sites=self.sites,
            backend=_Noting(self.backend, self._record.sites),
            min_clients=self.min_clients,
            workspace=Path(self._record.folder),
            is_aborted=lambda: self._aborted.is_set() or self._failed.is_set(),
            track=InProcessWriter("server", self.track).write,
            on_round=self._on_round,
            on_failures=self._on_failures,
            terms=self._terms,
        )

    def _run(self) -> None:
        try:
            self._result = self._algorithm()
        except BaseException as error:
            self._error = self._error or error
        if self._aborted.is_set():
            cause = self._error
            self._error = RunCancelled(f"run {self._record.run} was cancelled")
            self._error.__cause__ = cause
        self._end()

    def _algorithm(self) -> Any:
        context = self.context()
        try:
            self._open()
            if self._aborted.is_set():
                raise RunCancelled(f"run {self._record.run} was cancelled")
            # What fails before it says RUNNING is told by `submit --detach`, which waits for that.
            self.app.run_init(context)
            self.change(state="RUNNING")
            result = self.app.run_algo(context)
            self.succeeded = True
            return result
        finally:
            try:
                self._close()
            finally:
                self.app.run_final(context)
                flush_all()

    def _end(self) -> None:
        state = "CANCELLED" if self.aborted else "FAILED" if self._error is not None else "DONE"
        self.tracking.close(hurry=self._aborted.is_set)
        error = "" if self._error is None else f"{type(self._error).__name__}: {self._error}"
        self.change(
            state=state,
            ended=time.time(),
            error=error,
            result=plain(self._result) if not error else None,
            unwritten=self.tracking.unwritten,
        )
        self._ended.set()
        if state == "FAILED":
            # A script may start a run and never look at it: its failure must not be silent.
            atexit.register(self._tell_if_not_asked, error)

    def _tell_if_not_asked(self, error: str) -> None:
        if not self._asked:
            log.error("run %s failed: %s", self._record.run, error)

    def _on_round(self, number: int, total: int | None) -> None:
        self.change(round=number, rounds=total)

    def _on_failures(self, failures: dict[str, CallError]) -> None:
        # What the algorithm itself gave up, e.g. a slow site's last answer, is no failure of the site.
        failures = {site: error for site, error in failures.items() if not isinstance(error, CallCancelled)}
        self.failures.update(failures)
        with self._lock:
            self._record.failures.update(
                {site: str(error).splitlines()[0] for site, error in failures.items()}
            )
            self._changed()

    def _changed(self) -> None:
        if self._on_change is not None:
            self._on_change(self._record)

    def _stamp(self) -> None:
        record = self._record
        record.pid, record.host = os.getpid(), socket.gethostname()
        record.pid_started = psutil.Process().create_time()
        record.started = time.time()
        for site in self.sites:
            record.sites.setdefault(site, SiteRecord(since=record.started))
        assert record.state not in RUN_ENDED


class _Noting:
    """A backend that notes in the record which function each site is asked for."""

    def __init__(self, backend: Backend, sites: dict[str, SiteRecord]) -> None:
        self._backend, self._sites = backend, sites

    @property
    def secure(self) -> bool:
        return self._backend.secure

    def start(self, call: Call, targets: Sequence[str]) -> list[Pending]:
        pending = self._backend.start(call, targets)
        for one in pending:
            # Written without the record's lock: a glance for people, read when something else changes.
            self._sites[one.site].call = call.func
            one.future.add_done_callback(partial(self._idle, one.site))
        return pending

    def cancel(self, pending: Sequence[Pending]) -> None:
        self._backend.cancel(pending)

    def _idle(self, site: str, _: Future[Any]) -> None:
        self._sites[site].call = ""
