"""Group: one call to several sites; one path for one site or a thousand, waited for or not."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, overload

from ..call import Call, CallOption
from ..errors import CallCancelled, CallError, GroupError, NotAllowed, RecipeError, RunCancelled
from ..model import FLModel
from .backend import Backend, Pending
from .context import Context, current

log = logging.getLogger(__name__)


class Results(Sequence[Any]):
    """What the sites answered, in the order of the sites; without those in `failures`."""

    def __init__(self, func: str, values: Mapping[str, Any], failures: Mapping[str, CallError]) -> None:
        self._func, self._values = func, dict(values)
        self.failures = dict(failures)

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that answered, in order."""
        return tuple(self._values)

    def items(self) -> list[tuple[str, Any]]:
        """Give (site, value) pairs in the order of the sites."""
        return list(self._values.items())

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values.values())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return list(self._values.values())[index]

    def __repr__(self) -> str:
        return f"<Results of {self._func}() · {len(self)} answered · {len(self.failures)} failed>"


class GroupCall:
    """A group call under way. Iterate it for (site, value) as answers arrive; `results()` waits for all.

    Both raise GroupError at the end when fewer sites answered than were needed, as soon as that many
    cannot answer any more. With `parallel=`, arguments must not be changed before the last site has started.
    """

    def __init__(
        self, call: Call, targets: Sequence[str], backend: Backend, option: CallOption, *, single: bool
    ) -> None:
        self._context: Context = current()
        self._call, self._backend, self._option, self._single = call, backend, option, single
        self._order = tuple(targets)
        self._needed = _needed(option, len(self._order), self._context.min_clients)
        self._changed = threading.Condition()
        self._waiting = deque(self._order)
        self._open: dict[str, Pending] = {}
        self._values: dict[str, Any] = {}
        self._failures: dict[str, CallError] = {}
        self._arrivals: list[str] = []
        self._cancelled = self._reported = False
        self._start_more()

    @property
    def done(self) -> bool:
        """True when every site has answered or failed."""
        return len(self._arrivals) == len(self._order)

    @property
    def failures(self) -> dict[str, CallError]:
        """The sites that failed so far, with the cause."""
        with self._changed:
            return dict(self._failures)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        for site in self._follow():
            if site in self._values:
                yield site, self._values[site]
        self._conclude()

    def results(self) -> Results:
        """Wait for all sites and give their answers in the order of the sites."""
        for _ in self._follow():
            pass
        self._conclude()
        answered = {site: self._values[site] for site in self._order if site in self._values}
        return Results(self._call.func, answered, self._failures)

    def cancel(self) -> None:
        """Give up what is open; those sites become failures (CallCancelled)."""
        with self._changed:
            self._cancelled = True
            still_open = list(self._open.values())
            for site in self._waiting:
                self._note(site, CallCancelled(f"{self._call.func}() at {site} was not started", site=site))
            self._waiting.clear()
        self._backend.cancel(still_open)

    def run_in_background(self) -> None:
        """Start sites as room appears although nobody waits; log failures if nobody will ask."""
        if self._waiting or not self._option.expect_result:
            threading.Thread(target=self._attend, name=f"fox-group-{self._call.func}", daemon=True).start()

    def _attend(self) -> None:
        for _ in self._follow():
            pass
        if not self._option.expect_result:
            for site, error in self._failures.items():
                log.warning("%s() at %s failed, and nobody waits for it: %s", self._call.func, site, error)

    def _follow(self) -> Iterator[str]:
        for seen in range(len(self._order)):
            try:
                self._start_more()
                with self._changed:
                    self._changed.wait_for(lambda seen=seen: len(self._arrivals) > seen)  # type: ignore[misc]
            except BaseException:
                self.cancel()
                raise
            if len(self._order) - len(self._failures) < self._needed and not self._cancelled:
                self.cancel()
            yield self._arrivals[seen]

    def _start_more(self) -> None:
        with self._changed:
            in_flight = len(self._order) - len(self._waiting) - len(self._arrivals)
            room = self._option.parallel - in_flight if self._option.parallel else len(self._waiting)
            sites = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        if not sites:
            return
        started = self._backend.start(self._call, sites)
        with self._changed:
            self._open.update({pending.site: pending for pending in started})
            cancelled = self._cancelled
        for pending in started:
            pending.future.add_done_callback(partial(self._arrive, pending.site))
        if cancelled:
            self._backend.cancel(started)

    def _arrive(self, site: str, future: Future[Any]) -> None:
        error = future.exception()
        with self._changed:
            self._open.pop(site, None)
            if error is None:
                self._values[site] = future.result()
            self._note(site, error)

    def _note(self, site: str, error: BaseException | None) -> None:
        if error is not None:
            self._failures[site] = (
                error if isinstance(error, CallError) else _as_call_error(error, site, self._call)
            )
        self._arrivals.append(site)
        self._changed.notify_all()

    def _conclude(self) -> None:
        if not self._failures:
            return
        if self._context.is_aborted():
            raise RunCancelled(f"{self._call.func}() was given up: the run was cancelled")
        if self._context.on_failures is not None and not self._reported:
            self._context.on_failures(dict(self._failures))
        self._reported = True
        answered = len(self._values)
        if answered < self._needed:
            if self._single:
                raise next(iter(self._failures.values()))
            in_order = {site: self._failures[site] for site in self._order if site in self._failures}
            raise GroupError(self._call.func, in_order, answered=answered, needed=self._needed)

    def __repr__(self) -> str:
        under_way = len(self._order) - len(self._arrivals)
        return (
            f"<GroupCall {self._call.func}() · {under_way} under way · "
            f"{len(self._values)} answered · {len(self._failures)} failed>"
        )


class Group:
    """Several targets and how to call them: `Group(["site-1", "site-2"], backend, option).train(w)`."""

    def __init__(
        self,
        targets: Sequence[str],
        backend: Backend,
        call_opt: CallOption | None = None,
        *,
        single: bool = False,
    ) -> None:
        self._targets, self._backend, self._single = tuple(targets), backend, single
        self._option = call_opt or CallOption()

    def __getattr__(self, func: str) -> Callable[..., Any]:
        if func.startswith("_"):
            raise AttributeError(f"Group has no attribute {func!r}")
        return partial(self.invoke, func)

    def invoke(self, func: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function at all targets.

        Returns:
            Results in the order of the sites; the bare value for a single target; a GroupCall with
            `blocking=False`; None with `expect_result=False`.

        Raises:
            GroupError: fewer sites answered than were needed.
            CallError: the single target failed.
            CodecError: an argument cannot be encoded; nothing was sent.
            RunCancelled: the run was cancelled.
        """
        context, option = current(), self._option
        if context.is_aborted():
            raise RunCancelled(f"{func}() was not called: the run was cancelled")
        if option.secure and not self._backend.secure:
            raise NotAllowed(f"{func}() was asked to be secure, but the links of this run are not encrypted")
        _report_round(context, (*args, *kwargs.values()))
        call = Call(func, args, kwargs, context.site_name, option.timeout, option.ranks)
        group_call = GroupCall(call, self._targets, self._backend, option, single=self._single)
        if not (option.blocking and option.expect_result):
            group_call.run_in_background()
            return group_call if option.expect_result else None
        results = group_call.results()
        _report_round(context, (*args, *kwargs.values()), done=1)
        return self._only(func, results) if self._single else results

    def _only(self, func: str, results: Results) -> Any:
        for site, error in results.failures.items():
            log.warning("optional call of %s() at %s failed: %s", func, site, error)
            return None
        return results[0]


def _needed(option: CallOption, size: int, min_clients: int) -> int:
    if option.min_success is not None:
        if option.min_success > size:
            raise RecipeError(f"min_success={option.min_success}: this call goes to {size} sites only")
        return option.min_success
    return 0 if option.optional else min(min_clients, size)


def _report_round(context: Context, arguments: Sequence[Any], *, done: int = 0) -> None:
    if context.on_round is None:
        return
    for value in arguments:
        if isinstance(value, FLModel) and value.current_round is not None:
            context.on_round(value.current_round + done, value.total_rounds)


def _as_call_error(error: BaseException, site: str, call: Call) -> CallError:
    wrapped = CallError(f"{call.func}() at {site} failed: {error}", site=site, func=call.func)
    wrapped.__cause__ = error
    return wrapped
