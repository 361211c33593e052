"""GroupCall: a call to several sites that is under way."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from heapq import heappop, heappush
from typing import Any

from ..call import Call, CallOption, Pending, Wait
from ..errors import CallCancelled, CallError, FoxError, GroupError, RecipeError, RunCancelled
from ..model import FLModel
from .backend import Backend
from .context import Context
from .group_errors import as_call_error, broken_callback
from .results import Results
from .streams import answered

log = logging.getLogger(__name__)


class GroupCall:
    """A group call under way: `results()` waits for all sites, the others do not.

    Iterating it gives (site, value) as answers come and keeps them; `as_completed()` gives them away;
    `first_k()` waits for some. Of the answers that are there, the first in the order of the sites comes
    first. All raise GroupError at the end when fewer sites answered than were needed, as soon as that many
    cannot answer any more. With `parallel=`, arguments must not be changed before the last site has started.
    """

    def __init__(
        self,
        call: Call,
        targets: Sequence[str],
        backend: Backend,
        option: CallOption,
        context: Context,
        *,
        single: bool,
    ) -> None:
        self._context = context
        self._call, self._backend, self._option, self._single = call, backend, option, single
        self._order = tuple(targets)
        self._number = {site: number for number, site in enumerate(self._order)}
        self._needed = option.needed(len(self._order), context.min_clients)
        # Entered by itself, which takes half as many steps.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._waiting = deque(self._order)
        self._open: dict[str, Pending] = {}
        self._values: dict[str, Any] = {}
        self._failures: dict[str, CallError] = {}
        self._arrivals: list[str] = []
        self._cancelled = self._reported = self._given_away = self._ended = False
        self._at_callback = threading.RLock()
        self._called_back: set[str] = set()
        self._broken: CallError | None = None
        _report_round(self._context, call)
        self._start_more()

    @property
    def done(self) -> bool:
        """True when every site has answered or failed."""
        return len(self._arrivals) == len(self._order)

    @property
    def called(self) -> tuple[str, ...]:
        """All sites that this call goes to, in order."""
        return self._order

    @property
    def failures(self) -> dict[str, CallError]:
        """The sites that failed so far, with the cause."""
        with self._lock:
            return dict(self._failures)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for site in self._follow(self._needed):
            if site in self._values:
                yield site, self._values[site]
        self._conclude()

    def as_completed(self, timeout: float | None = None) -> Iterator[tuple[str, Any]]:
        """Give (site, value) as answers come, each once, and keep none: for sums that are made on arrival.

        Args:
            timeout: seconds from the first step, for all of them; the call goes on when they are over.

        Raises:
            TimeoutError: an answer had not come in time; another `as_completed()` gives the rest.
            GroupError: at the end, if fewer sites answered than were needed.
        """
        self._given_away = True
        for site in self._follow(self._needed, timeout):
            if site in self._values:
                yield site, self._values.pop(site)
        self._conclude()

    def first_k(self, k: int) -> Results:
        """Wait until k sites have answered, and give up the others.

        Which sites these are depends on their speed, and so is not the same in every run.

        Raises:
            GroupError: fewer than k can answer.
        """
        if not 0 < k <= len(self._order):
            raise RecipeError(f"first_k({k}): 1 to {len(self._order)} is right, so many sites are called")
        found: dict[str, Any] = {}
        for site in self._follow(k):
            if site in self._values:
                found[site] = self._values[site]
            if len(found) == k:
                break
        failures = self.failures
        if len(found) < k:
            raise GroupError(self._call.func, self._in_order(failures), answered=len(found), needed=k)
        self.cancel()
        return Results(self._call.func, self._in_order(found), failures, called=self._order)

    def results(self) -> Results:
        """Wait for all sites and give their answers in the order of the sites.

        Raises:
            CallError: the callback failed on an answer; names both.
            FoxError: `as_completed()` has given answers away.
        """
        deque(self._follow(self._needed), maxlen=0)
        self._conclude()
        if self._given_away:
            raise FoxError(f"as_completed() gave the answers of {self._call.func}() away: none are kept")
        failures = self._in_order(self._failures) if self._failures else {}
        return Results(self._call.func, self._in_order(self._values), failures, called=self._order)

    def cancel(self) -> None:
        """Give up what is open; those sites become failures (CallCancelled)."""
        with self._lock:
            self._cancelled = True
            still_open = list(self._open.values())
            for site in self._waiting:
                self._note(site, CallCancelled(f"{self._call.func}() at {site} was not started", site=site))
            self._waiting.clear()
        self._backend.cancel(still_open)

    def run_in_background(self) -> None:
        """Start sites as room appears and run the callback although nobody waits; log what nobody asks."""
        if self._waiting or self._option.callback is not None or not self._option.expect_result:
            threading.Thread(target=self._attend, name=f"fox-group-{self._call.func}", daemon=True).start()

    def _attend(self) -> None:
        try:
            for _ in self._follow(self._needed):
                pass
        except CallError as broken:
            log.error("%s", broken)
        if not self._option.expect_result:
            for site, error in self._failures.items():
                log.warning("%s() at %s failed, and nobody waits for it: %s", self._call.func, site, error)

    def _follow(self, needed: int, timeout: float | None = None) -> Iterator[str]:
        """Give each site once it has answered or failed, after its callback."""
        ends = None if timeout is None else time.monotonic() + timeout
        ready: list[int] = []
        for given in range(len(self._order)):
            try:
                self._start_more()
                in_time = self._await(given, ready, ends)
            except BaseException:
                self.cancel()
                raise
            if not in_time:
                missing = len(self._order) - len(self._arrivals)
                raise TimeoutError(f"{self._call.func}(): {missing} sites have not answered in {timeout:g} s")
            if len(self._order) - len(self._failures) < needed and not self._cancelled:
                self.cancel()
            site = self._order[heappop(ready)]
            self._call_back(site)
            yield site

    def _await(self, given: int, ready: list[int], ends: float | None) -> bool:
        """Wait for a site that was not given yet; put all that are there into the heap of their numbers."""
        left = None if ends is None or ready else max(0.0, ends - time.monotonic())
        seen = given + len(ready)
        in_time = self._wait(self._changed, lambda: bool(ready) or len(self._arrivals) > seen, left)
        with self._lock:
            for site in self._arrivals[seen:]:
                heappush(ready, self._number[site])
            return in_time

    def _call_back(self, site: str) -> None:
        """Run the callback on an answer: once, whoever follows, and never two of them at a time."""
        callback = self._option.callback
        if callback is None:
            return
        with self._at_callback:
            if self._broken is None and site in self._values and site not in self._called_back:
                self._called_back.add(site)
                try:
                    # Not kept meanwhile: the callback alone decides how long the answer lives.
                    self._values[site] = callback(site, self._values.pop(site))
                except Exception as error:
                    self._broken = broken_callback(callback, error, site, self._call)
                except BaseException:
                    self.cancel()
                    raise
            if self._broken is not None:
                self.cancel()
                raise self._broken

    def _start_more(self) -> None:
        if not self._waiting:
            return
        with self._lock:
            sites = self._next_sites()
        if not sites:
            return
        started = self._backend.start(self._call, sites)
        self._wait: Wait = started[0].wait
        with self._lock:
            self._open.update({pending.site: pending for pending in started})
            cancelled = self._cancelled
        for pending in started:
            pending.future.add_done_callback(partial(self._arrive, pending.site))
        if cancelled:
            self._backend.cancel(started)

    def _next_sites(self) -> list[str]:
        parallel = self._option.parallel
        room = parallel - (len(self._order) - len(self._waiting) - self._over()) if parallel else math.inf
        if room >= len(self._waiting):
            sites = list(self._waiting)
            self._waiting.clear()
            return sites
        return [self._waiting.popleft() for _ in range(int(room))]

    def _over(self) -> int:
        # An answer that waits for its callback counts as in flight, so that `parallel` bounds what is held.
        if self._option.callback is None:
            return len(self._arrivals)
        return len(self._called_back) + len(self._failures)

    def _arrive(self, site: str, future: Future[Any]) -> None:
        error = future.exception()
        with self._lock:
            self._open.pop(site, None)
            if error is None:
                self._values[site] = answered(future.result(), site, self._call, self._backend)
            self._note(site, error)

    def _note(self, site: str, error: BaseException | None) -> None:
        if error is not None:
            self._failures[site] = as_call_error(error, site, self._call)
        self._arrivals.append(site)
        self._changed.notify_all()

    def _conclude(self) -> None:
        if self._failures:
            self._judge()
        if not self._ended:
            self._ended = True
            _report_round(self._context, self._call, done=1)

    def _judge(self) -> None:
        if self._context.is_aborted():
            raise RunCancelled(f"{self._call.func}() was given up: the run was cancelled")
        if self._context.on_failures is not None and not self._reported:
            self._context.on_failures(dict(self._failures))
        self._reported = True
        answered = len(self._order) - len(self._failures)
        if answered < self._needed:
            if self._single:
                raise next(iter(self._failures.values()))
            in_order = self._in_order(self._failures)
            raise GroupError(self._call.func, in_order, answered=answered, needed=self._needed)

    def _in_order(self, by_site: Mapping[str, Any]) -> dict[str, Any]:
        return {site: by_site[site] for site in self._order if site in by_site}

    def __repr__(self) -> str:
        failed, ended = len(self._failures), len(self._arrivals)
        so_far = f"{len(self._order) - ended} under way · {ended - failed} answered · {failed} failed"
        return f"<GroupCall {self._call.func}() · {so_far}>"


def _report_round(context: Context, call: Call, *, done: int = 0) -> None:
    if context.on_round is None:
        return
    for value in (*call.args, *call.kwargs.values()) if call.kwargs else call.args:
        if isinstance(value, FLModel) and value.current_round is not None:
            context.on_round(value.current_round + done, value.total_rounds)
